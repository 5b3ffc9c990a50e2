namespace Pengx.Xen;

/// <summary>What kind of failure xl reported.</summary>
internal enum XlErrorKind
{
    /// <summary>One that has no kind of its own here.</summary>
    Other,

    /// <summary>There is no such domain (any more).</summary>
    DomainNotFound,

    /// <summary>Another domain has the name.</summary>
    NameExists,

    /// <summary>The host has not enough free memory.</summary>
    OutOfMemory,

    /// <summary>The device is there already.</summary>
    DeviceExists,

    /// <summary>The device is not there.</summary>
    DeviceNotFound,

    /// <summary>A file or device of the host is missing.</summary>
    FileNotFound,

    /// <summary>The network interface's bridge is missing.</summary>
    BridgeNotFound,

    /// <summary>The guest did not answer in time.</summary>
    GuestTimedOut,

    /// <summary>The guest has no Xen driver that could be asked.</summary>
    NoParavirtualDriver,

    /// <summary>Something beyond what the domain was started with was asked for.</summary>
    AboveCeiling,

    /// <summary>Another command holds the lock, or the monitor of QEMU.</summary>
    Locked,

    /// <summary>xl does not read the configuration or the command.</summary>
    BadConfiguration,

    /// <summary>The other host of a migration cannot be reached.</summary>
    HostUnreachable,

    /// <summary>This host cannot follow what a running guest of this kind writes, so it cannot be moved while it runs.</summary>
    CannotMigrateLive,
}

/// <summary>Why a command of xl failed: its kind, and xl's own words without what only repeats them.</summary>
/// <param name="Kind">The kind.</param>
/// <param name="Lines">The lines that say it, without source places and numbers.</param>
internal sealed record XlError(XlErrorKind Kind, IReadOnlyList<string> Lines)
{
    /// <summary>xl's words in one line.</summary>
    public string Message => Lines.Count == 0 ? "xl said nothing" : string.Join("; ", Lines);

    /// <summary>Reads xl's standard error.</summary>
    /// <param name="error">The standard error.</param>
    public static XlError Parse(string error) => XlErrorParser.Parse(error);

    /// <summary>Whether a command has told of a failure on standard error although its exit code is 0, as <c>pause</c>, <c>trigger</c> and
    /// <c>block-list</c> do.</summary>
    /// <param name="error">The standard error.</param>
    public static bool IsHidden(string error) => XlErrorParser.HasError(error);
}

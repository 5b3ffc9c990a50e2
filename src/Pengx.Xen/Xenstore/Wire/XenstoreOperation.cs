namespace Pengx.Xen;

/// <summary>The message types (Xen's <c>io/xs_wire.h</c>).</summary>
internal enum XenstoreOperation : uint
{
    Control = 0,
    Directory = 1,
    Read = 2,
    GetPermissions = 3,
    Watch = 4,
    Unwatch = 5,
    TransactionStart = 6,
    TransactionEnd = 7,
    Introduce = 8,
    Release = 9,
    GetDomainPath = 10,
    Write = 11,
    MakeDirectory = 12,
    Remove = 13,
    SetPermissions = 14,
    WatchEvent = 15,
    Error = 16,
    IsDomainIntroduced = 17,
    Resume = 18,
    SetTarget = 19,
    ResetWatches = 21,
    DirectoryPart = 22,
    GetFeature = 23,
    SetFeature = 24,
    GetQuota = 25,
    SetQuota = 26,
}

internal static class XenstoreOperations
{
    /// <summary>As the protocol's document spells it.</summary>
    internal static string Name(this XenstoreOperation operation) => operation switch
    {
        XenstoreOperation.Control => "CONTROL",
        XenstoreOperation.Directory => "DIRECTORY",
        XenstoreOperation.Read => "READ",
        XenstoreOperation.GetPermissions => "GET_PERMS",
        XenstoreOperation.Watch => "WATCH",
        XenstoreOperation.Unwatch => "UNWATCH",
        XenstoreOperation.TransactionStart => "TRANSACTION_START",
        XenstoreOperation.TransactionEnd => "TRANSACTION_END",
        XenstoreOperation.Introduce => "INTRODUCE",
        XenstoreOperation.Release => "RELEASE",
        XenstoreOperation.GetDomainPath => "GET_DOMAIN_PATH",
        XenstoreOperation.Write => "WRITE",
        XenstoreOperation.MakeDirectory => "MKDIR",
        XenstoreOperation.Remove => "RM",
        XenstoreOperation.SetPermissions => "SET_PERMS",
        XenstoreOperation.WatchEvent => "WATCH_EVENT",
        XenstoreOperation.Error => "ERROR",
        XenstoreOperation.IsDomainIntroduced => "IS_DOMAIN_INTRODUCED",
        XenstoreOperation.Resume => "RESUME",
        XenstoreOperation.SetTarget => "SET_TARGET",
        XenstoreOperation.ResetWatches => "RESET_WATCHES",
        XenstoreOperation.DirectoryPart => "DIRECTORY_PART",
        XenstoreOperation.GetFeature => "GET_FEATURE",
        XenstoreOperation.SetFeature => "SET_FEATURE",
        XenstoreOperation.GetQuota => "GET_QUOTA",
        XenstoreOperation.SetQuota => "SET_QUOTA",
        _ => ((uint)operation).ToString(System.Globalization.CultureInfo.InvariantCulture),
    };
}

using System.Globalization;

namespace Pengx.Xen;

/// <summary>What may be written into an <c>xl.cfg</c> or onto xl's command line.</summary>
internal static class XlRules
{
    // sun_path holds 108 bytes, the closing NUL included.
    private const int MaxSocketPath = 107;
    private const int MaxBridge = 63;

    // What libxl emulates as IDE or, with hdtype=ahci, as SATA; it knows no such disk that is read-only.
    private const int IdeDisks = 4;
    private const int AhciDisks = 6;

    /// <summary>Checks the path of a file.</summary>
    /// <param name="field">The field's name for the error.</param>
    /// <param name="path">The path.</param>
    /// <param name="optionOfQemu">Whether libxl puts it into an option of QEMU, without writing a comma twice as QEMU wants it.</param>
    public static void CheckPath(string field, string path, bool optionOfQemu)
    {
        if (path is not ['/', ..] || path.Any(char.IsControl) || XlText.FindUnwritable(path) is not null || path.StartsWith("/dev/fdset/", StringComparison.Ordinal))
        {
            throw new InvalidFieldException(field, path, "it must be an absolute path without control characters.");
        }

        if (optionOfQemu && path.Contains(',', StringComparison.Ordinal))
        {
            throw new InvalidFieldException(field, path, "a path of an HVM guest cannot hold a comma: Xen hands it to QEMU as it is, where the comma begins another option.");
        }
    }

    /// <summary>Checks the path of a block device, which also goes through the hotplug scripts of Xen.</summary>
    /// <param name="field">The field's name for the error.</param>
    /// <param name="path">The path.</param>
    public static void CheckDevicePath(string field, string path)
    {
        if (path is not ['/', ..] || !path.All(character => char.IsAsciiLetterOrDigit(character) || character is '/' or '.' or '_' or '-' or '+' or ':' or '@' or '='))
        {
            throw new InvalidFieldException(field, path, "a block device's path must be absolute, of letters, digits and / . _ - + : @ =.");
        }
    }

    /// <summary>Checks the path of the private monitor's socket, which goes into an option of QEMU.</summary>
    /// <param name="path">The path.</param>
    public static void CheckSocketPath(string path)
    {
        if (path is not ['/', ..] || path.Length > MaxSocketPath || !path.All(character => char.IsAsciiLetterOrDigit(character) || character is '/' or '.' or '_' or '-'))
        {
            throw new InvalidFieldException("qmp_socket", path, "it must be an absolute path of at most 107 letters, digits and / . _ -.");
        }
    }

    /// <summary>Checks a bridge's name: it goes through the hotplug scripts and QEMU's options.</summary>
    /// <param name="bridge">The name, for Open vSwitch with a tag or trunks (<c>ovsbr0.100</c>, <c>ovsbr0:10:20</c>).</param>
    public static void CheckBridge(string bridge)
    {
        if (bridge is not { Length: > 0 and <= MaxBridge } || !char.IsAsciiLetterOrDigit(bridge[0])
            || !bridge.All(character => char.IsAsciiLetterOrDigit(character) || character is '.' or '_' or '-' or ':'))
        {
            throw new InvalidFieldException("interface_name", bridge, "a bridge's name must be 1 to 63 letters, digits and . _ - :, a letter or digit first.");
        }
    }

    /// <summary>Checks that an address is one.</summary>
    /// <param name="mac">The address.</param>
    public static void CheckMac(MacAddress mac)
    {
        if (mac.Value == 0)
        {
            throw new InvalidFieldException("mac", mac.ToString(), "it must be the address of one interface.");
        }
    }

    /// <summary>Checks a hotplug script's name.</summary>
    /// <param name="script">The name, or an absolute path.</param>
    public static void CheckScript(string script)
    {
        if (script.Length == 0 || !script.All(character => char.IsAsciiLetterOrDigit(character) || character is '.' or '_' or '-' or '/') || script.Contains("..", StringComparison.Ordinal))
        {
            throw new InvalidFieldException("vif_script", script, "it must be a script's name or path of letters, digits and . _ - /.");
        }
    }

    /// <summary>Checks a text that xl passes on as it is: a command line, a password.</summary>
    /// <param name="field">The field's name for the error.</param>
    /// <param name="text">The text.</param>
    /// <param name="secret">Whether the error must not show it.</param>
    public static void CheckText(string field, string text, bool secret = false)
    {
        if (text.Any(char.IsControl) || XlText.FindUnwritable(text) is not null)
        {
            throw new InvalidFieldException(field, secret ? "***" : text, "it cannot hold control characters.");
        }
    }

    /// <summary>Checks a disk's device for the kind of guest.</summary>
    /// <param name="disk">The disk.</param>
    /// <param name="profile">The guest's profile.</param>
    /// <param name="hotplug">Whether it is plugged into a running domain.</param>
    public static void CheckVdev(DomainDisk disk, XlGuestProfile profile, bool hotplug)
    {
        if (disk.Vdev is not ['x', 'v', 'd', >= 'a' and <= 'z'])
        {
            throw new InvalidFieldException("vdev", disk.Vdev, "it must be xvda to xvdz.");
        }

        if (profile.Kind != XlGuestKind.Hvm)
        {
            return;
        }

        if (disk.Vdev == "xvdc")
        {
            throw new InvalidFieldException("vdev", disk.Vdev, "on an HVM guest it is the same emulated unit as the CD-ROM drive hdc.");
        }

        var emulated = profile.ExtraSettings.TryGetValue("hdtype", out var type) && type.Text == "ahci" ? AhciDisks : IdeDisks;
        if (disk.ReadOnly && !hotplug && disk.Vdev[3] - 'a' < emulated)
        {
            throw new InvalidFieldException("vdev", disk.Vdev, string.Create(CultureInfo.InvariantCulture, $"an HVM guest's first {emulated} disks are emulated, and Xen emulates no read-only disk; take a later one."));
        }
    }
}

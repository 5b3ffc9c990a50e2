namespace Pengx.Xen;

/// <summary>Finds in xl's standard error what happened.</summary>
internal static class XlErrorParser
{
    private const int MaxLines = 6;

    // The first that a line holds counts; causes come before what they lead to.
    private static readonly (string Text, XlErrorKind Kind)[] s_kinds =
    [
        ("is an invalid domain identifier", XlErrorKind.DomainNotFound),
        ("Can't get domid of domain name", XlErrorKind.DomainNotFound),
        ("Can't get domain name of domain id", XlErrorKind.DomainNotFound),
        ("(rc=-21)", XlErrorKind.DomainNotFound),
        ("already exists in xenstore", XlErrorKind.DeviceExists),
        ("Domain with name", XlErrorKind.NameExists),
        ("Out of memory", XlErrorKind.OutOfMemory),
        ("Cannot allocate memory", XlErrorKind.OutOfMemory),
        ("not enough memory", XlErrorKind.OutOfMemory),
        ("failed to free memory", XlErrorKind.OutOfMemory),
        ("Could not find bridge", XlErrorKind.BridgeNotFound),
        ("not connected.", XlErrorKind.DeviceNotFound),
        ("Unknown device", XlErrorKind.DeviceNotFound),
        ("failed to stat", XlErrorKind.FileNotFound),
        ("Cannot stat file", XlErrorKind.FileNotFound),
        ("failed to open file", XlErrorKind.FileNotFound),
        ("Can't open restore file", XlErrorKind.FileNotFound),
        ("Failed to open temp file", XlErrorKind.FileNotFound),
        ("Failed to read config file", XlErrorKind.FileNotFound),
        ("PV control interface not available", XlErrorKind.NoParavirtualDriver),
        ("(rc=-10)", XlErrorKind.NoParavirtualDriver),
        ("Failed to enable logdirty", XlErrorKind.CannotMigrateLive),
        ("guest didn't acknowledge", XlErrorKind.GuestTimedOut),
        ("did not respond to suspend", XlErrorKind.GuestTimedOut),
        ("(rc=-8)", XlErrorKind.GuestTimedOut),
        ("(rc=-9)", XlErrorKind.GuestTimedOut),
        ("memory_dynamic_max must be less than", XlErrorKind.AboveCeiling),
        ("however maxcpus is", XlErrorKind.AboveCeiling),
        ("You are overcomm", XlErrorKind.AboveCeiling),
        ("cannot acquire lock", XlErrorKind.Locked),
        ("(rc=-15)", XlErrorKind.Locked),
        ("config parsing error", XlErrorKind.BadConfiguration),
        ("Failed to parse config", XlErrorKind.BadConfiguration),
        ("Neither kernel nor bootloader", XlErrorKind.BadConfiguration),
        ("Invalid domain type", XlErrorKind.BadConfiguration),
        ("Invalid parameter", XlErrorKind.BadConfiguration),
        ("command not implemented", XlErrorKind.BadConfiguration),
        ("Could not resolve hostname", XlErrorKind.HostUnreachable),
        ("ssh: connect to host", XlErrorKind.HostUnreachable),
        ("Host key verification failed", XlErrorKind.HostUnreachable),
        ("Permission denied (", XlErrorKind.HostUnreachable),
    ];

    // What xl says whenever it does anything at all.
    private static readonly string[] s_chatter =
    [
        "Parsing config from", "WARNING: xl now has better capability", "avoid using this command", "setting dom", "Shutting down domain",
        "Rebooting domain", "Waiting for", "Loading new save file", "Savefile contains xl domain config", "Saving to", "migration target: Ready",
        "migration target: Transfer complete", "migration target: Got permission", "migration target: Domain started", "migration sender: Target",
        "migration sender: Giving", "Migration successful", "got a tsc mode string", "Failed to read config file: /etc/xen/xl.conf",
    ];

    // What libxl adds to every failed creation: its own cleaning up.
    private static readonly string[] s_aftermath = ["Non-existant domain", "Non-existent domain", "Unable to destroy guest", "Destruction of domain failed"];

    public static XlError Parse(string error)
    {
        ArgumentNullException.ThrowIfNull(error);
        List<string> telling = [];
        List<string> aftermath = [];
        var kind = XlErrorKind.Other;
        foreach (var raw in error.Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
        {
            if (IsChatter(raw))
            {
                continue;
            }

            var line = Strip(raw);
            if (Array.Exists(s_aftermath, text => line.Contains(text, StringComparison.Ordinal)))
            {
                aftermath.Add(line);
                continue;
            }

            if (!telling.Contains(line))
            {
                telling.Add(line);
            }

            if (kind == XlErrorKind.Other)
            {
                kind = KindOf(line);
            }
        }

        // Alone, what is cleaned up is the error: a domain that could not be destroyed.
        var lines = telling.Count > 0 ? telling : aftermath;
        return new(kind, lines.Count <= MaxLines ? lines : [.. lines[..(MaxLines - 1)], lines[^1]]);
    }

    public static bool HasError(string error) => error.Split('\n').Any(line =>
        line.StartsWith("libxl: error:", StringComparison.Ordinal) || line.Contains("is an invalid domain identifier", StringComparison.Ordinal));

    private static XlErrorKind KindOf(string line)
    {
        if (line.StartsWith("Error: Domain '", StringComparison.Ordinal) && line.EndsWith("does not exist.", StringComparison.Ordinal))
        {
            return XlErrorKind.DomainNotFound;
        }

        foreach (var (text, kind) in s_kinds)
        {
            if (line.Contains(text, StringComparison.Ordinal))
            {
                return kind;
            }
        }

        return XlErrorKind.Other;
    }

    private static bool IsChatter(string line) =>
        line.StartsWith("xc: info:", StringComparison.Ordinal) || line.StartsWith("xc: progress:", StringComparison.Ordinal)
        || line.StartsWith("libxl: warning:", StringComparison.Ordinal) || line.StartsWith("libxl: info:", StringComparison.Ordinal)
        || Array.Exists(s_chatter, text => line.StartsWith(text, StringComparison.Ordinal));

    // "libxl: error: libxl_disk.c:343:device_disk_add: Domain 1:device already exists" -> "device already exists".
    private static string Strip(string line)
    {
        foreach (var prefix in (ReadOnlySpan<string>)["libxl: error: ", "xc: error: panic: ", "xc: error: ", "xl: fatal error: "])
        {
            if (!line.StartsWith(prefix, StringComparison.Ordinal))
            {
                continue;
            }

            line = line[prefix.Length..];
            if (SourcePlaceLength(line) is var place and > 0)
            {
                line = line[place..];
            }

            break;
        }

        if (line.StartsWith("Domain ", StringComparison.Ordinal))
        {
            var digits = "Domain ".Length;
            while (digits < line.Length && char.IsAsciiDigit(line[digits]))
            {
                digits++;
            }

            if (digits > "Domain ".Length && digits < line.Length && line[digits] == ':')
            {
                line = line[(digits + 1)..].TrimStart();
            }
        }

        return line;
    }

    // "libxl_disk.c:343:device_disk_add: " or "xg_dom_boot.c:119: ".
    private static int SourcePlaceLength(string line)
    {
        var end = line.IndexOf(": ", StringComparison.Ordinal);
        var dot = line.IndexOf(".c:", StringComparison.Ordinal);
        return dot > 0 && end > dot && line.IndexOf(' ', StringComparison.Ordinal) > dot ? end + 2 : 0;
    }
}

namespace Pengx.Xen;

/// <summary>What of the host's own set-up works against a service that manages its guests.</summary>
internal static class XenHostAdvice
{
    /// <summary>Looks.</summary>
    /// <param name="xenCommandLine">What Xen was booted with.</param>
    /// <param name="root">The file system's root; tests give another.</param>
    /// <returns>A sentence for each thing found.</returns>
    public static IEnumerable<string> Find(string xenCommandLine, string root = "/")
    {
        if (File.Exists(Path.Combine(root, "etc/systemd/system/multi-user.target.wants/xendomains.service"))
            || Directory.Exists(Path.Combine(root, "etc/rc2.d")) && Directory.EnumerateFiles(Path.Combine(root, "etc/rc2.d"), "S??xendomains").Any())
        {
            yield return "xendomains is enabled: it saves guests when the host shuts down and restores them with the disks of then. Disable it.";
        }

        // With ballooning of the control domain, one slow start holds up all others: libxl takes a lock for it.
        var autoballoon = Setting(root, "autoballoon");
        if (autoballoon is "1" or "on" || (autoballoon is not ("0" or "off") && !xenCommandLine.Contains("dom0_mem=", StringComparison.Ordinal)))
        {
            yield return "xl takes memory for guests from the control domain (autoballoon in /etc/xen/xl.conf), so one slow start holds up all others. Give the control domain a fixed memory (dom0_mem=N,max:N on Xen's command line).";
        }
    }

    private static string Setting(string root, string name)
    {
        foreach (var line in ReadText(Path.Combine(root, "etc/xen/xl.conf")).Split('\n'))
        {
            var parts = line.Split('=', 2, StringSplitOptions.TrimEntries);
            if (parts.Length == 2 && parts[0] == name)
            {
                return parts[1].Trim('"', '\'');
            }
        }

        return "";
    }

    private static string ReadText(string path)
    {
        try
        {
            return File.ReadAllText(path);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return "";
        }
    }
}

namespace Pengx.Xen;

/// <summary>How the Xen driver works on this host.</summary>
public sealed class XenOptions
{
    /// <summary>Where definitions and the <c>xl.cfg</c> of each domain lie, one directory per domain, named by its UUID. It must survive a
    /// restart of the host.</summary>
    /// <value>Required; an absolute path.</value>
    public string StateDirectory { get; set; } = "";

    /// <summary>Where the sockets of the guests' QEMUs lie. It must outlive the service (no systemd <c>RuntimeDirectory</c>), and be short.</summary>
    /// <value>Default <c>/run/pengx-xen</c>.</value>
    public string RunDirectory { get; set; } = "/run/pengx-xen";

    /// <summary>The xl to run: a name in PATH or an absolute path.</summary>
    /// <value>Default <c>xl</c>.</value>
    public string Xl { get; set; } = "xl";

    /// <summary>The xenstore daemon's socket, or the device that leads to it.</summary>
    /// <value>Default none: what <see cref="XenstoreEndPoint.Default"/> finds.</value>
    public string? XenstorePath { get; set; }

    /// <summary>The QEMU that Xen runs for its guests; asked once whether it can keep a console behind a password.</summary>
    /// <value>Default none: it is looked for where Xen's builds put it.</value>
    public string? DeviceModel { get; set; }

    /// <summary>How guests are virtualized, and what else Xen must know of them.</summary>
    /// <value>Default <see cref="XlGuestProfile.Default"/>: HVM guests that boot from their disks.</value>
    public XlGuestProfile Guests { get; set; } = XlGuestProfile.Default;

    /// <summary>What Xen and a guest's QEMU need beside the guest's memory.</summary>
    /// <value>Default 24 MiB for each start.</value>
    public DataSize Overhead { get; set; } = DataSize.FromMiB(24);

    /// <summary>How long a start may take, until xl has let the guest's processors run.</summary>
    /// <value>Default 5 minutes: libxl waits for hotplug scripts, for QEMU, and for its lock.</value>
    public TimeSpan StartTimeout { get; set; } = TimeSpan.FromMinutes(5);

    /// <summary>How long a destroyed domain may take to be gone.</summary>
    /// <value>Default 60 seconds.</value>
    public TimeSpan StopTimeout { get; set; } = TimeSpan.FromSeconds(60);

    /// <summary>How long a guest may take to take a device up or let it go, an emulated drive included.</summary>
    /// <value>Default 30 seconds.</value>
    public TimeSpan DeviceTimeout { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>How long a guest may take to follow a change of its processors or memory before the answer says that it has not.</summary>
    /// <value>Default 10 seconds.</value>
    public TimeSpan ResizeTimeout { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>How often a guest is asked again while a reboot waits: one that is still starting misses it.</summary>
    /// <value>Default 10 seconds.</value>
    public TimeSpan RebootInterval { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>How long a rebooting guest's domain may be gone before it counts as stopped and xl's monitor of it is ended: xl takes two seconds, and
    /// its lock.</summary>
    /// <value>Default 2 minutes.</value>
    public TimeSpan RebuildTimeout { get; set; } = TimeSpan.FromMinutes(2);

    /// <summary>Options of the ssh that migration goes over, such as <c>-p</c> and <c>2222</c>, each harmless to a shell.</summary>
    public IList<string> SshOptions { get; init; } = [];

    /// <summary>Whether running PV and PVH guests with qcow2 disks may be moved to another host. Xen does not make their QEMU write its tables
    /// back before the other host's QEMU opens the image.</summary>
    /// <value>Default false: refused.</value>
    public bool MigrateQcow2WithoutHvm { get; set; }

    internal XenOptions Validate()
    {
        RequirePath(nameof(StateDirectory), StateDirectory);
        RequirePath(nameof(RunDirectory), RunDirectory);
        if (XenstorePath is not null)
        {
            RequirePath(nameof(XenstorePath), XenstorePath);
        }

        if (string.IsNullOrWhiteSpace(Xl))
        {
            throw new InvalidFieldException(nameof(Xl), Xl, "it must name a program.");
        }

        ArgumentNullException.ThrowIfNull(Guests);
        foreach (var (name, value) in new[]
        {
            (nameof(StartTimeout), StartTimeout), (nameof(StopTimeout), StopTimeout), (nameof(DeviceTimeout), DeviceTimeout),
            (nameof(ResizeTimeout), ResizeTimeout), (nameof(RebootInterval), RebootInterval), (nameof(RebuildTimeout), RebuildTimeout),
        })
        {
            if (value <= TimeSpan.Zero || value > TimeSpan.FromDays(1))
            {
                throw new InvalidFieldException(name, value.ToString(), "it must be above zero and at most a day.");
            }
        }

        // A copy: the caller may go on changing its instance.
        return (XenOptions)MemberwiseClone();
    }

    private static void RequirePath(string name, string path)
    {
        if (!Path.IsPathFullyQualified(path) || path.Contains('\0', StringComparison.Ordinal))
        {
            throw new InvalidFieldException(name, path, "it must be an absolute path.");
        }
    }
}

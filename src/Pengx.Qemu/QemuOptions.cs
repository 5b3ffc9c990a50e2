using System.Globalization;

namespace Pengx.Qemu;

/// <summary>Which accelerator guests run with.</summary>
public enum QemuAccelerator
{
    /// <summary>KVM where it is proven to run a guest, else TCG.</summary>
    Auto,

    /// <summary>KVM; without it the driver is not usable.</summary>
    Kvm,

    /// <summary>Emulation in software, on any host.</summary>
    Tcg,
}

/// <summary>Where the VNC consoles of guests listen.</summary>
public enum QemuVncListen
{
    /// <summary>A free TCP port on 127.0.0.1, from 5900 on.</summary>
    Loopback,

    /// <summary>A unix socket in the domain's run directory.</summary>
    UnixSocket,

    /// <summary>Nowhere: guests have no console, even with a password.</summary>
    None,
}

/// <summary>How a guest's network interface reaches the network.</summary>
public enum QemuBridgePolicy
{
    /// <summary>By the named bridge where the host has it and the service may use it (root), else by QEMU's user networking.</summary>
    Auto,

    /// <summary>By the named bridge; a start without it is refused.</summary>
    Require,

    /// <summary>By QEMU's user networking always: the guest reaches out through the host, nobody reaches the guest.</summary>
    Never,
}

/// <summary>How the QEMU driver works on this host.</summary>
public sealed class QemuOptions
{
    /// <summary>Where definitions and logs lie, one directory per domain, named by its UUID. It must survive a restart of the host.</summary>
    /// <value>Required; an absolute path.</value>
    public string StateDirectory { get; set; } = "";

    /// <summary>Where sockets lie. It must outlive the service (no systemd <c>RuntimeDirectory</c>), and be short: a socket's
    /// path has at most 107 bytes, 40 of which are ours. No two state directories may share one.</summary>
    /// <value>Default: <c>/run/pengx-qemu-</c> and twelve digits that stand for the state directory for root, else <c>run</c> in the
    /// state directory.</value>
    public string? RunDirectory { get; set; }

    /// <summary>The QEMU to run: a name in PATH or an absolute path.</summary>
    /// <value>Default <c>qemu-system-x86_64</c>.</value>
    public string Binary { get; set; } = "qemu-system-x86_64";

    /// <summary>The accelerator.</summary>
    /// <value>Default <see cref="QemuAccelerator.Auto"/>.</value>
    public QemuAccelerator Accelerator { get; set; }

    /// <summary>Where VNC consoles listen.</summary>
    /// <value>Default <see cref="QemuVncListen.Loopback"/>.</value>
    public QemuVncListen VncListen { get; set; }

    /// <summary>How network interfaces reach the network.</summary>
    /// <value>Default <see cref="QemuBridgePolicy.Auto"/>.</value>
    public QemuBridgePolicy BridgePolicy { get; set; }

    /// <summary>The unprivileged user (of <c>/etc/passwd</c>) that QEMU runs as. Disk images are handed to it when a guest gets
    /// them. Needs root.</summary>
    /// <value>Default none: QEMU runs as the service's user, but without any capability.</value>
    public string? User { get; set; }

    /// <summary>How long QEMU may take from its start to the guest's first instruction.</summary>
    /// <value>Default 60 seconds.</value>
    public TimeSpan StartTimeout { get; set; } = TimeSpan.FromSeconds(60);

    /// <summary>How long QEMU may take to answer a command.</summary>
    internal TimeSpan CommandTimeout { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>For how long the host that a guest may have moved to is asked whether it has: its service may be starting again.</summary>
    internal TimeSpan OutcomePatience { get; set; } = TimeSpan.FromSeconds(60);

    /// <summary>How long QEMU may take to end by itself (closing its disks) before SIGTERM, and then SIGKILL, follow.</summary>
    /// <value>Default 10 seconds.</value>
    public TimeSpan StopTimeout { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>How long a guest may take to let a device go.</summary>
    /// <value>Default 15 seconds.</value>
    public TimeSpan UnplugTimeout { get; set; } = TimeSpan.FromSeconds(15);

    /// <summary>How long a guest may take to follow a change of its processors or memory before the answer says that it has not.</summary>
    /// <value>Default 10 seconds.</value>
    public TimeSpan ResizeTimeout { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>How often the power button is pressed again while a reboot waits: a guest that is still starting misses it.</summary>
    /// <value>Default 10 seconds.</value>
    public TimeSpan PowerButtonInterval { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>How long the proof that KVM runs a guest may take. Emulation passes it in a fraction of a second.</summary>
    /// <value>Default 5 seconds.</value>
    public TimeSpan KvmProbeTimeout { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>The ssh by which other hosts are reached when a running guest is moved there: a name in PATH or an absolute path.</summary>
    /// <value>Default <c>ssh</c>.</value>
    public string Ssh { get; set; } = "ssh";

    /// <summary>Options of that ssh, such as <c>-p</c> and <c>2222</c>. It is never asked for a password.</summary>
    public IList<string> SshOptions { get; init; } = [];

    /// <summary>The unix socket at which this driver takes guests from other hosts; their ssh leads to it. Only the service's user may
    /// open it.</summary>
    /// <value>Default <c>migration</c> in the state directory; at most 107 bytes.</value>
    public string? MigrationSocket { get; set; }

    /// <summary>The same socket of the other hosts, where it lies elsewhere than here.</summary>
    /// <value>Default: where this host's is.</value>
    public string? PeerMigrationSocket { get; set; }

    /// <summary>How many bytes of a moving guest's memory are sent in a second at most.</summary>
    /// <value>Default none: QEMU's own limit, 128 MiB.</value>
    public long? MigrationBytesPerSecond { get; set; }

    /// <summary>How long another host may take to answer.</summary>
    /// <value>Default 10 seconds.</value>
    public TimeSpan ConnectTimeout { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>How long nothing more of a moving guest may get across before the move is given up.</summary>
    /// <value>Default 60 seconds.</value>
    public TimeSpan MigrationStallTimeout { get; set; } = TimeSpan.FromSeconds(60);

    internal string ListenSocket => MigrationSocket ?? Path.Combine(StateDirectory, "migration");

    internal string PeerSocket => PeerMigrationSocket ?? ListenSocket;

    internal QemuOptions Validate()
    {
        if (!Path.IsPathFullyQualified(StateDirectory) || StateDirectory.Contains('\0', StringComparison.Ordinal))
        {
            throw new InvalidFieldException(nameof(StateDirectory), StateDirectory, "it must be an absolute path.");
        }

        if (RunDirectory is not null && (!Path.IsPathFullyQualified(RunDirectory) || RunDirectory.Contains('\0', StringComparison.Ordinal)))
        {
            throw new InvalidFieldException(nameof(RunDirectory), RunDirectory, "it must be an absolute path.");
        }

        foreach (var (name, path) in new[] { (nameof(MigrationSocket), MigrationSocket), (nameof(PeerMigrationSocket), PeerMigrationSocket) })
        {
            // ssh separates the two ends of what it forwards by a colon.
            if (path is not null && (!Path.IsPathFullyQualified(path) || path.Contains('\0', StringComparison.Ordinal) || path.Contains(':', StringComparison.Ordinal) || !ListeningSocket.Fits(path)))
            {
                throw new InvalidFieldException(name, path, "it must be an absolute path of at most 107 bytes without a colon.");
            }
        }

        if (string.IsNullOrWhiteSpace(Ssh))
        {
            throw new InvalidFieldException(nameof(Ssh), Ssh, "it must name a program.");
        }

        if (MigrationBytesPerSecond is <= 0)
        {
            throw new InvalidFieldException(nameof(MigrationBytesPerSecond), MigrationBytesPerSecond.Value.ToString(CultureInfo.InvariantCulture), "it must be above zero.");
        }

        if (string.IsNullOrWhiteSpace(Binary))
        {
            throw new InvalidFieldException(nameof(Binary), Binary, "it must name a program.");
        }

        foreach (var (name, value) in new[]
        {
            (nameof(StartTimeout), StartTimeout), (nameof(StopTimeout), StopTimeout), (nameof(UnplugTimeout), UnplugTimeout),
            (nameof(ResizeTimeout), ResizeTimeout), (nameof(PowerButtonInterval), PowerButtonInterval), (nameof(KvmProbeTimeout), KvmProbeTimeout),
            (nameof(ConnectTimeout), ConnectTimeout), (nameof(MigrationStallTimeout), MigrationStallTimeout),
        })
        {
            if (value <= TimeSpan.Zero || value > TimeSpan.FromDays(1))
            {
                throw new InvalidFieldException(name, value.ToString(), "it must be above zero and at most a day.");
            }
        }

        // A copy: the caller may go on changing its instance.
        return (QemuOptions)MemberwiseClone();
    }
}

namespace Pengx.Storage;

/// <summary>How logical volumes become block devices on this host.</summary>
public enum LvmActivation
{
    /// <summary>By device-mapper where the kernel has it; refused where it has not.</summary>
    DeviceMapper,

    /// <summary>By loop devices over the volume group's own devices: for volumes in one piece, on a kernel without
    /// device-mapper such as a container's. No thin pools.</summary>
    Loop,
}

/// <summary>How LVM is used.</summary>
public sealed class LvmOptions
{
    /// <summary>The program: a name looked up in PATH, or an absolute path.</summary>
    public string Lvm { get; set; } = "lvm";

    /// <summary>A directory with an <c>lvm.conf</c> of its own (<c>LVM_SYSTEM_DIR</c>); the system's when <see langword="null"/>.</summary>
    public string? SystemDirectory { get; set; }

    /// <summary>How volumes are activated.</summary>
    public LvmActivation Activation { get; set; } = LvmActivation.DeviceMapper;

    /// <summary>How long one call of LVM may take; 60 seconds by default.</summary>
    public TimeSpan Timeout { get; set; } = TimeSpan.FromSeconds(60);

    /// <summary>How long one piece of a volume (256 MiB) may take to be zeroed; 2 minutes by default.</summary>
    public TimeSpan WipeTimeout { get; set; } = TimeSpan.FromMinutes(2);

    /// <summary>How long to wait for others that work on the same disk or volume group; 2 minutes by default.</summary>
    public TimeSpan LockTimeout { get; set; } = TimeSpan.FromMinutes(2);

    /// <summary>Where the locks lie by which processes of this host keep off each other's disks and volume groups.</summary>
    public string LeaseDirectory { get; set; } = "/run/pengx/leases";

    /// <summary>How full (in percent) a thin pool's data or metadata may be before no new volume is made in it; 90 by default.</summary>
    public int ThinWatermark { get; set; } = 90;

    /// <summary>The name by which a shared volume group without cluster locks knows its one writer; the host's name by default.</summary>
    public string HostName { get; set; } = Environment.MachineName;
}

namespace Pengx.Orchestration;

/// <summary>A virtual machine as lists and answers show it.</summary>
public sealed record VirtualMachineView
{
    /// <summary>Its row.</summary>
    public required VirtualMachine Machine { get; init; }

    /// <summary>Its state: the hypervisor's truth for machines of this PM, else the state last seen.</summary>
    public required VmState State { get; init; }

    /// <summary>Its current disks, in boot order.</summary>
    public required IReadOnlyList<Disk> Disks { get; init; }

    /// <summary>Its network interfaces; deleted ones that a running guest still holds are left out.</summary>
    public required IReadOnlyList<VmInterface> Interfaces { get; init; }

    /// <summary>Where its VNC console listens now; asked for single machines only.</summary>
    public VncEndpoint? Vnc { get; init; }

    /// <summary>Whether an operation holds it.</summary>
    public required bool Locked { get; init; }

    /// <summary>The size of all its current disks.</summary>
    public DataSize DiskSize => Disks.Aggregate(DataSize.Zero, (sum, disk) => sum + disk.Size);
}

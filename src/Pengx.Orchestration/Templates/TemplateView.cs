namespace Pengx.Orchestration;

/// <summary>A template as lists and answers show it.</summary>
public sealed record TemplateView
{
    /// <summary>Its row.</summary>
    public required Template Template { get; init; }

    /// <summary>Its state: the hypervisor's truth for templates of this PM, else the state last seen.</summary>
    public required VmState State { get; init; }

    /// <summary>Its disks, in boot order.</summary>
    public required IReadOnlyList<Disk> Disks { get; init; }

    /// <summary>Where its VNC console listens now; asked for single templates only.</summary>
    public VncEndpoint? Vnc { get; init; }

    /// <summary>Whether an operation holds it.</summary>
    public required bool Locked { get; init; }

    /// <summary>The size of all its disks.</summary>
    public DataSize Size => Disks.Aggregate(DataSize.Zero, (sum, disk) => sum + disk.Size);
}

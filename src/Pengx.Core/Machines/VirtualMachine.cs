namespace Pengx;

/// <summary>A virtual machine (reference, chapter 9: <c>VM</c>).</summary>
public sealed record VirtualMachine
{
    /// <summary>The machine's UUID; also its domain's.</summary>
    public required VmId Id { get; init; }

    /// <summary>The physical machine it lives on.</summary>
    public required PmId Pm { get; init; }

    /// <summary>The template it was made from.</summary>
    public TemplateId? Template { get; init; }

    /// <summary>Its name, unique on its physical machine.</summary>
    public required string Name { get; init; }

    /// <summary>What it is for, in the operator's words.</summary>
    public string? Description { get; init; }

    /// <summary>The operating system; taken from the template where there is one.</summary>
    public GuestOs Os { get; init; }

    /// <summary>The operating system's architecture; taken from the template where there is one.</summary>
    public OsArchitecture Architecture { get; init; }

    /// <summary>Virtual processors.</summary>
    public required int Cpus { get; init; }

    /// <summary>Memory given to the guest.</summary>
    public required DataSize Memory { get; init; }

    /// <summary>Memory that the guest can be grown to while it runs; at least <see cref="Memory"/>.</summary>
    public required DataSize MaxMemory { get; init; }

    /// <summary>SR-IOV virtual functions handed to the guest.</summary>
    public IReadOnlyList<PciAddress> VirtualFunctions { get; init; } = [];

    /// <summary>The VNC port last seen; ask the hypervisor for the real one of a running domain.</summary>
    public int? VncPort { get; init; }

    /// <summary>The password of the VNC console, at most 8 characters.</summary>
    public string? VncPassword { get; init; }

    /// <summary>The state last seen.</summary>
    public VmState State { get; init; }

    /// <summary>When it was made.</summary>
    public required DateTimeOffset CreatedAt { get; init; }

    /// <summary>When it was last started.</summary>
    public DateTimeOffset? RecentBootedAt { get; init; }

    /// <summary>When the row last changed.</summary>
    public DateTimeOffset UpdatedAt { get; init; }

    /// <summary>Counts the row's changes, for optimistic concurrency.</summary>
    public int Revision { get; init; }

    /// <summary>Whether the guest is Windows (reference: <c>is_windows</c>).</summary>
    public bool IsWindows => Os == GuestOs.Windows;
}

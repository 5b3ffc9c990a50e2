namespace Pengx;

/// <summary>A virtual machine with what it has now.</summary>
public sealed record VirtualMachineDevices
{
    /// <summary>The machine.</summary>
    public required VirtualMachine Machine { get; init; }

    /// <summary>The disks that it runs on: those of its run snapshot where it has one, else its own; in boot order.</summary>
    public required IReadOnlyList<Disk> Disks { get; init; }

    /// <summary>Its network interfaces, retired ones included, by number.</summary>
    public required IReadOnlyList<VmInterface> Interfaces { get; init; }
}

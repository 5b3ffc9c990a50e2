namespace Pengx.Client;

/// <summary>The body of <c>POST /vms/</c>: a VM from a template, or with an empty disk.</summary>
public sealed record MachineCreateRequest
{
    /// <summary>The VM's name, unique on its host.</summary>
    public required string Name { get; init; }

    /// <summary>The template it is made from, or null for an empty disk.</summary>
    public Guid? Template { get; init; }

    /// <summary>The storlink on which its disks are created.</summary>
    public required int Storlink { get; init; }

    /// <summary>Its virtual CPUs.</summary>
    public required int CpuCores { get; init; }

    /// <summary>Its memory in MiB.</summary>
    public required long Memory { get; init; }

    /// <summary>The most memory it can be given without a restart, in MiB; null means <see cref="Memory"/>.</summary>
    public long? MaxMemory { get; init; }

    /// <summary>The size of its first disk in MiB; null means the template's.</summary>
    public long? OsDiskSize { get; init; }

    /// <summary>The size of a second, empty disk in MiB; null means none.</summary>
    public long? ExtraDiskSize { get; init; }

    /// <summary><c>raw</c> or <c>qcow2</c>; null means <c>qcow2</c>.</summary>
    public string? DiskFormat { get; init; }

    /// <summary>One entry per interface: a whole number <c>n</c> is the switch <c>xenbr{n}</c>, any other text a switch's name.</summary>
    public IReadOnlyList<string> Networks { get; init; } = [];

    /// <summary>Its description, or null.</summary>
    public string? Description { get; init; }

    /// <summary>The operating system of a VM without a template; null means <c>OTHER</c>.</summary>
    public string? Os { get; init; }

    /// <summary>The architecture of a VM without a template, <c>X86</c> or <c>X64</c>; null means <c>X64</c>.</summary>
    public string? OsArch { get; init; }
}

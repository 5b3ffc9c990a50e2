namespace Pengx.Orchestration;

/// <summary>What a new virtual machine shall be.</summary>
public sealed record CreateVirtualMachine
{
    /// <summary>Its name: 1 to 255 characters, no control characters, unique on its PM. Field <c>name</c>.</summary>
    public required string Name { get; init; }

    /// <summary>The storage link that its disks shall lie on. Field <c>storlink</c>.</summary>
    public required StorlinkId Storlink { get; init; }

    /// <summary>Virtual processors. Field <c>cpu_core</c>.</summary>
    public required int Cpus { get; init; }

    /// <summary>Memory in MiB. Field <c>memory</c>.</summary>
    public required long MemoryMiB { get; init; }

    /// <summary>Memory in MiB that it can be grown to while it runs; <see cref="MemoryMiB"/> when not given. Field <c>maxmem</c>.</summary>
    public long? MaxMemoryMiB { get; init; }

    /// <summary>The template to take the disks from; the machine gets an empty disk without one. Field <c>template</c>.</summary>
    public TemplateId? Template { get; init; }

    /// <summary>The boot disk's size in MiB; the template's when not given. Needed without a template. Field <c>os_disk_size</c>.</summary>
    public long? OsDiskSizeMiB { get; init; }

    /// <summary>The size in MiB of a further, empty disk; none when not given. Field <c>extra_disk_size</c>.</summary>
    public long? ExtraDiskSizeMiB { get; init; }

    /// <summary>The format of its disks. Field <c>disk_format</c>.</summary>
    public DiskFormat DiskFormat { get; init; } = DiskFormat.Qcow2;

    /// <summary>One network interface each: a whole number n is the switch <c>xenbr{n}</c>, other text a switch's name. Field <c>network</c>.</summary>
    public IReadOnlyList<string> Networks { get; init; } = [];

    /// <summary>What it is for. Field <c>desc</c>.</summary>
    public string? Description { get; init; }

    /// <summary>The operating system, without a template only. Field <c>os</c>.</summary>
    public GuestOs? Os { get; init; }

    /// <summary>Its architecture, without a template only. Field <c>os_arch</c>.</summary>
    public OsArchitecture? Architecture { get; init; }
}

namespace Pengx.Client;

/// <summary>A virtual machine: <c>&lt;vm&gt;</c>. The list leaves out the VNC port and password, which then read as null.</summary>
public sealed record MachineResource
{
    /// <summary>The machine's id.</summary>
    public required Guid Id { get; init; }

    /// <summary>Its name.</summary>
    public required string Name { get; init; }

    /// <summary>Its state: <c>RUNNING</c>, <c>SHUTDOWN</c>, <c>PAUSED</c>, …</summary>
    public string? Status { get; init; }

    /// <summary>Its virtual CPUs (<c>&lt;cpu_core&gt;</c>); 0 when the server does not say.</summary>
    public int CpuCores { get; init; }

    /// <summary>Its memory in MiB; 0 when the server does not say.</summary>
    public long Memory { get; init; }

    /// <summary>The most memory it can be given without a restart, in MiB; 0 when the server does not say.</summary>
    public long MaxMemory { get; init; }

    /// <summary>The size of its disks in MiB; 0 when the server does not say.</summary>
    public long DiskSize { get; init; }

    /// <summary>The host it belongs to.</summary>
    public Guid? Pm { get; init; }

    /// <summary>Its network interfaces.</summary>
    public IReadOnlyList<MachineNicResource> Nics { get; init; } = [];

    /// <summary>The operating system, for example <c>DEBIAN</c>.</summary>
    public string? Os { get; init; }

    /// <summary><c>X86</c> or <c>X64</c>; written as <c>&lt;os_arch&gt;</c> and <c>&lt;os_type&gt;</c>, read from either.</summary>
    public string? OsArch { get; init; }

    /// <summary>When it was created.</summary>
    public DateTimeOffset? Created { get; init; }

    /// <summary>When it was last booted, or null.</summary>
    public DateTimeOffset? LastBootTime { get; init; }

    /// <summary>Its VNC port, or null.</summary>
    public int? VncPort { get; init; }

    /// <summary>Its VNC password, or null.</summary>
    public string? VncPassword { get; init; }

    /// <summary>Names the machine without its VNC password, so that a log never shows it.</summary>
    /// <returns>Its id, name and state.</returns>
    public override string ToString() => $"VM {Id:D} '{Name}' {Status}";
}

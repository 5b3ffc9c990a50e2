namespace Pengx.Orchestration;

/// <summary>What processors and memory a virtual machine shall have; what is not given stays.</summary>
public sealed record ResizeVirtualMachine
{
    /// <summary>Virtual processors. Field <c>cpu_core</c>.</summary>
    public int? Cpus { get; init; }

    /// <summary>Memory in MiB. Field <c>memory</c>.</summary>
    public long? MemoryMiB { get; init; }

    /// <summary>Memory in MiB that it can be grown to while it runs. Field <c>maxmem</c>.</summary>
    public long? MaxMemoryMiB { get; init; }
}

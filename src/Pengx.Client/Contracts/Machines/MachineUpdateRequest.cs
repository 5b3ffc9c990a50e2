namespace Pengx.Client;

/// <summary>The body of <c>PUT /vms/{id}/update/</c> and <c>POST /vms/{id}/resize/</c>: null leaves a figure as it is.</summary>
public sealed record MachineUpdateRequest
{
    /// <summary>Virtual CPUs.</summary>
    public int? CpuCores { get; init; }

    /// <summary>Memory in MiB.</summary>
    public long? Memory { get; init; }

    /// <summary>The most memory it can be given without a restart, in MiB.</summary>
    public long? MaxMemory { get; init; }
}

namespace Pengx.Xen;

/// <summary>A guest from its start to its end: through reboots, which give it another domain number, and crashed until it is destroyed.</summary>
internal sealed record XenRun
{
    public required DomainId Id { get; init; }

    /// <summary>The domain's number now.</summary>
    public required int Domain { get; init; }

    public required VmState State { get; init; }

    public int Cpus { get; init; }

    public DataSize Memory { get; init; }

    public TimeSpan CpuTime { get; init; }

    public DateTimeOffset? StartedAt { get; init; }

    /// <summary>Whether its guest has left, and its domain is about to be built again or to be gone for good.</summary>
    public bool IsLeaving { get; init; }

    public bool IsAlive => State is VmState.Running or VmState.Paused;

    public DomainStatus ToStatus() => new() { Id = Id, State = State, Cpus = Cpus, Memory = Memory, StartedAt = StartedAt };
}

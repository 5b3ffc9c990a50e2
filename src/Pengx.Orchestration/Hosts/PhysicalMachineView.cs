namespace Pengx.Orchestration;

/// <summary>A physical machine as lists and answers show it.</summary>
public sealed record PhysicalMachineView
{
    /// <summary>Its row.</summary>
    public required PhysicalMachine Machine { get; init; }

    /// <summary>Whether its heartbeat is fresh.</summary>
    public required bool IsUp { get; init; }

    /// <summary>Its network devices.</summary>
    public required IReadOnlyList<Network> Networks { get; init; }
}

/// <summary>What this physical machine does now.</summary>
/// <param name="Pm">The physical machine.</param>
/// <param name="Facts">What it is.</param>
/// <param name="Counters">What it does.</param>
public sealed record PhysicalMachinePerformance(PmId Pm, HostFacts Facts, HostCounters Counters);

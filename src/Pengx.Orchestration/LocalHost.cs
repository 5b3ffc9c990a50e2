namespace Pengx.Orchestration;

/// <summary>The physical machine that this service runs on. A PM runs one service.</summary>
public sealed record LocalHost
{
    /// <summary>The PM's identifier: generated once and kept.</summary>
    public required PmId Id { get; init; }

    /// <summary>The PM's name, as lists show it.</summary>
    public required string Name { get; init; }
}

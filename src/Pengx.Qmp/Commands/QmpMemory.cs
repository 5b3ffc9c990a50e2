using System.Text.Json;

namespace Pengx.Qmp;

/// <summary>How much memory the guest shall keep.</summary>
public sealed record QmpBalloonTarget
{
    /// <summary>The target, in bytes.</summary>
    public required long Value { get; init; }
}

/// <summary>The memory balloon.</summary>
public sealed record QmpBalloon
{
    /// <summary>The memory that the guest has now, in bytes.</summary>
    public required long Actual { get; init; }
}

/// <summary>How much memory the machine has.</summary>
public sealed record QmpMemorySize
{
    /// <summary>Memory it started with, in bytes.</summary>
    public required long BaseMemory { get; init; }

    /// <summary>Memory plugged in since, in bytes; null if the machine cannot hot-plug.</summary>
    public long? PluggedMemory { get; init; }
}

/// <summary>A plugged memory device.</summary>
public sealed record QmpMemoryDevice
{
    /// <summary>Its kind, such as <c>dimm</c> or <c>virtio-mem</c>.</summary>
    public required string Type { get; init; }

    /// <summary>What QEMU says about it; the members depend on the kind.</summary>
    public required JsonElement Data { get; init; }
}

namespace Pengx.Qmp;

/// <summary>A virtual processor that is plugged in (<c>CpuInfoFast</c> in <c>qapi/machine.json</c>).</summary>
public sealed record QmpCpu
{
    /// <summary>Its number.</summary>
    public required int CpuIndex { get; init; }

    /// <summary>Its path in QEMU's object tree; give it to <c>device_del</c> to unplug it.</summary>
    public required string QomPath { get; init; }

    /// <summary>The host thread that runs it; 0 before it has one.</summary>
    public required int ThreadId { get; init; }

    /// <summary>Where it sits in the topology: <c>socket-id</c>, <c>core-id</c> and so on.</summary>
    public IReadOnlyDictionary<string, long>? Props { get; init; }

    /// <summary>The architecture, such as <c>x86_64</c>.</summary>
    public string? Target { get; init; }
}

/// <summary>A place for a virtual processor (<c>HotpluggableCPU</c> in <c>qapi/machine.json</c>).</summary>
public sealed record QmpHotpluggableCpu
{
    /// <summary>The driver for <c>device_add</c>.</summary>
    public required string Type { get; init; }

    /// <summary>How many processors the place holds.</summary>
    public required int VcpusCount { get; init; }

    /// <summary>The properties for <c>device_add</c>, to be passed on as they are.</summary>
    public required IReadOnlyDictionary<string, long> Props { get; init; }

    /// <summary>The path of what is plugged in; null if the place is free.</summary>
    public string? QomPath { get; init; }
}

namespace Pengx.Client;

/// <summary>What a physical host is doing now: <c>&lt;pmperf&gt;</c>. Numbers the server leaves out read as 0.</summary>
public sealed record PmPerformanceResource
{
    /// <summary>The host's id.</summary>
    public required Guid Id { get; init; }

    /// <summary><c>Up</c> while its heartbeat is fresh.</summary>
    public string? Status { get; init; }

    /// <summary>Domains now running or paused on it.</summary>
    public int VmCount { get; init; }

    /// <summary>Threads per CPU core (<c>&lt;smt&gt;</c>). A server that answers <c>True</c> reads as 2, <c>False</c> as 1.</summary>
    public int Smt { get; init; }

    /// <summary>CPU cores of the host.</summary>
    public int TotalCpuCores { get; init; }

    /// <summary>Virtual CPUs of the domains counted in <see cref="VmCount"/>.</summary>
    public int UsedCpuCores { get; init; }

    /// <summary>CPU use in percent.</summary>
    public double CpuUtilization { get; init; }

    /// <summary>Memory of the host in MiB.</summary>
    public long TotalMemory { get; init; }

    /// <summary>Memory of the domains counted in <see cref="VmCount"/>, in MiB.</summary>
    public long UsedMemory { get; init; }

    /// <summary>Memory use in percent.</summary>
    public double MemoryUtilization { get; init; }

    /// <summary>Bytes received since boot over the host's physical interfaces.</summary>
    public long ReceivedBytes { get; init; }

    /// <summary>Bytes sent since boot over the host's physical interfaces.</summary>
    public long SentBytes { get; init; }
}

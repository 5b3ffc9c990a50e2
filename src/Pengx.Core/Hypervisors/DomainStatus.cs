using System.Net;

namespace Pengx;

/// <summary>A domain that the hypervisor runs now, or found crashed.</summary>
public sealed record DomainStatus
{
    /// <summary>The domain.</summary>
    public required DomainId Id { get; init; }

    /// <summary>Its state; a domain that is not found at all is shut down.</summary>
    public required VmState State { get; init; }

    /// <summary>Virtual processors now.</summary>
    public int Cpus { get; init; }

    /// <summary>Memory now.</summary>
    public DataSize Memory { get; init; }

    /// <summary>When it was started.</summary>
    public DateTimeOffset? StartedAt { get; init; }
}

/// <summary>What happened to a domain.</summary>
public enum DomainEventKind
{
    /// <summary>It was started, or found running.</summary>
    Started,

    /// <summary>Its guest ended: it shut down or was destroyed.</summary>
    Stopped,

    /// <summary>Its processors were stopped.</summary>
    Paused,

    /// <summary>Its processors run again.</summary>
    Resumed,

    /// <summary>Its guest rebooted or was reset.</summary>
    Rebooted,

    /// <summary>It ended by a fault: the guest panicked or its process died.</summary>
    Crashed,
}

/// <summary>Something that happened to a domain.</summary>
/// <param name="Domain">The domain.</param>
/// <param name="Kind">What happened.</param>
/// <param name="State">The domain's state after it.</param>
/// <param name="At">When.</param>
public sealed record DomainEvent(DomainId Domain, DomainEventKind Kind, VmState State, DateTimeOffset At);

/// <summary>Where a running domain's VNC console listens.</summary>
/// <param name="Port">The TCP port on loopback; <see langword="null"/> where it listens on a unix socket.</param>
/// <param name="Address">The address; <see langword="null"/> where it listens on a unix socket.</param>
/// <param name="SocketPath">The unix socket; <see langword="null"/> where it listens on TCP.</param>
public sealed record VncEndpoint(int? Port, IPAddress? Address, string? SocketPath);

/// <summary>What a resize did at once; the rest holds from the next start.</summary>
/// <param name="CpusApplied">Whether the running domain has the new number of processors.</param>
/// <param name="MemoryApplied">Whether the running domain has the new amount of memory.</param>
/// <param name="Detail">For the user: why something waits for the next start; <see langword="null"/> when nothing does.</param>
public sealed record ResizeOutcome(bool CpusApplied, bool MemoryApplied, string? Detail);

/// <summary>What the host is.</summary>
public sealed record HostFacts
{
    /// <summary>Logical processors.</summary>
    public required int Cpus { get; init; }

    /// <summary>Threads per core; 1 without simultaneous multithreading.</summary>
    public required int ThreadsPerCore { get; init; }

    /// <summary>All memory that guests and host share.</summary>
    public required DataSize Memory { get; init; }

    /// <summary>Memory that a new guest could get now.</summary>
    public required DataSize FreeMemory { get; init; }
}

/// <summary>What the host does now.</summary>
public sealed record HostCounters
{
    /// <summary>Domains running or paused.</summary>
    public required int Domains { get; init; }

    /// <summary>Their virtual processors.</summary>
    public required int UsedCpus { get; init; }

    /// <summary>Their memory.</summary>
    public required DataSize UsedMemory { get; init; }

    /// <summary>Processor use of the whole host, in percent, since the previous reading.</summary>
    public required double CpuUtilization { get; init; }

    /// <summary>Memory use of the whole host, in percent.</summary>
    public required double MemoryUtilization { get; init; }

    /// <summary>Bytes received since boot over the physical interfaces.</summary>
    public required long ReceivedBytes { get; init; }

    /// <summary>Bytes sent since boot over the physical interfaces.</summary>
    public required long SentBytes { get; init; }
}

/// <summary>What one running domain has used.</summary>
/// <param name="CpuTime">Processor time since its start.</param>
/// <param name="Memory">Memory of the host that it holds.</param>
/// <param name="DiskReadBytes">Bytes read from its disks.</param>
/// <param name="DiskWrittenBytes">Bytes written to its disks.</param>
public sealed record DomainCounters(TimeSpan CpuTime, DataSize Memory, long DiskReadBytes, long DiskWrittenBytes);

/// <summary>Whether a driver can run guests here, and with what.</summary>
public sealed record HypervisorCapabilities
{
    /// <summary>Whether the driver can run guests on this host.</summary>
    public required bool Usable { get; init; }

    /// <summary>One sentence: why not, or what was found (version, accelerator).</summary>
    public required string Reason { get; init; }
}

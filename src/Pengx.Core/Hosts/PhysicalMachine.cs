namespace Pengx;

/// <summary>A physical host (reference, chapter 9: <c>PM</c>).</summary>
public sealed record PhysicalMachine
{
    /// <summary>How long after its last heartbeat a host still counts as up.</summary>
    public static readonly TimeSpan HeartbeatTimeout = TimeSpan.FromSeconds(90);

    /// <summary>The host's UUID.</summary>
    public required PmId Id { get; init; }

    /// <summary>Its name.</summary>
    public required string Name { get; init; }

    /// <summary>Its processors.</summary>
    public required int Cpus { get; init; }

    /// <summary>Its memory.</summary>
    public required DataSize Memory { get; init; }

    /// <summary>Its public SSH key, in <c>authorized_keys</c> form.</summary>
    public string? SshPublicKey { get; init; }

    /// <summary>When it was first seen.</summary>
    public required DateTimeOffset CreatedAt { get; init; }

    /// <summary>Its last heartbeat.</summary>
    public required DateTimeOffset UpdatedAt { get; init; }

    /// <summary>Counts the row's changes, for optimistic concurrency.</summary>
    public int Revision { get; init; }

    /// <summary>Whether the host's heartbeat is fresh.</summary>
    /// <param name="now">The time to judge at.</param>
    public bool IsUp(DateTimeOffset now) => now - UpdatedAt <= HeartbeatTimeout;
}

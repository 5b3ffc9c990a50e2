namespace Pengx;

/// <summary>The kinds of snapshots.</summary>
public enum SnapshotKind
{
    /// <summary>Saved: its layers are frozen and never written again; <c>S</c>.</summary>
    Saved,

    /// <summary>Run: the one writable overlay that the machine runs on, hidden from lists; <c>R</c>.</summary>
    Run,

    /// <summary>Deleted, while several others still lie on its layers; <c>D</c>. Hidden from lists, and gone with its layers when one
    /// is left.</summary>
    Deleted,

    /// <summary>Made of a merge that began and could not be finished: its layers hold a part of what was written later, and show no one
    /// instant; <c>P</c>. It can be deleted, which finishes the merge, and nothing else.</summary>
    Partial,
}

/// <summary>A snapshot of a virtual machine (reference, chapter 9: <c>Snapshot</c>).</summary>
public sealed record Snapshot
{
    /// <summary>The snapshot's UUID.</summary>
    public required SnapshotId Id { get; init; }

    /// <summary>The machine it was taken of.</summary>
    public required VmId Vm { get; init; }

    /// <summary>Saved or run.</summary>
    public required SnapshotKind Kind { get; init; }

    /// <summary>The snapshot it was taken on.</summary>
    public SnapshotId? Parent { get; init; }

    /// <summary>Its name, unique in its machine.</summary>
    public required string Name { get; init; }

    /// <summary>What it is for, in the operator's words.</summary>
    public string? Description { get; init; }

    /// <summary>When it was taken.</summary>
    public required DateTimeOffset CreatedAt { get; init; }

    /// <summary>Counts the row's changes, for optimistic concurrency.</summary>
    public int Revision { get; init; }

    /// <summary>Whether the guest's memory was kept with it. No field of the row: whoever shows the snapshot finds it by the disk of the
    /// owner <see cref="DiskOwner.MemoryOf"/>.</summary>
    public bool HasMemory { get; init; }

    /// <summary>Whether users see it: saved, or partial.</summary>
    public bool IsListed => Kind is SnapshotKind.Saved or SnapshotKind.Partial;

    /// <summary>Whether this snapshot is the parent of another (reference: <c>is_parent</c>).</summary>
    /// <param name="snapshots">The machine's snapshots.</param>
    public bool IsParent(IEnumerable<Snapshot> snapshots) => snapshots.Any(snapshot => snapshot.Parent == Id);
}

namespace Pengx.Orchestration;

/// <summary>The answer to <see cref="IOperationJournal.AddAsync"/>: exactly one of the three is set.</summary>
public sealed record JournalAdmission
{
    private JournalAdmission()
    {
    }

    /// <summary>The operation was added, its locks are held, and this is the right to work on it.</summary>
    public OperationLease? Lease { get; private init; }

    /// <summary>Nothing was added: this operation has the same idempotency key.</summary>
    public OperationRecord? Existing { get; private init; }

    /// <summary>Nothing was added: this lock is in the way.</summary>
    public LockConflict? Conflict { get; private init; }

    /// <summary>Says that the operation was added.</summary>
    /// <param name="lease">The right to work on it.</param>
    public static JournalAdmission Added(OperationLease lease) => new() { Lease = lease };

    /// <summary>Says that the key is known.</summary>
    /// <param name="existing">The operation that has it.</param>
    public static JournalAdmission Known(OperationRecord existing) => new() { Existing = existing };

    /// <summary>Says that a lock is in the way.</summary>
    /// <param name="conflict">The lock.</param>
    public static JournalAdmission Locked(LockConflict conflict) => new() { Conflict = conflict };
}

/// <summary>A lock in the way of a new operation.</summary>
/// <param name="Resource">The object.</param>
/// <param name="Holder">The operation that holds it.</param>
public sealed record LockConflict(string Resource, OperationRecord Holder);

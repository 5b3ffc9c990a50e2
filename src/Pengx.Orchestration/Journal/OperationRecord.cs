namespace Pengx.Orchestration;

/// <summary>An operation as the journal keeps it.</summary>
public sealed record OperationRecord
{
    /// <summary>Its identifier.</summary>
    public required OperationId Id { get; init; }

    /// <summary>The workflow's name and version: <c>vm.create@1</c>.</summary>
    public required string Kind { get; init; }

    /// <summary>The object it works on.</summary>
    public required string Target { get; init; }

    /// <summary>What it does, to be put into a sentence: <c>the creation of VM web1</c>.</summary>
    public required string Description { get; init; }

    /// <summary>The PM whose service accepted it.</summary>
    public required PmId Pm { get; init; }

    /// <summary>Whether any PM's service may finish it.</summary>
    public bool RunsAnywhere { get; init; }

    /// <summary>Whether a forced operation may cancel it.</summary>
    public bool Preemptible { get; init; }

    /// <summary>The caller's key; unique among the keys that have not expired.</summary>
    public string? IdempotencyKey { get; init; }

    /// <summary>The digest of what was asked for.</summary>
    public string? Fingerprint { get; init; }

    /// <summary>Until when the key is remembered; null without a key.</summary>
    public DateTimeOffset? KeyExpiresAt { get; init; }

    /// <summary>When it was accepted.</summary>
    public required DateTimeOffset CreatedAt { get; init; }

    /// <summary>Whether its end was asked for. Written by <see cref="IOperationJournal.RequestCancelAsync"/> alone.</summary>
    public bool CancelRequested { get; init; }

    /// <summary>Who works on it; null when nobody does. Written by adding, claiming, renewing, releasing and ending alone.</summary>
    public OperationLease? Lease { get; init; }

    /// <summary>How far it has come.</summary>
    public required OperationCheckpoint Checkpoint { get; init; }

    /// <summary>The operation as users see it.</summary>
    internal Operation ToOperation() => new()
    {
        Id = Id,
        Kind = Kind[..(Kind.LastIndexOf('@') is > 0 and var at ? at : Kind.Length)],
        Target = Target,
        Description = Description,
        State = Checkpoint.State,
        NeedsAttention = Checkpoint.NeedsAttention,
        Progress = Checkpoint.Progress,
        Step = Checkpoint.Step,
        BytesDone = Checkpoint.BytesDone,
        BytesTotal = Checkpoint.BytesTotal,
        Message = Checkpoint.NeedsAttention ? Checkpoint.AttentionMessage : Checkpoint.Message,
        Error = Checkpoint.Error,
        Created = Checkpoint.Created,
        CreatedAt = CreatedAt,
        FinishedAt = Checkpoint.FinishedAt,
    };
}

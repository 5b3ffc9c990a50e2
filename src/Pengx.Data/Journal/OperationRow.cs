using Pengx.Orchestration;

namespace Pengx.Data;

internal sealed class OperationRow
{
    /// <summary>Counts the operations in the order in which they were accepted.</summary>
    public long Sequence { get; set; }

    public Guid Id { get; set; }
    public required string Kind { get; set; }
    public required string Target { get; set; }
    public required string Description { get; set; }
    public Guid Pm { get; set; }
    public bool RunsAnywhere { get; set; }
    public bool Preemptible { get; set; }
    public string? IdempotencyKey { get; set; }
    public string? Fingerprint { get; set; }
    public long? KeyExpiresAt { get; set; }
    public long CreatedAt { get; set; }
    public bool CancelRequested { get; set; }

    /// <summary>Who holds the lease; nobody when null.</summary>
    public Guid? LeaseOwner { get; set; }

    /// <summary>The highest token that was ever given; it stays when the lease goes.</summary>
    public long LeaseToken { get; set; }

    public long? LeaseExpiresAt { get; set; }
    public int State { get; set; }
    public required string StateJson { get; set; }
    public bool NeedsAttention { get; set; }
    public string? AttentionMessage { get; set; }
    public int Direction { get; set; }
    public int Position { get; set; }
    public bool StepStarted { get; set; }
    public string? Step { get; set; }
    public int Progress { get; set; }
    public long BytesDone { get; set; }
    public long BytesTotal { get; set; }
    public string? Message { get; set; }
    public int? Error { get; set; }
    public string? Created { get; set; }
    public long? FinishedAt { get; set; }

    public static OperationRow From(OperationRecord record, OperationLease lease) => new()
    {
        Id = record.Id.Value,
        Kind = record.Kind,
        Target = record.Target,
        Description = record.Description,
        Pm = record.Pm.Value,
        RunsAnywhere = record.RunsAnywhere,
        Preemptible = record.Preemptible,
        IdempotencyKey = record.IdempotencyKey,
        Fingerprint = record.Fingerprint,
        KeyExpiresAt = record.KeyExpiresAt?.UtcTicks,
        CreatedAt = record.CreatedAt.UtcTicks,
        CancelRequested = record.CancelRequested,
        LeaseOwner = lease.Owner.Value,
        LeaseToken = lease.Token,
        LeaseExpiresAt = lease.ExpiresAt.UtcTicks,
        State = (int)record.Checkpoint.State,
        StateJson = record.Checkpoint.StateJson,
        NeedsAttention = record.Checkpoint.NeedsAttention,
        AttentionMessage = record.Checkpoint.AttentionMessage,
        Direction = (int)record.Checkpoint.Direction,
        Position = record.Checkpoint.Position,
        StepStarted = record.Checkpoint.StepStarted,
        Step = record.Checkpoint.Step,
        Progress = record.Checkpoint.Progress,
        BytesDone = record.Checkpoint.BytesDone,
        BytesTotal = record.Checkpoint.BytesTotal,
        Message = record.Checkpoint.Message,
        Error = (int?)record.Checkpoint.Error,
        Created = record.Checkpoint.Created,
        FinishedAt = record.Checkpoint.FinishedAt?.UtcTicks,
    };

    public OperationRecord ToRecord() => new()
    {
        Id = new(Id),
        Kind = Kind,
        Target = Target,
        Description = Description,
        Pm = new(Pm),
        RunsAnywhere = RunsAnywhere,
        Preemptible = Preemptible,
        IdempotencyKey = IdempotencyKey,
        Fingerprint = Fingerprint,
        KeyExpiresAt = StoredTime.From(KeyExpiresAt),
        CreatedAt = StoredTime.From(CreatedAt),
        CancelRequested = CancelRequested,
        Lease = LeaseOwner is { } owner && LeaseExpiresAt is { } end ? new(new(Id), new(owner), LeaseToken, StoredTime.From(end)) : null,
        Checkpoint = new()
        {
            State = (OperationState)State,
            StateJson = StateJson,
            NeedsAttention = NeedsAttention,
            AttentionMessage = AttentionMessage,
            Direction = (StepDirection)Direction,
            Position = Position,
            StepStarted = StepStarted,
            Step = Step,
            Progress = Progress,
            BytesDone = BytesDone,
            BytesTotal = BytesTotal,
            Message = Message,
            Error = (PengxErrorCode?)Error,
            Created = Created,
            FinishedAt = StoredTime.From(FinishedAt),
        },
    };
}

internal sealed class OperationLockRow
{
    public required string Resource { get; set; }
    public Guid Operation { get; set; }
    public bool Shared { get; set; }
}

namespace Pengx.Orchestration;

/// <summary>The part of an operation that changes from step to step; every write replaces it whole.</summary>
public sealed record OperationCheckpoint
{
    /// <summary>Where the operation stands.</summary>
    public required OperationState State { get; init; }

    /// <summary>The workflow's state as JSON.</summary>
    public required string StateJson { get; init; }

    /// <summary>It could neither be finished nor undone.</summary>
    public bool NeedsAttention { get; init; }

    /// <summary>Which way it goes through its steps.</summary>
    public StepDirection Direction { get; init; }

    /// <summary>Forward: how many steps are done. Undo: how many steps, counted from the first, are still to be undone.</summary>
    public int Position { get; init; }

    /// <summary>Whether the step at hand was started: forward the one after <see cref="Position"/> steps, in undo the last of them.</summary>
    public bool StepStarted { get; init; }

    /// <summary>The name of the step at hand, for the user.</summary>
    public string? Step { get; init; }

    /// <summary>How far it is, 0 to 100.</summary>
    public int Progress { get; init; }

    /// <summary>Bytes the step at hand has worked through.</summary>
    public long BytesDone { get; init; }

    /// <summary>Bytes the step at hand has to work through.</summary>
    public long BytesTotal { get; init; }

    /// <summary>The sentence for the user.</summary>
    public string? Message { get; init; }

    /// <summary>What stands in the way while it <see cref="NeedsAttention"/>; <see cref="Message"/> keeps what went wrong first.</summary>
    public string? AttentionMessage { get; init; }

    /// <summary>What kind of failure ended it, or is being undone.</summary>
    public PengxErrorCode? Error { get; init; }

    /// <summary>What it created.</summary>
    public string? Created { get; init; }

    /// <summary>When it ended.</summary>
    public DateTimeOffset? FinishedAt { get; init; }

    /// <summary>Whether it has ended.</summary>
    public bool IsFinished => State >= OperationState.Succeeded;
}

namespace Pengx.Client;

/// <summary>A piece of work of the server that goes on by itself: <c>&lt;operation&gt;</c> of <c>/operations/</c>.</summary>
public sealed record OperationResource
{
    /// <summary>The operation's id.</summary>
    public required Guid Id { get; init; }

    /// <summary>What it does, for example <c>vm.create</c>.</summary>
    public string? Kind { get; init; }

    /// <summary>The object it works on.</summary>
    public string? Target { get; init; }

    /// <summary><c>PENDING</c>, <c>RUNNING</c>, <c>SUCCEEDED</c>, <c>FAILED</c> or <c>CANCELLED</c>.</summary>
    public required string State { get; init; }

    /// <summary>How far it is, 0 to 100.</summary>
    public int Progress { get; init; }

    /// <summary>The step it is in.</summary>
    public string? Step { get; init; }

    /// <summary>Bytes moved so far, or null where nothing is counted.</summary>
    public long? BytesDone { get; init; }

    /// <summary>Bytes to move in all, or null where nothing is counted.</summary>
    public long? BytesTotal { get; init; }

    /// <summary>What was done, or why it failed.</summary>
    public string? Message { get; init; }

    /// <summary>When it was asked for.</summary>
    public DateTimeOffset? Created { get; init; }

    /// <summary>When it ended, or null while it goes on.</summary>
    public DateTimeOffset? Finished { get; init; }

    /// <summary>Whether it is over: succeeded, failed or cancelled.</summary>
    public bool IsFinished => Is(OperationStates.Succeeded) || Is(OperationStates.Failed) || Is(OperationStates.Cancelled);

    /// <summary>Whether it is over and did what was asked.</summary>
    public bool IsSucceeded => Is(OperationStates.Succeeded);

    private bool Is(string state) => string.Equals(State, state, StringComparison.OrdinalIgnoreCase);
}

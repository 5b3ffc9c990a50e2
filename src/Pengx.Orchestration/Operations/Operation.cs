namespace Pengx.Orchestration;

/// <summary>An operation as users see it: a change that is under way or has ended.</summary>
public sealed record Operation
{
    /// <summary>Its identifier.</summary>
    public required OperationId Id { get; init; }

    /// <summary>What kind of change it is, such as <c>vm.create</c>.</summary>
    public required string Kind { get; init; }

    /// <summary>The object it works on, such as <c>vm/7e1…</c> or <c>storlink/3</c>.</summary>
    public required string Target { get; init; }

    /// <summary>What it does, for messages: <c>the creation of VM web1</c>.</summary>
    public required string Description { get; init; }

    /// <summary>Where it stands.</summary>
    public required OperationState State { get; init; }

    /// <summary>It could neither be finished nor undone. Its locks are kept and it is tried again at the next start of its
    /// service; <see cref="Message"/> says what stands in the way.</summary>
    public bool NeedsAttention { get; init; }

    /// <summary>How far it is, 0 to 100.</summary>
    public int Progress { get; init; }

    /// <summary>The step that runs now, or ran last.</summary>
    public string? Step { get; init; }

    /// <summary>Bytes that the current step has worked through; 0 where it does not count bytes.</summary>
    public long BytesDone { get; init; }

    /// <summary>Bytes that the current step has to work through; 0 where it does not count bytes.</summary>
    public long BytesTotal { get; init; }

    /// <summary>The sentence for the user: what was achieved, or what went wrong.</summary>
    public string? Message { get; init; }

    /// <summary>What kind of failure ended it, or is being undone.</summary>
    public PengxErrorCode? Error { get; init; }

    /// <summary>What it created, such as <c>vm/7e1…/disk/09f…</c>.</summary>
    public string? Created { get; init; }

    /// <summary>When it was accepted.</summary>
    public required DateTimeOffset CreatedAt { get; init; }

    /// <summary>When it ended.</summary>
    public DateTimeOffset? FinishedAt { get; init; }

    /// <summary>Whether it has ended: nothing about it changes any more.</summary>
    public bool IsFinished => State >= OperationState.Succeeded;

    /// <summary>Returns the operation if it succeeded; throws otherwise.</summary>
    /// <exception cref="OperationFailedException">It failed, was cancelled or needs attention.</exception>
    /// <exception cref="InvalidOperationException">It is still under way: wait for it first.</exception>
    public Operation EnsureSucceeded()
    {
        if (State == OperationState.Succeeded)
        {
            return this;
        }

        if (!IsFinished && !NeedsAttention)
        {
            throw new InvalidOperationException($"Operation {Id} is still {State}; wait for it first.");
        }

        throw new OperationFailedException(this);
    }
}

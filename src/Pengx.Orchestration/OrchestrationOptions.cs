namespace Pengx.Orchestration;

/// <summary>How operations are run.</summary>
public sealed class OrchestrationOptions
{
    /// <summary>How long a service may be silent before another may take its operations over.</summary>
    /// <value>30 seconds. Leases are renewed three times as often.</value>
    public TimeSpan LeaseDuration { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>How many operations work at the same time; steps that only wait, and forced operations, do not count. Those that move
    /// whole images (<see cref="Workflow.MovesImages"/>) have as many places of their own.</summary>
    /// <value>8.</value>
    public int MaxConcurrentOperations { get; set; } = 8;

    /// <summary>How many unfinished operations this service holds at most; more are refused with
    /// <see cref="UnavailableException"/>.</summary>
    /// <value>1000.</value>
    public int MaxPendingOperations { get; set; } = 1000;

    /// <summary>The pause before the first repetition of a step; it doubles with each further one.</summary>
    /// <value>1 second.</value>
    public TimeSpan RetryDelay { get; set; } = TimeSpan.FromSeconds(1);

    /// <summary>The longest pause between repetitions.</summary>
    /// <value>30 seconds.</value>
    public TimeSpan MaxRetryDelay { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>How often a step before the switch is tried when its error is transient.</summary>
    /// <value>3.</value>
    public int TransientAttempts { get; set; } = 3;

    /// <summary>How often a step after the switch is tried before its operation needs attention.</summary>
    /// <value>8.</value>
    public int RollForwardAttempts { get; set; } = 8;

    /// <summary>How often an undo is tried before its operation needs attention.</summary>
    /// <value>5.</value>
    public int UndoAttempts { get; set; } = 5;

    /// <summary>How long after it was given up an operation that needs attention is tried again.</summary>
    /// <value>10 minutes.</value>
    public TimeSpan AttentionRetryInterval { get; set; } = TimeSpan.FromMinutes(10);

    /// <summary>How long a forced operation waits for the one it pre-empts.</summary>
    /// <value>30 seconds.</value>
    public TimeSpan PreemptTimeout { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>How long running steps may go on when the service stops; then they are cancelled, and run again at the next start.</summary>
    /// <value>20 seconds.</value>
    public TimeSpan StopTimeout { get; set; } = TimeSpan.FromSeconds(20);

    /// <summary>The shortest time between two progress notices of one operation.</summary>
    /// <value>Half a second.</value>
    public TimeSpan ProgressInterval { get; set; } = TimeSpan.FromMilliseconds(500);

    /// <summary>How often an operation that another service runs is looked up while it is waited for.</summary>
    /// <value>Half a second.</value>
    public TimeSpan PollInterval { get; set; } = TimeSpan.FromMilliseconds(500);

    /// <summary>How long an idempotency key is remembered.</summary>
    /// <value>24 hours.</value>
    public TimeSpan IdempotencyKeyLifetime { get; set; } = TimeSpan.FromHours(24);

    /// <summary>How long finished operations stay in the journal.</summary>
    /// <value>30 days.</value>
    public TimeSpan Retention { get; set; } = TimeSpan.FromDays(30);

    /// <summary>How many notices a watcher may lag behind before it loses the oldest.</summary>
    /// <value>256.</value>
    public int WatchBuffer { get; set; } = 256;

    /// <summary>Checks the figures against each other.</summary>
    /// <exception cref="InvalidOperationException">One of them cannot work.</exception>
    internal void Check()
    {
        Require(LeaseDuration >= TimeSpan.FromSeconds(1), nameof(LeaseDuration), "1 second or more");
        Require(MaxConcurrentOperations > 0, nameof(MaxConcurrentOperations), "1 or more");
        Require(MaxPendingOperations > 0, nameof(MaxPendingOperations), "1 or more");
        Require(RetryDelay > TimeSpan.Zero, nameof(RetryDelay), "more than nothing");
        Require(MaxRetryDelay >= RetryDelay, nameof(MaxRetryDelay), $"{nameof(RetryDelay)} or more");
        Require(TransientAttempts > 0, nameof(TransientAttempts), "1 or more");
        Require(RollForwardAttempts > 0, nameof(RollForwardAttempts), "1 or more");
        Require(UndoAttempts > 0, nameof(UndoAttempts), "1 or more");
        Require(AttentionRetryInterval > TimeSpan.Zero, nameof(AttentionRetryInterval), "more than nothing");
        Require(PreemptTimeout > TimeSpan.Zero, nameof(PreemptTimeout), "more than nothing");
        Require(StopTimeout >= TimeSpan.Zero, nameof(StopTimeout), "nothing or more");
        Require(ProgressInterval >= TimeSpan.Zero, nameof(ProgressInterval), "nothing or more");
        Require(PollInterval > TimeSpan.Zero, nameof(PollInterval), "more than nothing");
        Require(IdempotencyKeyLifetime > TimeSpan.Zero, nameof(IdempotencyKeyLifetime), "more than nothing");
        Require(Retention > TimeSpan.Zero, nameof(Retention), "more than nothing");
        Require(WatchBuffer > 0, nameof(WatchBuffer), "1 or more");
    }

    private static void Require(bool condition, string name, string rule)
    {
        if (!condition)
        {
            throw new InvalidOperationException($"{nameof(OrchestrationOptions)}.{name} must be {rule}.");
        }
    }
}

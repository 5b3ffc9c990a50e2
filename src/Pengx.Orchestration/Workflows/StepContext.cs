namespace Pengx.Orchestration;

/// <summary>What a step works with.</summary>
/// <typeparam name="TState">The workflow's state.</typeparam>
/// <param name="operationId">The operation.</param>
/// <param name="state">The state as the journal has it.</param>
/// <param name="progress">Where the step tells how far it is.</param>
/// <param name="timeProvider">The clock.</param>
public sealed class StepContext<TState>(OperationId operationId, TState state, IProgress<ByteProgress> progress, TimeProvider timeProvider)
    where TState : class
{
    /// <summary>The operation.</summary>
    public OperationId OperationId { get; } = operationId;

    /// <summary>The state. What a step changes in it, or puts in its place, is journaled with the step's outcome; a step that is
    /// run again after a crash finds it without the changes of the first run.</summary>
    public TState State { get; set; } = state;

    /// <summary>Where the step tells how far it is. It costs next to nothing and never blocks.</summary>
    public IProgress<ByteProgress> Progress { get; } = progress;

    /// <summary>The time.</summary>
    public DateTimeOffset Now => timeProvider.GetUtcNow();
}

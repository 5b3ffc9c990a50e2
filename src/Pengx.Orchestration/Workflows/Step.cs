namespace Pengx.Orchestration;

/// <summary>One step of a workflow: small, idempotent, with its undo.</summary>
/// <typeparam name="TState">The workflow's state.</typeparam>
/// <param name="name">The name that users and logs see, such as <c>create disk</c>.</param>
/// <param name="execute">What it does. It may be run several times, and must then find what an earlier run left.</param>
/// <param name="undo">Reverts it, whether it was done, half done or not done at all; left out where nothing needs reverting.</param>
public sealed class Step<TState>(
    string name,
    Func<StepContext<TState>, CancellationToken, Task> execute,
    Func<StepContext<TState>, CancellationToken, Task>? undo = null)
    where TState : class
{
    /// <summary>The name that users and logs see.</summary>
    public string Name { get; } = name;

    /// <summary>The step that makes the new state the valid one. Once it is done nothing is undone any more: later steps are
    /// repeated until they succeed. It is short, and a cancellation does not interrupt it.</summary>
    public bool IsSwitch { get; init; }

    /// <summary>A step that mostly waits (for a guest's shutdown): it takes no place among running operations.</summary>
    public bool IsWait { get; init; }

    /// <summary>What it does.</summary>
    public Func<StepContext<TState>, CancellationToken, Task> Execute { get; } = execute;

    /// <summary>What reverts it.</summary>
    public Func<StepContext<TState>, CancellationToken, Task>? Undo { get; } = undo;
}

using System.Text.Json;

namespace Pengx.Orchestration;

/// <summary>A workflow together with one operation's state, as the engine drives it.</summary>
internal abstract class WorkflowRun
{
    public abstract int StepCount { get; }

    public abstract string? Created { get; }

    public abstract string Succeeded { get; }

    public abstract string? Remark { get; }

    public abstract IReadOnlyList<ResourceLock> Locks { get; }

    /// <summary>Index of the switch, or -1.</summary>
    public abstract int SwitchIndex { get; }

    public abstract string NameOf(int step);

    public abstract bool IsWait(int step);

    public abstract bool HasUndo(int step);

    public abstract Task ExecuteAsync(int step, CancellationToken cancellationToken);

    public abstract Task UndoAsync(int step, CancellationToken cancellationToken);

    public abstract string WriteState();
}

/// <inheritdoc/>
internal sealed class WorkflowRun<TState>(Workflow<TState> workflow, StepContext<TState> context) : WorkflowRun
    where TState : class
{
    private readonly IReadOnlyList<Step<TState>> _steps = workflow.Steps;

    public override int StepCount => _steps.Count;

    public override string? Created => workflow.Created(context.State);

    public override string Succeeded => workflow.Succeeded(context.State);

    public override string? Remark => workflow.Remark(context.State);

    public override IReadOnlyList<ResourceLock> Locks => workflow.Locks(context.State);

    public override int SwitchIndex { get; } = workflow.Steps.ToList().FindIndex(step => step.IsSwitch);

    public override string NameOf(int step) => _steps[step].Name;

    public override bool IsWait(int step) => _steps[step].IsWait;

    public override bool HasUndo(int step) => _steps[step].Undo is not null;

    public override Task ExecuteAsync(int step, CancellationToken cancellationToken) => _steps[step].Execute(context, cancellationToken);

    public override Task UndoAsync(int step, CancellationToken cancellationToken) =>
        _steps[step].Undo is { } undo ? undo(context, cancellationToken) : Task.CompletedTask;

    public override string WriteState() => JsonSerializer.Serialize(context.State, workflow.StateType);
}

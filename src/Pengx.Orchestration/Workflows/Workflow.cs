using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;

namespace Pengx.Orchestration;

/// <summary>The base of every <see cref="Workflow{TState}"/>: register workflows as this type, so that the engine finds them again
/// after a restart.</summary>
public abstract class Workflow
{
    private protected Workflow()
    {
    }

    /// <summary>What kind of change it is, such as <c>vm.create</c>. Stored: never reused for something else.</summary>
    public abstract string Name { get; }

    /// <summary>The version of its steps and state. Stored: a change to the list of steps or to the state's shape needs a new
    /// number, and the old workflow stays registered until none of its operations is left.</summary>
    public virtual int Version => 1;

    /// <summary>Whether another operation that is forced may cancel it and take its locks: a shutdown that waits.</summary>
    public virtual bool Preemptible => false;

    /// <summary>Whether any PM's service may finish it when the one that started it is gone; otherwise it waits for its own.</summary>
    public virtual bool RunsAnywhere => false;

    /// <summary>Whether it copies, merges or wipes whole images, which may take hours: such operations have places of their own, so that
    /// starting a machine never waits for a backup to end.</summary>
    public virtual bool MovesImages => false;

    /// <summary>How the journal names it: <c>vm.create@1</c>.</summary>
    internal string Kind => string.Create(CultureInfo.InvariantCulture, $"{Name}@{Version}");

    /// <summary>Checks the list of steps, so that a mistake shows at start and not in an operation.</summary>
    /// <exception cref="InvalidOperationException">There is no step, two have one name, or more than one is the switch.</exception>
    internal abstract void Check();

    /// <summary>Makes a run of it from the journaled state.</summary>
    /// <exception cref="JsonException">The state does not have this workflow's shape.</exception>
    internal abstract WorkflowRun Bind(OperationId id, string stateJson, IProgress<ByteProgress> progress, TimeProvider timeProvider);
}

/// <summary>A kind of change: a fixed list of steps over a state that is journaled. Workflows hold no state of their own.</summary>
/// <typeparam name="TState">What the steps work with; all identifiers are chosen before the operation starts.</typeparam>
public abstract class Workflow<TState> : Workflow
    where TState : class
{
    /// <summary>How the state is written as JSON: from a source-generated context.</summary>
    public abstract JsonTypeInfo<TState> StateType { get; }

    /// <summary>The steps, in order; at most one is the switch.</summary>
    public abstract IReadOnlyList<Step<TState>> Steps { get; }

    /// <summary>The object it works on, such as <c>vm/7e1…</c>.</summary>
    /// <param name="state">The state.</param>
    public abstract string Target(TState state);

    /// <summary>What it does, to be put into a sentence: <c>the creation of VM web1</c>.</summary>
    /// <param name="state">The state.</param>
    public abstract string Describe(TState state);

    /// <summary>What it claims, all at once, from its acceptance until its end.</summary>
    /// <param name="state">The state.</param>
    public abstract IReadOnlyList<ResourceLock> Locks(TState state);

    /// <summary>The sentence for the user when it has succeeded.</summary>
    /// <param name="state">The state.</param>
    public abstract string Succeeded(TState state);

    /// <summary>What it created, such as <c>vm/7e1…/disk/09f…</c>.</summary>
    /// <param name="state">The state.</param>
    public virtual string? Created(TState state) => null;

    /// <summary>What else the user is told when it has failed or was cancelled and is undone; <see langword="null"/> for nothing.</summary>
    /// <param name="state">The state.</param>
    public virtual string? Remark(TState state) => null;

    internal override void Check()
    {
        if (Steps.Count == 0 || Steps.DistinctBy(step => step.Name).Count() != Steps.Count || Steps.Count(step => step.IsSwitch) > 1)
        {
            throw new InvalidOperationException($"Workflow {Kind} needs at least one step, a name of its own for each, and at most one switch.");
        }
    }

    internal override WorkflowRun Bind(OperationId id, string stateJson, IProgress<ByteProgress> progress, TimeProvider timeProvider)
    {
        var state = JsonSerializer.Deserialize(stateJson, StateType) ?? throw new JsonException($"The state of {Kind} is null.");
        return new WorkflowRun<TState>(this, new StepContext<TState>(id, state, progress, timeProvider));
    }
}

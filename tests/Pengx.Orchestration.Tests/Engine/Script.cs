using System.Collections.Concurrent;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;

namespace Pengx.Orchestration.Tests;

/// <summary>What scripts work with. The trace is part of the journaled state: it tells what the engine carried over.</summary>
internal sealed class ScriptState
{
    public string Name { get; set; } = "web1";

    public string[] Exclusive { get; set; } = [];

    public string[] Shared { get; set; } = [];

    public List<string> Trace { get; set; } = [];
}

[JsonSerializable(typeof(ScriptState))]
internal sealed partial class ScriptJson : JsonSerializerContext;

/// <summary>A workflow written in the test.</summary>
internal sealed class Script(params Step<ScriptState>[] steps) : Workflow<ScriptState>
{
    public string Called { get; init; } = "test.script";

    public bool MayBePreempted { get; init; }

    public bool MayRunAnywhere { get; init; }

    public bool DoesMoveImages { get; init; }

    public override string Name => Called;

    public override bool Preemptible => MayBePreempted;

    public override bool RunsAnywhere => MayRunAnywhere;

    public override bool MovesImages => DoesMoveImages;

    public override JsonTypeInfo<ScriptState> StateType => ScriptJson.Default.ScriptState;

    public override IReadOnlyList<Step<ScriptState>> Steps { get; } = steps;

    public override string Target(ScriptState state) => $"vm/{state.Name}";

    public override string Describe(ScriptState state) => $"the test of VM {state.Name}";

    public override IReadOnlyList<ResourceLock> Locks(ScriptState state) =>
        [.. state.Exclusive.Select(name => new ResourceLock(name)), .. state.Shared.Select(name => new ResourceLock(name, Shared: true))];

    public override string Succeeded(ScriptState state) => $"VM {state.Name} is tested: {string.Join(" ", state.Trace)}.";

    public override string? Created(ScriptState state) => $"vm/{state.Name}/made";
}

/// <summary>What really happened, whatever the journal says.</summary>
internal sealed class Happenings
{
    private readonly ConcurrentQueue<string> _all = new();

    public string[] All => [.. _all];

    public void Add(string happening) => _all.Enqueue(happening);

    /// <summary>A step that records that it ran, and its undo.</summary>
    public Step<ScriptState> Step(string name, bool isSwitch = false, Func<CancellationToken, Task>? work = null, Func<CancellationToken, Task>? undo = null, bool isWait = false) =>
        new(
            name,
            async (context, token) =>
            {
                Add(name);
                context.State.Trace.Add(name);
                await (work?.Invoke(token) ?? Task.CompletedTask);
            },
            async (context, token) =>
            {
                Add($"undo {name}");
                await (undo?.Invoke(token) ?? Task.CompletedTask);
            })
        { IsSwitch = isSwitch, IsWait = isWait };
}

/// <summary>A place where a step stops until the test lets it go.</summary>
internal sealed class Gate
{
    private readonly TaskCompletionSource _reached = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _open = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public Task Reached => _reached.Task.WaitAsync(EngineTest.Patience);

    public void Open() => _open.TrySetResult();

    public Task PassAsync(CancellationToken cancellationToken)
    {
        _reached.TrySetResult();
        return _open.Task.WaitAsync(cancellationToken);
    }
}

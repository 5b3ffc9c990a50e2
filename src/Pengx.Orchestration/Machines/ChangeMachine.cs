using System.Text.Json.Serialization.Metadata;

namespace Pengx.Orchestration;

/// <summary>The part of a machine's row that an operator changes.</summary>
internal sealed record MachineSettings(string Name, string? Description, int Cpus, DataSize Memory, DataSize MaxMemory)
{
    public static MachineSettings Of(VirtualMachine row) => new(row.Name, row.Description, row.Cpus, row.Memory, row.MaxMemory);

    public VirtualMachine Apply(VirtualMachine row, DateTimeOffset now)
    {
        var changed = row with { Name = Name, Description = Description, Cpus = Cpus, Memory = Memory, MaxMemory = MaxMemory };
        return changed == row ? row : changed with { UpdatedAt = now };
    }
}

internal sealed class ChangeMachineState
{
    public required VmId Vm { get; init; }

    /// <summary>As it was when the operation was accepted, for messages; <see cref="Old"/> is what an undo goes back to.</summary>
    public required string Name { get; init; }

    /// <summary>What shall change; <see langword="null"/> stays.</summary>
    public string? NewName { get; init; }

    public string? NewDescription { get; init; }

    public int? NewCpus { get; init; }

    public DataSize? NewMemory { get; init; }

    public DataSize? NewMaxMemory { get; init; }

    /// <summary>The settings before, read while the machine was held.</summary>
    public MachineSettings? Old { get; set; }

    public string? Outcome { get; set; }

    public MachineSettings New() => Old! with
    {
        Name = NewName ?? Old.Name,
        Description = NewDescription ?? Old.Description,
        Cpus = NewCpus ?? Old.Cpus,
        Memory = NewMemory ?? Old.Memory,
        MaxMemory = NewMaxMemory ?? Old.MaxMemory,
    };
}

/// <summary>Resize and edit: the stored configuration, then the running domain as far as it goes along, then the row.</summary>
internal sealed class ChangeMachine(Workplace place, bool isResize) : Workflow<ChangeMachineState>
{
    public override string Name => isResize ? "vm.resize" : "vm.edit";

    public override JsonTypeInfo<ChangeMachineState> StateType => JournalJson.Default.ChangeMachineState;

    public override IReadOnlyList<Step<ChangeMachineState>> Steps =>
    [
        new("read settings", async (context, cancellationToken) =>
        {
            var row = await place.Store.ReadAsync(session => session.VirtualMachines.FindAsync(context.State.Vm, cancellationToken), cancellationToken).ConfigureAwait(false)
                ?? throw new NotFoundException("VM", context.State.Vm.ToString());
            context.State.Old = MachineSettings.Of(row);
            var settings = context.State.New();
            FieldRules.MemoryFits(settings.Memory, settings.MaxMemory);
        }),
        new(
            "store configuration",
            async (context, cancellationToken) =>
            {
                var definition = await place.Store.ReadAsync(
                    async session =>
                    {
                        var rows = await MachineRows.FindAsync(session, context.State.Vm, cancellationToken).ConfigureAwait(false)
                            ?? throw new NotFoundException("VM", context.State.Vm.ToString());
                        return await place.Definitions.BuildAsync(session, rows with { Machine = context.State.New().Apply(rows.Machine, context.Now) }, cancellationToken).ConfigureAwait(false);
                    },
                    cancellationToken).ConfigureAwait(false);
                await place.Driver.Domains.DefineAsync(definition, cancellationToken).ConfigureAwait(false);
            },
            (context, cancellationToken) => place.Definitions.SyncAsync(context.State.Vm, cancellationToken)),
        new(
            "change the running machine",
            (context, cancellationToken) => ApplyAsync(context, context.State.New(), cancellationToken),
            (context, cancellationToken) => context.State.Old is { } old ? ApplyAsync(context, old, cancellationToken) : Task.CompletedTask),
        new(
            "record",
            (context, cancellationToken) => place.Store.ChangeMachineAsync(context.State.Vm, row => context.State.New().Apply(row, context.Now), cancellationToken),
            (context, cancellationToken) => context.State.Old is { } old
                ? place.Store.ChangeMachineAsync(context.State.Vm, row => old.Apply(row, context.Now), cancellationToken)
                : Task.CompletedTask)
        {
            IsSwitch = true,
        },
    ];

    public override string Target(ChangeMachineState state) => $"vm/{state.Vm}";

    public override string Describe(ChangeMachineState state) => $"the {(isResize ? "resize" : "edit")} of VM {state.Name}";

    public override IReadOnlyList<ResourceLock> Locks(ChangeMachineState state) => state.NewName is { } name
        ? [ResourceLock.On(state.Vm), ResourceLock.OnName("vm", name)]
        : [ResourceLock.On(state.Vm)];

    public override string Succeeded(ChangeMachineState state) => state.Outcome ?? $"VM '{state.NewName ?? state.Name}' was changed.";

    private async Task ApplyAsync(StepContext<ChangeMachineState> context, MachineSettings settings, CancellationToken cancellationToken)
    {
        var (state, domains) = (context.State, place.Driver.Domains);
        if (!await place.IsAliveAsync(state.Vm, cancellationToken).ConfigureAwait(false))
        {
            return;
        }

        if (!isResize)
        {
            await domains.RenameAsync(state.Vm, settings.Name, cancellationToken).ConfigureAwait(false);
            return;
        }

        var outcome = await domains.ResizeAsync(state.Vm, settings.Cpus, settings.Memory, cancellationToken).ConfigureAwait(false);
        var grown = state.NewMaxMemory is { } max && max != state.Old!.MaxMemory ? " The new maxmem holds from the next start." : "";
        state.Outcome = outcome is { CpusApplied: true, MemoryApplied: true }
            ? $"VM '{state.Name}' was resized while it runs.{grown}"
            : $"VM '{state.Name}' was resized; {What(outcome)} from the next start: {outcome.Detail ?? "the running machine does not allow the change"}.{grown}";
    }

    private static string What(ResizeOutcome outcome) => outcome switch
    {
        { CpusApplied: true } => "the memory holds",
        { MemoryApplied: true } => "the processors hold",
        _ => "processors and memory hold",
    };
}

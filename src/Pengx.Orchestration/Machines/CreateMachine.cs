using System.Text.Json.Serialization.Metadata;

namespace Pengx.Orchestration;

/// <summary>A disk to be made: empty, a copy, or an overlay where its row names a backing disk.</summary>
/// <param name="Disk">Its row.</param>
/// <param name="Source">The disk to copy.</param>
internal sealed record PlannedDisk(Disk Disk, DiskId? Source);

internal sealed class CreateMachineState
{
    public required VirtualMachine Machine { get; init; }

    public required IReadOnlyList<PlannedDisk> Disks { get; init; }

    public required IReadOnlyList<VmInterface> Interfaces { get; init; }

    public RowSet Rows() => new() { Machine = Machine, Disks = [.. Disks.Select(disk => disk.Disk)], Interfaces = Interfaces };
}

internal sealed class CreateMachine(Workplace place) : Workflow<CreateMachineState>
{
    public override string Name => "vm.create";

    public override bool MovesImages => true;

    public override JsonTypeInfo<CreateMachineState> StateType => JournalJson.Default.CreateMachineState;

    public override IReadOnlyList<Step<CreateMachineState>> Steps =>
    [
        new("check template", async (context, cancellationToken) =>
        {
            if (context.State.Machine.Template is { } template)
            {
                await TemplateRules.GetCopyableAsync(place, template, cancellationToken).ConfigureAwait(false);
            }
        }),
        new(
            "create disks",
            (context, cancellationToken) => VolumeSteps.CreateAsync(place, context.State.Disks, context.Progress, cancellationToken),
            (context, cancellationToken) => VolumeSteps.DeleteAsync(place, context.State.Disks.Select(disk => disk.Disk), cancellationToken)),
        new(
            "store configuration",
            async (context, cancellationToken) =>
            {
                var state = context.State;
                var definition = await place.Store.ReadAsync(
                    session => place.Definitions.BuildAsync(session, state.Machine, [.. state.Disks.Select(disk => disk.Disk)], state.Interfaces, cancellationToken),
                    cancellationToken).ConfigureAwait(false);
                await place.Driver.Domains.DefineAsync(definition, cancellationToken).ConfigureAwait(false);
            },
            (context, cancellationToken) => place.Driver.Domains.UndefineAsync(context.State.Machine.Id, cancellationToken)),
        new(
            "record",
            (context, cancellationToken) => context.State.Rows().AddAsync(place.Store, cancellationToken),
            (context, cancellationToken) => context.State.Rows().RemoveAsync(place.Store, cancellationToken))
        {
            IsSwitch = true,
        },
    ];

    public override string Target(CreateMachineState state) => $"vm/{state.Machine.Id}";

    public override string Describe(CreateMachineState state) => $"the creation of VM {state.Machine.Name}";

    public override IReadOnlyList<ResourceLock> Locks(CreateMachineState state) =>
    [
        ResourceLock.On(state.Machine.Id),
        ResourceLock.OnName("vm", state.Machine.Name),
        .. state.Machine.Template is { } template ? [ResourceLock.On(template, shared: true)] : Array.Empty<ResourceLock>(),
        .. state.Disks.Select(disk => ResourceLock.On(disk.Disk.Storlink, shared: true)).Distinct(),
    ];

    public override string Succeeded(CreateMachineState state) => $"VM '{state.Machine.Name}' was created.";

    public override string? Created(CreateMachineState state) => $"vm/{state.Machine.Id}";
}

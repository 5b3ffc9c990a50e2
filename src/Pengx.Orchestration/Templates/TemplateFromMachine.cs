using System.Text.Json.Serialization.Metadata;

namespace Pengx.Orchestration;

internal sealed class TemplateFromMachineState
{
    public required FrozenMachine Source { get; init; }

    public required Template Template { get; init; }

    public required StorlinkId Storlink { get; init; }

    public IReadOnlyList<PlannedDisk> Disks { get; set; } = [];

    public RowSet Rows() => new() { Template = Template, Disks = [.. Disks.Select(disk => disk.Disk)] };
}

/// <summary>A template of flattened copies of a machine's disks, as they were at one instant; the machine may run.</summary>
internal sealed class TemplateFromMachine(Workplace place) : Workflow<TemplateFromMachineState>
{
    public override string Name => "template.create";

    public override bool MovesImages => true;

    public override JsonTypeInfo<TemplateFromMachineState> StateType => JournalJson.Default.TemplateFromMachineState;

    public override IReadOnlyList<Step<TemplateFromMachineState>> Steps =>
    [
        new("look at the machine", async (context, cancellationToken) =>
        {
            var state = context.State;
            var rows = await Freezing.PlanAsync(place, state.Source, cancellationToken).ConfigureAwait(false);
            var storlink = await CopyMachine.FindStorlinkAsync(place, state.Storlink, cancellationToken).ConfigureAwait(false);
            state.Disks =
            [
                .. rows.Disks.OrderBy(disk => disk.Order).Select((disk, index) => new PlannedDisk(
                    Templates.NewDisk(state.Template, DiskId.New(), index, disk.Size, VolumeSteps.FormatOn(storlink, disk.Format), storlink.Id), disk.Id)),
            ];
        }),
        Freezing.Freeze<TemplateFromMachineState>(place, state => state.Source),
        new(
            "copy disks",
            (context, cancellationToken) => VolumeSteps.CopyFrozenAsync(place, context.State.Disks, context.Progress, cancellationToken),
            (context, cancellationToken) => VolumeSteps.DeleteAsync(place, context.State.Disks.Select(disk => disk.Disk), cancellationToken)),
        Freezing.Thaw<TemplateFromMachineState>(place, state => state.Source),
        new(
            "record",
            (context, cancellationToken) => context.State.Rows().AddAsync(place.Store, cancellationToken),
            (context, cancellationToken) => context.State.Rows().RemoveAsync(place.Store, cancellationToken))
        {
            IsSwitch = true,
        },
    ];

    public override string Target(TemplateFromMachineState state) => $"template/{state.Template.Id}";

    public override string Describe(TemplateFromMachineState state) => $"the creation of template {state.Template.Name} from VM {state.Source.Name}";

    public override IReadOnlyList<ResourceLock> Locks(TemplateFromMachineState state) =>
    [
        ResourceLock.On(state.Source.Vm), ResourceLock.On(state.Template.Id), ResourceLock.OnName("template", state.Template.Name), ResourceLock.On(state.Storlink, shared: true),
    ];

    public override string Succeeded(TemplateFromMachineState state) => $"Template '{state.Template.Name}' was created.{state.Source.KeptMessage()}";

    public override string? Remark(TemplateFromMachineState state) => state.Source.Kept is null ? null : state.Source.KeptMessage();

    public override string? Created(TemplateFromMachineState state) => $"template/{state.Template.Id}";
}

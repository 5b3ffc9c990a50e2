using System.Text.Json.Serialization.Metadata;

namespace Pengx.Orchestration;

internal sealed class MakeTemplateState
{
    public required Template Template { get; init; }

    /// <summary>Its disks; those to be made have <see cref="MakesDisks"/>, the others lie there already.</summary>
    public required IReadOnlyList<PlannedDisk> Disks { get; init; }

    public required bool MakesDisks { get; init; }

    public RowSet Rows() => new() { Template = Template, Disks = [.. Disks.Select(disk => disk.Disk)] };
}

/// <summary>Two of the ways to a template: images that lie there, and new empty ones.</summary>
internal sealed class MakeTemplate(Workplace place, string verb) : Workflow<MakeTemplateState>
{
    public override string Name => $"template.{verb}";

    public override JsonTypeInfo<MakeTemplateState> StateType => JournalJson.Default.MakeTemplateState;

    public override IReadOnlyList<Step<MakeTemplateState>> Steps =>
    [
        new(
            "create disks",
            (context, cancellationToken) => context.State.MakesDisks
                ? VolumeSteps.CreateAsync(place, context.State.Disks, context.Progress, cancellationToken)
                : DemandThereAsync(context, cancellationToken),
            (context, cancellationToken) => context.State.MakesDisks
                ? VolumeSteps.DeleteAsync(place, context.State.Disks.Select(disk => disk.Disk), cancellationToken)
                : Task.CompletedTask),
        new(
            "record",
            (context, cancellationToken) => context.State.Rows().AddAsync(place.Store, cancellationToken),
            (context, cancellationToken) => context.State.Rows().RemoveAsync(place.Store, cancellationToken))
        {
            IsSwitch = true,
        },
    ];

    public override string Target(MakeTemplateState state) => $"template/{state.Template.Id}";

    public override string Describe(MakeTemplateState state) => $"the creation of template {state.Template.Name}";

    public override IReadOnlyList<ResourceLock> Locks(MakeTemplateState state) =>
    [
        ResourceLock.On(state.Template.Id),
        ResourceLock.OnName("template", state.Template.Name),
        .. state.Disks.Select(disk => ResourceLock.On(disk.Disk.Storlink, shared: true)).Distinct(),
        .. state.MakesDisks ? Array.Empty<ResourceLock>() : state.Disks.Select(disk => ResourceLock.On(disk.Disk.Id)),
    ];

    public override string Succeeded(MakeTemplateState state) => $"Template '{state.Template.Name}' was created.";

    public override string? Created(MakeTemplateState state) => $"template/{state.Template.Id}";

    /// <summary>Demands again, while nobody else can take them, that images lie where they were found, and are not what an operation is about
    /// to remove. Whose they are, the rows tell when they are written.</summary>
    private async Task DemandThereAsync(StepContext<MakeTemplateState> context, CancellationToken cancellationToken)
    {
        foreach (var (disk, _) in context.State.Disks)
        {
            if (await UnfinishedOperations.FindOtherAsync(place, context.OperationId, disk.Id.ToString(), cancellationToken).ConfigureAwait(false) is { } other)
            {
                throw new InUseException($"Image {disk.Id} is what {other.Description} works on; wait for its end.");
            }

            if (!await Freezing.ExistsAsync(place, disk, cancellationToken).ConfigureAwait(false))
            {
                throw new NotFoundException("image", disk.Id.ToString());
            }
        }
    }
}

internal sealed class UpdateTemplateState
{
    public required TemplateId Template { get; init; }

    public required string Name { get; init; }

    public string? NewName { get; init; }

    public string? NewDescription { get; init; }

    public GuestOs? NewOs { get; init; }

    public OsArchitecture? NewArchitecture { get; init; }
}

internal sealed class UpdateTemplateRow(Workplace place) : Workflow<UpdateTemplateState>
{
    public override string Name => "template.update";

    public override JsonTypeInfo<UpdateTemplateState> StateType => JournalJson.Default.UpdateTemplateState;

    public override IReadOnlyList<Step<UpdateTemplateState>> Steps =>
    [
        new("record", (context, cancellationToken) => place.Store.ChangeTemplateAsync(
            context.State.Template,
            row =>
            {
                var state = context.State;
                var changed = row with
                {
                    Name = state.NewName ?? row.Name,
                    Description = state.NewDescription ?? row.Description,
                    Os = state.NewOs ?? row.Os,
                    Architecture = state.NewArchitecture ?? row.Architecture,
                };
                return changed == row ? row : changed with { UpdatedAt = context.Now };
            },
            cancellationToken))
        {
            IsSwitch = true,
        },
    ];

    public override string Target(UpdateTemplateState state) => $"template/{state.Template}";

    public override string Describe(UpdateTemplateState state) => $"the update of template {state.Name}";

    public override IReadOnlyList<ResourceLock> Locks(UpdateTemplateState state) => state.NewName is { } name
        ? [ResourceLock.On(state.Template), ResourceLock.OnName("template", name)]
        : [ResourceLock.On(state.Template)];

    public override string Succeeded(UpdateTemplateState state) => $"Template '{state.NewName ?? state.Name}' was changed.";
}

internal sealed class DeleteTemplateState
{
    public required Template Template { get; init; }

    public required IReadOnlyList<Disk> Disks { get; init; }

    public RowSet Rows() => new() { Template = Template, Disks = Disks };
}

internal sealed class DeleteTemplate(Workplace place) : Workflow<DeleteTemplateState>
{
    public override string Name => "template.delete";

    public override bool MovesImages => true;

    public override JsonTypeInfo<DeleteTemplateState> StateType => JournalJson.Default.DeleteTemplateState;

    public override IReadOnlyList<Step<DeleteTemplateState>> Steps =>
    [
        new("check template", (context, cancellationToken) =>
            TemplateRules.RefuseWhatIsNeededAsync(place, context.State.Template, cancellationToken)),
        new(
            "remove rows",
            (context, cancellationToken) => context.State.Rows().RemoveAsync(place.Store, cancellationToken),
            (context, cancellationToken) => context.State.Rows().AddAsync(place.Store, cancellationToken))
        {
            IsSwitch = true,
        },
        new("remove configuration", async (context, cancellationToken) =>
        {
            await place.Driver.Domains.DestroyAsync(context.State.Template.Id, cancellationToken).ConfigureAwait(false);
            await place.Driver.Domains.UndefineAsync(context.State.Template.Id, cancellationToken).ConfigureAwait(false);
        }),
        new("delete disks", (context, cancellationToken) => VolumeSteps.DeleteAsync(place, context.State.Disks, cancellationToken)),
    ];

    public override string Target(DeleteTemplateState state) => $"template/{state.Template.Id}";

    public override string Describe(DeleteTemplateState state) => $"the deletion of template {state.Template.Name}";

    public override IReadOnlyList<ResourceLock> Locks(DeleteTemplateState state) =>
        [ResourceLock.On(state.Template.Id), .. state.Disks.Select(disk => ResourceLock.On(disk.Storlink, shared: true)).Distinct()];

    public override string Succeeded(DeleteTemplateState state) => $"Template '{state.Template.Name}' was deleted.";
}

/// <summary>What may be done with templates.</summary>
internal static class TemplateRules
{
    private const int NamesShown = 10;

    /// <summary>A template that disks can be copied from.</summary>
    public static async Task<Template> GetCopyableAsync(Workplace place, TemplateId id, CancellationToken cancellationToken)
    {
        var template = await place.Store.ReadAsync(session => session.Templates.FindAsync(id, cancellationToken), cancellationToken).ConfigureAwait(false)
            ?? throw new NotFoundException("template", id.ToString());
        var state = template.Pm == place.Host.Id ? await place.StateAsync(id, cancellationToken).ConfigureAwait(false) : template.State;

        // One that crashed has its images open still, and may write to them once more.
        return state == VmState.Shutdown
            ? template
            : throw new WrongStateException($"Template '{template.Name}' is {VirtualMachines.Name(state)}; {(state == VmState.Running ? "shut it down" : "power it off")} before machines are made from it.");
    }

    public static async Task RefuseWhatIsNeededAsync(Workplace place, Template template, CancellationToken cancellationToken)
    {
        var machines = await place.Store.ReadAsync(session => session.VirtualMachines.ListByTemplateAsync(template.Id, cancellationToken), cancellationToken).ConfigureAwait(false);
        if (machines.Count > 0)
        {
            var names = string.Join(", ", machines.Take(NamesShown).Select(machine => machine.Name));
            throw new InUseException($"Template '{template.Name}' is what {machines.Count} VM{(machines.Count == 1 ? " was" : "s were")} made from: {names}{(machines.Count > NamesShown ? ", …" : "")}; delete them first.");
        }

        await RefuseOverlaysAsync(place, template.Id, template.Name, "delete that first", cancellationToken).ConfigureAwait(false);
        if (await place.IsAliveAsync(template.Id, cancellationToken).ConfigureAwait(false))
        {
            throw new WrongStateException($"Template '{template.Name}' runs; shut it down first.");
        }
    }

    /// <summary>Refuses what would write into images that others lie on.</summary>
    public static async Task RefuseOverlaysAsync(Workplace place, TemplateId template, string name, string advice, CancellationToken cancellationToken)
    {
        var overlay = await place.Store.ReadAsync(
            async session =>
            {
                foreach (var disk in await session.Disks.ListByOwnerAsync(DiskOwner.Of(template), cancellationToken).ConfigureAwait(false))
                {
                    if (await session.Disks.ListByBackingAsync(disk.Id, cancellationToken).ConfigureAwait(false) is [var first, ..])
                    {
                        return first;
                    }
                }

                return null;
            },
            cancellationToken).ConfigureAwait(false);
        if (overlay is not null)
        {
            throw new InUseException($"Disks of template '{name}' are what disk {overlay.Id} of {overlay.Owner.Kind} {overlay.Owner.Id:D} lies on; {advice}.");
        }
    }
}

using System.Text.Json.Serialization.Metadata;

namespace Pengx.Orchestration;

/// <summary>The state of the verbs that start and stop guests.</summary>
internal sealed class GuestState
{
    public required GuestRef Guest { get; init; }

    /// <summary>The ISO image to start with.</summary>
    public string? IsoPath { get; init; }

    /// <summary>When the guest was asked.</summary>
    public DateTimeOffset? AskedAt { get; set; }

    /// <summary>Whether the guest did what it was asked.</summary>
    public bool Obeyed { get; set; }
}

/// <summary>The base of the verbs that start and stop guests: one guest, held alone.</summary>
internal abstract class PowerWorkflow(Workplace place, string verb, bool ofTemplates) : Workflow<GuestState>
{
    protected Workplace Place { get; } = place;

    public override string Name { get; } = $"{(ofTemplates ? "template" : "vm")}.{verb}";

    public override JsonTypeInfo<GuestState> StateType => JournalJson.Default.GuestState;

    public override string Target(GuestState state) => state.Guest.Target;

    public override string Describe(GuestState state) => $"the {verb} of {state.Guest.Called}";

    public override IReadOnlyList<ResourceLock> Locks(GuestState state) => [state.Guest.Lock];

    protected static Step<GuestState> Record(Workplace place) => new(
        "record",
        (context, cancellationToken) => place.Recorder.RecordAsync(context.State.Guest, null, cancellationToken));

    protected Task RecordTruthAsync(StepContext<GuestState> context, CancellationToken cancellationToken) =>
        Place.Recorder.RecordAsync(context.State.Guest, null, cancellationToken);

    protected Task StoreConfigurationAsync(StepContext<GuestState> context, CancellationToken cancellationToken) => context.State.Guest.IsTemplate
        ? Place.Definitions.SyncAsync(new TemplateId(context.State.Guest.Id), context.State.IsoPath, cancellationToken)
        : Place.Definitions.SyncAsync(new VmId(context.State.Guest.Id), cancellationToken);
}

internal sealed class StartGuest(Workplace place, bool ofTemplates) : PowerWorkflow(place, "start", ofTemplates)
{
    public override IReadOnlyList<Step<GuestState>> Steps =>
    [
        // From here on, a guest that runs is this operation's, and may be destroyed by its undo.
        new("check state", async (context, cancellationToken) =>
        {
            if (await Place.IsAliveAsync(context.State.Guest.Domain, cancellationToken).ConfigureAwait(false))
            {
                throw new WrongStateException($"{context.State.Guest.Title} runs already.");
            }

            // A machine may have been made upon a template's disks since the request was looked at.
            if (context.State.Guest.IsTemplate)
            {
                await TemplateRules.RefuseOverlaysAsync(Place, new(context.State.Guest.Id), context.State.Guest.Name, "it must not be changed while they do", cancellationToken).ConfigureAwait(false);
            }
        }),
        new("store configuration", async (context, cancellationToken) =>
        {
            if (!context.State.Guest.IsTemplate)
            {
                await Place.Recorder.DropRetiredAsync(new(context.State.Guest.Id), cancellationToken).ConfigureAwait(false);
            }

            await StoreConfigurationAsync(context, cancellationToken).ConfigureAwait(false);
        }),
        new(
            "start",
            (context, cancellationToken) => Place.Driver.Domains.StartAsync(context.State.Guest.Domain, cancellationToken),
            async (context, cancellationToken) =>
            {
                await Place.Driver.Domains.DestroyAsync(context.State.Guest.Domain, cancellationToken).ConfigureAwait(false);
                await RecordTruthAsync(context, cancellationToken).ConfigureAwait(false);
            }),
        new("record", RecordTruthAsync) { IsSwitch = true },
    ];

    public override string Succeeded(GuestState state) => $"{state.Guest.Title} was started.";
}

internal sealed class ShutDownGuest(Workplace place, bool ofTemplates) : PowerWorkflow(place, "shutdown", ofTemplates)
{
    public override bool Preemptible => true;

    public override IReadOnlyList<Step<GuestState>> Steps =>
    [
        new("ask the guest", async (context, cancellationToken) =>
        {
            await Place.Driver.Domains.RequestShutdownAsync(context.State.Guest.Domain, cancellationToken).ConfigureAwait(false);
            context.State.AskedAt = context.Now;
        }),
        new("wait for the guest", async (context, cancellationToken) =>
        {
            var left = (context.State.AskedAt ?? context.Now) + Place.Options.ShutdownWait - context.Now;
            using var patience = new CancellationTokenSource(left > TimeSpan.Zero ? left : TimeSpan.Zero, Place.TimeProvider);
            using var either = CancellationTokenSource.CreateLinkedTokenSource(patience.Token, cancellationToken);
            try
            {
                await Place.Driver.Domains.WaitUntilStoppedAsync(context.State.Guest.Domain, either.Token).ConfigureAwait(false);
            }
            catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
            {
                // The guest ignores the request, or takes longer; the answer says so.
            }
        })
        {
            IsWait = true,
        },
        new("record", async (context, cancellationToken) =>
            context.State.Obeyed = await Place.Recorder.RecordAsync(context.State.Guest, null, cancellationToken).ConfigureAwait(false) is VmState.Shutdown or VmState.Crashed),
    ];

    public override string Succeeded(GuestState state) => state.Obeyed
        ? $"{state.Guest.Title} was shut down."
        : $"{state.Guest.Title} was asked to shut down and still runs after {Place.Options.ShutdownWait.TotalSeconds:0} s; power it off to force it.";
}

internal sealed class PowerOffGuest(Workplace place, bool ofTemplates) : PowerWorkflow(place, "poweroff", ofTemplates)
{
    public override IReadOnlyList<Step<GuestState>> Steps =>
    [
        new(
            "destroy",
            (context, cancellationToken) => Place.Driver.Domains.DestroyAsync(context.State.Guest.Domain, cancellationToken),
            RecordTruthAsync),
        Record(Place),
    ];

    public override string Succeeded(GuestState state) => $"{state.Guest.Title} was powered off.";
}

internal sealed class ResetMachine(Workplace place) : PowerWorkflow(place, "reset", ofTemplates: false)
{
    public override IReadOnlyList<Step<GuestState>> Steps =>
    [
        new(
            "destroy",
            (context, cancellationToken) => Place.Driver.Domains.DestroyAsync(context.State.Guest.Domain, cancellationToken),
            RecordTruthAsync),
        new("store configuration", async (context, cancellationToken) =>
        {
            await Place.Recorder.DropRetiredAsync(new(context.State.Guest.Id), cancellationToken).ConfigureAwait(false);
            await StoreConfigurationAsync(context, cancellationToken).ConfigureAwait(false);
        }),
        new("start", (context, cancellationToken) => Place.Driver.Domains.StartAsync(context.State.Guest.Domain, cancellationToken)),
        Record(Place),
    ];

    public override string Succeeded(GuestState state) => $"{state.Guest.Title} was reset.";
}

internal sealed class RebootMachine(Workplace place) : PowerWorkflow(place, "reboot", ofTemplates: false)
{
    public override bool Preemptible => true;

    public override IReadOnlyList<Step<GuestState>> Steps =>
    [
        new("reboot", async (context, cancellationToken) =>
            context.State.Obeyed = await Place.Driver.Domains.RebootAsync(context.State.Guest.Domain, Place.Options.RebootWait, cancellationToken).ConfigureAwait(false))
        {
            IsWait = true,
        },
        new("record", (context, cancellationToken) =>
            Place.Recorder.RecordAsync(context.State.Guest, context.State.Obeyed ? context.Now : null, cancellationToken)),
    ];

    public override string Succeeded(GuestState state) => state.Obeyed
        ? $"{state.Guest.Title} was rebooted."
        : $"{state.Guest.Title} was asked to reboot and had not within {Place.Options.RebootWait.TotalSeconds:0} s; reset it to force it.";
}

internal sealed class SuspendMachine(Workplace place) : PowerWorkflow(place, "suspend", ofTemplates: false)
{
    public override IReadOnlyList<Step<GuestState>> Steps =>
    [
        new("pause", (context, cancellationToken) => Place.Driver.Domains.PauseAsync(context.State.Guest.Domain, cancellationToken)),
        Record(Place),
    ];

    public override string Succeeded(GuestState state) => $"{state.Guest.Title} was suspended.";
}

internal sealed class ResumeMachine(Workplace place) : PowerWorkflow(place, "resume", ofTemplates: false)
{
    public override IReadOnlyList<Step<GuestState>> Steps =>
    [
        new("resume", (context, cancellationToken) => Place.Driver.Domains.ResumeAsync(context.State.Guest.Domain, cancellationToken)),
        Record(Place),
    ];

    public override string Succeeded(GuestState state) => $"{state.Guest.Title} was resumed.";
}

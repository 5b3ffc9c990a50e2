using System.Text.Json.Serialization.Metadata;

namespace Pengx.Orchestration;

/// <summary>Stores a machine's configuration as its rows say, while no operation can be between both.</summary>
internal sealed class RepairMachine(Workplace place) : Workflow<GuestState>
{
    public override string Name => "vm.repair";

    public override JsonTypeInfo<GuestState> StateType => JournalJson.Default.GuestState;

    public override IReadOnlyList<Step<GuestState>> Steps =>
    [
        new("store configuration", (context, cancellationToken) => place.Definitions.SyncAsync(new VmId(context.State.Guest.Id), cancellationToken))
        {
            // The service's start waits for it, and must not wait for what was taken up and is at work.
            IsWait = true,
        },
    ];

    public override string Target(GuestState state) => state.Guest.Target;

    public override string Describe(GuestState state) => $"the repair of the configuration of {state.Guest.Called}";

    public override IReadOnlyList<ResourceLock> Locks(GuestState state) => [state.Guest.Lock];

    public override string Succeeded(GuestState state) => $"The configuration of {state.Guest.Title} was stored as its rows say.";
}

namespace Pengx.Orchestration;

/// <summary>Every workflow on the host's own parts, once: networks, name servers, cards, storage.</summary>
internal sealed class HostWorkflows(Workplace place, IHostNetworking networking, IHostSriov sriov, StorageLayerDrivers drivers)
{
    /// <summary>All of them, to be registered so that the engine finds them again after a restart.</summary>
    public static IReadOnlyList<Func<HostWorkflows, Workflow>> All { get; } =
    [
        catalog => catalog.CreateNetwork, catalog => catalog.UpdateNetwork, catalog => catalog.DeleteNetwork,
        catalog => catalog.CreateDns, catalog => catalog.UpdateDns, catalog => catalog.DeleteDns,
        catalog => catalog.CreateSriovCard, catalog => catalog.UpdateSriovCard, catalog => catalog.DeleteSriovCard,
        catalog => catalog.CreateStorage, catalog => catalog.AttachStorage, catalog => catalog.DetachStorage, catalog => catalog.ResizeStorage,
        catalog => catalog.DeleteStorage,
    ];

    public ChangeNetwork CreateNetwork { get; } = new(place, networking, "create", "creation");

    public ChangeNetwork UpdateNetwork { get; } = new(place, networking, "update", "update");

    public ChangeNetwork DeleteNetwork { get; } = new(place, networking, "delete", "deletion");

    public ChangeDns CreateDns { get; } = new(place, networking, "create", "creation");

    public ChangeDns UpdateDns { get; } = new(place, networking, "update", "update");

    public ChangeDns DeleteDns { get; } = new(place, networking, "delete", "deletion");

    public ChangeSriovCard CreateSriovCard { get; } = new(place, sriov, "create", "creation");

    public ChangeSriovCard UpdateSriovCard { get; } = new(place, sriov, "update", "update");

    public ChangeSriovCard DeleteSriovCard { get; } = new(place, sriov, "delete", "deletion");

    public CreateStorage CreateStorage { get; } = new(place, drivers);

    public AttachStorage AttachStorage { get; } = new(place, drivers);

    public DetachStorage DetachStorage { get; } = new(place, drivers);

    public ResizeStorage ResizeStorage { get; } = new(place, drivers);

    public DeleteStorage DeleteStorage { get; } = new(place, drivers);
}

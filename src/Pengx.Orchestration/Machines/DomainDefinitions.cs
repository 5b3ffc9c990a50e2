namespace Pengx.Orchestration;

/// <summary>The one place where rows become a domain's configuration, so that what the driver stored can be held against them.</summary>
internal sealed class DomainDefinitions(Workplace place)
{
    // Far above any chain that snapshots may grow to; a longer one is a circle.
    private const int MaxChainLength = 256;

    public Task<DomainDefinition> BuildAsync(IStoreSession session, MachineRows rows, CancellationToken cancellationToken) =>
        BuildAsync(session, rows.Machine, rows.Disks, rows.Interfaces, cancellationToken);

    public async Task<DomainDefinition> BuildAsync(IStoreSession session, VirtualMachine machine, IReadOnlyList<Disk> disks, IReadOnlyList<VmInterface> interfaces, CancellationToken cancellationToken) => new()
    {
        Id = machine.Id,
        Name = machine.Name,
        Cpus = machine.Cpus,
        MaxCpus = Math.Max(machine.Cpus, place.Options.HotplugCpus),
        Memory = machine.Memory,
        MaxMemory = machine.MaxMemory,
        IsWindows = machine.IsWindows,
        Disks = await BuildDisksAsync(session, disks, cancellationToken).ConfigureAwait(false),
        Nics = [.. interfaces.Where(nic => !nic.Retired).OrderBy(nic => nic.Id.Value).Select(BuildNic)],
        VncPassword = machine.VncPassword,
        PciDevices = machine.VirtualFunctions,
    };

    public async Task<DomainDefinition> BuildAsync(IStoreSession session, Template template, IReadOnlyList<Disk> disks, string? isoPath, CancellationToken cancellationToken) => new()
    {
        Id = template.Id,
        Name = template.Name,
        Cpus = place.Options.TemplateCpus,
        MaxCpus = place.Options.TemplateCpus,
        Memory = DataSize.FromMiB(place.Options.TemplateMemoryMiB),
        MaxMemory = DataSize.FromMiB(place.Options.TemplateMemoryMiB),
        IsWindows = template.IsWindows,
        Disks = await BuildDisksAsync(session, disks, cancellationToken).ConfigureAwait(false),
        VncPassword = template.VncPassword,
        IsoPath = isoPath,
    };

    public static DomainNic BuildNic(VmInterface nic) => new() { Mac = nic.Mac, Switch = nic.Switch };

    /// <summary>A disk with every image beneath it. Its device follows from its order, so that it stays when others go.</summary>
    public async Task<DomainDisk> BuildDiskAsync(IStoreSession session, Disk disk, CancellationToken cancellationToken)
    {
        List<DiskLayer> layers = [];
        for (var layer = disk; layer is not null;)
        {
            if (layers.Count == MaxChainLength)
            {
                throw new StorageException($"The images beneath disk {disk.Id} form a circle.");
            }

            var storlink = await session.Storlinks.FindAsync(layer.Storlink, cancellationToken).ConfigureAwait(false)
                ?? throw new NotFoundException("storlink", layer.Storlink.ToString());
            layers.Add(await place.Storage.LayerAsync(storlink, layer, cancellationToken).ConfigureAwait(false));
            layer = layer.Backing is { } backing
                ? await session.Disks.FindAsync(backing, cancellationToken).ConfigureAwait(false) ?? throw new NotFoundException("disk", backing.ToString())
                : null;
        }

        return new DomainDisk { Id = disk.Id, Layers = layers, Vdev = Vdev.At(disk.Order) };
    }

    /// <summary>Stores a machine's configuration as its rows say now; none: removes it.</summary>
    public async Task SyncAsync(VmId id, CancellationToken cancellationToken)
    {
        var definition = await place.Store.ReadAsync(
            async session => await MachineRows.FindAsync(session, id, cancellationToken).ConfigureAwait(false) is { } rows
                ? await BuildAsync(session, rows, cancellationToken).ConfigureAwait(false)
                : null,
            cancellationToken).ConfigureAwait(false);
        await (definition is null
            ? place.Driver.Domains.UndefineAsync(id, cancellationToken)
            : place.Driver.Domains.DefineAsync(definition, cancellationToken)).ConfigureAwait(false);
    }

    /// <summary>Stores a machine's configuration where there is none, as of a guest that has just come from another PM: before overlays
    /// are laid there must be one, since it alone tells which images a guest that has ended wrote to last.</summary>
    public async Task EnsureAsync(VmId id, CancellationToken cancellationToken)
    {
        if (await place.Driver.Domains.FindDefinitionAsync(id, cancellationToken).ConfigureAwait(false) is null)
        {
            await SyncAsync(id, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Stores a template's configuration as its rows say now, with an ISO image.</summary>
    public async Task SyncAsync(TemplateId id, string? isoPath, CancellationToken cancellationToken)
    {
        var definition = await place.Store.ReadAsync(
            async session => await session.Templates.FindAsync(id, cancellationToken).ConfigureAwait(false) is { } template
                ? await BuildAsync(session, template, await session.Disks.ListByOwnerAsync(DiskOwner.Of(id), cancellationToken).ConfigureAwait(false), isoPath, cancellationToken).ConfigureAwait(false)
                : throw new NotFoundException("template", id.ToString()),
            cancellationToken).ConfigureAwait(false);
        await place.Driver.Domains.DefineAsync(definition, cancellationToken).ConfigureAwait(false);
    }

    private async Task<IReadOnlyList<DomainDisk>> BuildDisksAsync(IStoreSession session, IReadOnlyList<Disk> disks, CancellationToken cancellationToken)
    {
        List<DomainDisk> built = [];
        foreach (var disk in disks.OrderBy(disk => disk.Order))
        {
            built.Add(await BuildDiskAsync(session, disk, cancellationToken).ConfigureAwait(false));
        }

        return built;
    }
}

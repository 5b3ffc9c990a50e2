using System.Collections.Concurrent;
using System.Globalization;
using Xunit;

namespace Pengx.Testing;

/// <summary>What every <see cref="IPengxStore"/> must do. A store's tests inherit this and say how to make one.</summary>
/// <remarks>Rows that refer to others are added together with them, so stores that check references pass as well.</remarks>
public abstract class StoreContract
{
    /// <summary>Makes an empty store that is ready; the inheriting class disposes of it.</summary>
    protected abstract Task<IPengxStore> CreateAsync();

    private static CancellationToken Cancelled => new(canceled: true);

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    /// <summary>Nothing is lost between a record and its row.</summary>
    [Fact]
    public async Task Every_field_comes_back_as_it_was_saved()
    {
        var store = await CreateAsync().ConfigureAwait(false);
        var pm = SampleRows.Pm();
        var storlink = SampleRows.Storlink(pm.Id);
        var template = SampleRows.Template(pm.Id);
        var vm = SampleRows.Vm(pm.Id) with { Template = template.Id };
        var nic = SampleRows.Interface(vm.Id);
        var parent = SampleRows.Snapshot(vm.Id);
        var snapshot = SampleRows.Snapshot(vm.Id, "child") with { Parent = parent.Id };
        var bottom = SampleRows.Disk(DiskOwner.Of(parent.Id), storlink.Id);
        var disk = SampleRows.Disk(DiskOwner.Of(vm.Id), storlink.Id, order: 3) with { Backing = bottom.Id };
        var backup = SampleRows.Backup(vm.Id, storlink.Id);
        var network = SampleRows.Network(pm.Id);
        await SaveAsync(store, session =>
        {
            session.PhysicalMachines.Add(pm);
            session.Storlinks.Add(storlink);
            session.Templates.Add(template);
            session.VirtualMachines.Add(vm);
            session.VmInterfaces.Add(nic);
            session.Snapshots.Add(parent);
            session.Snapshots.Add(snapshot);
            session.Disks.Add(bottom);
            session.Disks.Add(disk);
            session.Backups.Add(backup);
            session.Networks.Add(network);
        }).ConfigureAwait(false);

        Assert.Equal(pm, await ReadAsync(store, session => session.PhysicalMachines.FindAsync(pm.Id, Token)).ConfigureAwait(false));
        Assert.Equal(storlink, await ReadAsync(store, session => session.Storlinks.FindAsync(storlink.Id, Token)).ConfigureAwait(false));
        Assert.Equal(template, await ReadAsync(store, session => session.Templates.FindAsync(template.Id, Token)).ConfigureAwait(false));
        Assert.Equal(nic, await ReadAsync(store, session => session.VmInterfaces.FindAsync(nic.Id, Token)).ConfigureAwait(false));
        Assert.Equal(parent, await ReadAsync(store, session => session.Snapshots.FindAsync(parent.Id, Token)).ConfigureAwait(false));
        Assert.Equal(snapshot, await ReadAsync(store, session => session.Snapshots.FindAsync(snapshot.Id, Token)).ConfigureAwait(false));
        Assert.Equal(disk, await ReadAsync(store, session => session.Disks.FindAsync(disk.Id, Token)).ConfigureAwait(false));
        Assert.Equal(backup, await ReadAsync(store, session => session.Backups.FindAsync(backup.Id, Token)).ConfigureAwait(false));

        // Records compare their lists by reference.
        var foundVm = Assert.IsType<VirtualMachine>(await ReadAsync(store, session => session.VirtualMachines.FindAsync(vm.Id, Token)).ConfigureAwait(false));
        Assert.Equal(vm.VirtualFunctions, foundVm.VirtualFunctions);
        Assert.Equal(vm, foundVm with { VirtualFunctions = vm.VirtualFunctions });
        var foundNetwork = Assert.IsType<Network>(await ReadAsync(store, session => session.Networks.FindAsync(network.Id, Token)).ConfigureAwait(false));
        Assert.Equal(network.BridgePorts, foundNetwork.BridgePorts);
        Assert.Equal(network.BondSlaves, foundNetwork.BondSlaves);
        Assert.Equal(network, foundNetwork with { BridgePorts = network.BridgePorts, BondSlaves = network.BondSlaves });
    }

    /// <summary>Nothing of a host's storage layers, name servers and cards is lost between a record and its row.</summary>
    [Fact]
    public async Task What_a_host_is_made_of_comes_back_as_it_was_saved()
    {
        var store = await CreateAsync().ConfigureAwait(false);
        var pm = SampleRows.Pm();
        var (layer, node, dns, card) = (SampleRows.StorageLayer(pm.Id), SampleRows.Ocfs2Node(pm.Id), SampleRows.Dns(pm.Id), SampleRows.SriovCard(pm.Id));
        var bare = new StorageLayer { Id = 2, Pm = pm.Id, Category = StorageCategory.PhysicalVolume };
        var (bareDns, bareCard) = (new DnsServers { Id = 2, Pm = PmId.New() }, card with { Id = 2, PhysicalFunction = "eth1", VirtualFunctions = [] });
        await SaveAsync(store, session =>
        {
            session.PhysicalMachines.Add(pm);
            session.PhysicalMachines.Add(SampleRows.Pm("other") with { Id = bareDns.Pm });
            session.StorageLayers.Add(layer);
            session.StorageLayers.Add(bare);
            session.Ocfs2Nodes.Add(node);
            session.Dns.Add(dns);
            session.Dns.Add(bareDns);
            session.SriovCards.Add(card);
            session.SriovCards.Add(bareCard);
        }).ConfigureAwait(false);

        // Records compare their lists by reference.
        foreach (var saved in (StorageLayer[])[layer, bare])
        {
            var found = Assert.IsType<StorageLayer>(await ReadAsync(store, session => session.StorageLayers.FindAsync(saved.Id, Token)).ConfigureAwait(false));
            Assert.Equal(saved.PhysicalVolumeIds, found.PhysicalVolumeIds);
            Assert.Equal(saved.DrbdPeerIps, found.DrbdPeerIps);
            Assert.Equal(saved, found with { PhysicalVolumeIds = saved.PhysicalVolumeIds, DrbdPeerIps = saved.DrbdPeerIps });
        }

        foreach (var saved in (SriovCard[])[card, bareCard])
        {
            var found = Assert.IsType<SriovCard>(await ReadAsync(store, session => session.SriovCards.FindAsync(saved.Id, Token)).ConfigureAwait(false));
            Assert.Equal(saved.VirtualFunctions, found.VirtualFunctions);
            Assert.Equal(saved, found with { VirtualFunctions = saved.VirtualFunctions });
        }

        Assert.Equal(node, await ReadAsync(store, session => session.Ocfs2Nodes.FindAsync(node.Id, Token)).ConfigureAwait(false));
        Assert.Equal(dns, await ReadAsync(store, session => session.Dns.FindAsync(dns.Id, Token)).ConfigureAwait(false));
        Assert.Equal(bareDns, await ReadAsync(store, session => session.Dns.FindAsync(bareDns.Id, Token)).ConfigureAwait(false));

        Assert.Equal([1, 2], (await ReadAsync(store, session => session.StorageLayers.ListByPmAsync(pm.Id, Token)).ConfigureAwait(false)).Select(row => row.Id));
        Assert.Equal([1], (await ReadAsync(store, session => session.Ocfs2Nodes.ListByStorageAsync(1, Token)).ConfigureAwait(false)).Select(row => row.Id));
        Assert.Equal([1], (await ReadAsync(store, session => session.Dns.ListByPmAsync(pm.Id, Token)).ConfigureAwait(false)).Select(row => row.Id));
        Assert.Equal(["eth0", "eth1"], (await ReadAsync(store, session => session.SriovCards.ListByPmAsync(pm.Id, Token)).ConfigureAwait(false)).Select(row => row.PhysicalFunction));
        Assert.Empty(await ReadAsync(store, session => session.StorageLayers.ListByPmAsync(PmId.New(), Token)).ConfigureAwait(false));

        // Numbers of their own, and revisions.
        Assert.Equal(3, await ReadAsync(store, session => session.StorageLayers.NextIdAsync(Token)).ConfigureAwait(false));
        Assert.Equal(2, await ReadAsync(store, session => session.Ocfs2Nodes.NextIdAsync(Token)).ConfigureAwait(false));
        Assert.Equal(3, await ReadAsync(store, session => session.Dns.NextIdAsync(Token)).ConfigureAwait(false));
        Assert.Equal(3, await ReadAsync(store, session => session.SriovCards.NextIdAsync(Token)).ConfigureAwait(false));
        foreach (var change in (Action<IStoreSession>[])
            [session => session.StorageLayers.Update(layer), session => session.Ocfs2Nodes.Update(node), session => session.Dns.Update(dns), session => session.SriovCards.Update(card)])
        {
            await SaveAsync(store, change).ConfigureAwait(false);
            await Assert.ThrowsAsync<ConcurrencyException>(() => SaveAsync(store, change)).ConfigureAwait(false);
        }

        // What differs in a list alone is a change, too.
        var known = Assert.IsType<SriovCard>(await ReadAsync(store, session => session.SriovCards.FindAsync(card.Id, Token)).ConfigureAwait(false));
        PciAddress[] fewer = [known.VirtualFunctions[^1]];
        await SaveAsync(store, session => session.SriovCards.Update(known with { VirtualFunctions = fewer })).ConfigureAwait(false);
        Assert.Equal(fewer, (await ReadAsync(store, session => session.SriovCards.FindAsync(card.Id, Token)).ConfigureAwait(false))!.VirtualFunctions);

        await SaveAsync(store, session =>
        {
            session.Ocfs2Nodes.Delete(node with { Revision = 1 });
            session.StorageLayers.Delete(layer with { Revision = 1 });
        }).ConfigureAwait(false);
        Assert.Null(await ReadAsync(store, session => session.StorageLayers.FindAsync(layer.Id, Token)).ConfigureAwait(false));
    }

    /// <summary>What a host can have once only is refused by name.</summary>
    [Fact]
    public async Task What_a_host_has_once_is_unique()
    {
        var store = await CreateAsync().ConfigureAwait(false);
        var pm = SampleRows.Pm();
        await SaveAsync(store, session =>
        {
            session.PhysicalMachines.Add(pm);
            session.Networks.Add(SampleRows.Network(pm.Id));
            session.Dns.Add(SampleRows.Dns(pm.Id));
            session.SriovCards.Add(SampleRows.SriovCard(pm.Id));
            session.StorageLayers.Add(SampleRows.StorageLayer(pm.Id));
            session.Ocfs2Nodes.Add(SampleRows.Ocfs2Node(pm.Id));
        }).ConfigureAwait(false);
        await AssertTakenAsync(store, "name", "xenbr0", session => session.Networks.Add(SampleRows.Network(pm.Id, 2))).ConfigureAwait(false);
        await AssertTakenAsync(store, "pm", pm.Id.ToString(), session => session.Dns.Add(SampleRows.Dns(pm.Id, 2))).ConfigureAwait(false);
        await AssertTakenAsync(store, "pf", "eth0", session => session.SriovCards.Add(SampleRows.SriovCard(pm.Id, 2))).ConfigureAwait(false);
        await AssertTakenAsync(store, "mount_point", "/mnt/1", session => session.StorageLayers.Add(SampleRows.StorageLayer(pm.Id, 2) with { MountPoint = "/mnt/1" })).ConfigureAwait(false);
        await AssertTakenAsync(store, "number", "1", session => session.Ocfs2Nodes.Add(SampleRows.Ocfs2Node(pm.Id, 1, 2) with { Number = 1 })).ConfigureAwait(false);
    }

    /// <summary>What was not given comes back as not given.</summary>
    [Fact]
    public async Task Missing_fields_come_back_missing()
    {
        var store = await CreateAsync().ConfigureAwait(false);
        var pm = SampleRows.Pm() with { SshPublicKey = null };
        var storlink = SampleRows.Storlink(pm.Id) with { Description = null, Shared = false };
        var vm = SampleRows.Vm(pm.Id) with { Description = null, VncPort = null, VncPassword = null, RecentBootedAt = null, VirtualFunctions = [] };
        var nic = SampleRows.Interface(vm.Id) with { IpAddress = null, Retired = false };
        var disk = SampleRows.Disk(DiskOwner.Of(vm.Id), storlink.Id) with { Type = null, Description = null };
        var network = SampleRows.Network(pm.Id) with
        {
            Mac = null, IpAddress = null, PrefixLength = null, Gateway = null, BridgeType = null, BondMode = null, BridgePorts = [], BondSlaves = [],
            Mtu = null, VlanId = null, VlanDevice = null, Managed = false,
        };
        await SaveAsync(store, session =>
        {
            session.PhysicalMachines.Add(pm);
            session.Storlinks.Add(storlink);
            session.VirtualMachines.Add(vm);
            session.VmInterfaces.Add(nic);
            session.Disks.Add(disk);
            session.Networks.Add(network);
        }).ConfigureAwait(false);

        Assert.Equal(pm, await ReadAsync(store, session => session.PhysicalMachines.FindAsync(pm.Id, Token)).ConfigureAwait(false));
        Assert.Equal(storlink, await ReadAsync(store, session => session.Storlinks.FindAsync(storlink.Id, Token)).ConfigureAwait(false));
        Assert.Equal(nic, await ReadAsync(store, session => session.VmInterfaces.FindAsync(nic.Id, Token)).ConfigureAwait(false));
        Assert.Equal(disk, await ReadAsync(store, session => session.Disks.FindAsync(disk.Id, Token)).ConfigureAwait(false));
        var foundVm = Assert.IsType<VirtualMachine>(await ReadAsync(store, session => session.VirtualMachines.FindAsync(vm.Id, Token)).ConfigureAwait(false));
        Assert.Empty(foundVm.VirtualFunctions);
        Assert.Equal(vm, foundVm with { VirtualFunctions = vm.VirtualFunctions });
        var foundNetwork = Assert.IsType<Network>(await ReadAsync(store, session => session.Networks.FindAsync(network.Id, Token)).ConfigureAwait(false));
        Assert.Equal(network, foundNetwork with { BridgePorts = network.BridgePorts, BondSlaves = network.BondSlaves });
    }

    /// <summary>A time given in another zone is the same instant.</summary>
    [Fact]
    public async Task Times_keep_their_instant()
    {
        var store = await CreateAsync().ConfigureAwait(false);
        var pm = SampleRows.Pm() with { CreatedAt = SampleRows.Time.ToOffset(TimeSpan.FromHours(9)) };
        await SaveAsync(store, session => session.PhysicalMachines.Add(pm)).ConfigureAwait(false);

        var found = await ReadAsync(store, session => session.PhysicalMachines.FindAsync(pm.Id, Token)).ConfigureAwait(false);
        Assert.Equal(SampleRows.Time, found!.CreatedAt);
    }

    /// <summary>Readying a store that is ready changes nothing.</summary>
    [Fact]
    public async Task Initializing_again_keeps_what_is_there()
    {
        var store = await CreateAsync().ConfigureAwait(false);
        var pm = SampleRows.Pm();
        await SaveAsync(store, session => session.PhysicalMachines.Add(pm)).ConfigureAwait(false);

        await store.InitializeAsync(Token).ConfigureAwait(false);
        Assert.Equal(pm, await ReadAsync(store, session => session.PhysicalMachines.FindAsync(pm.Id, Token)).ConfigureAwait(false));
    }

    /// <summary>A session that is dropped leaves nothing.</summary>
    [Fact]
    public async Task What_is_not_saved_never_was()
    {
        var store = await CreateAsync().ConfigureAwait(false);
        var (pm, _, vm) = await AddMachineAsync(store).ConfigureAwait(false);
        var other = SampleRows.Pm("pm2");
        await ReadAsync(store, session =>
        {
            session.PhysicalMachines.Add(other);
            session.PhysicalMachines.Update(pm with { Name = "renamed" });
            session.VirtualMachines.Delete(vm);
            return Task.FromResult(true);
        }).ConfigureAwait(false);

        Assert.Equal([pm], await ReadAsync(store, session => CollectAsync(session.PhysicalMachines.ListAsync(Token))).ConfigureAwait(false));
        Assert.NotNull(await ReadAsync(store, session => session.VirtualMachines.FindAsync(vm.Id, Token)).ConfigureAwait(false));
    }

    /// <summary>Other sessions see a change when it is saved, and not before.</summary>
    [Fact]
    public async Task Changes_are_seen_by_others_after_saving()
    {
        var store = await CreateAsync().ConfigureAwait(false);
        var pm = SampleRows.Pm();
        var session = await store.OpenAsync(Token).ConfigureAwait(false);
        await using (session.ConfigureAwait(false))
        {
            session.PhysicalMachines.Add(pm);
            Assert.Null(await ReadAsync(store, other => other.PhysicalMachines.FindAsync(pm.Id, Token)).ConfigureAwait(false));
            await session.SaveAsync(Token).ConfigureAwait(false);
            Assert.Equal(pm, await ReadAsync(store, other => other.PhysicalMachines.FindAsync(pm.Id, Token)).ConfigureAwait(false));
        }
    }

    /// <summary>One refused row takes the whole session with it.</summary>
    [Fact]
    public async Task Saving_is_all_or_nothing()
    {
        var store = await CreateAsync().ConfigureAwait(false);
        var (pm, storlink, vm) = await AddMachineAsync(store).ConfigureAwait(false);
        var fresh = SampleRows.Vm(pm.Id, "fresh");

        await Assert.ThrowsAsync<InvalidFieldException>(() => SaveAsync(store, session =>
        {
            session.VirtualMachines.Add(fresh);
            session.Storlinks.Update(storlink with { Link = "/elsewhere" });
            session.VirtualMachines.Add(SampleRows.Vm(pm.Id, vm.Name));
        })).ConfigureAwait(false);

        Assert.Null(await ReadAsync(store, session => session.VirtualMachines.FindAsync(fresh.Id, Token)).ConfigureAwait(false));
        Assert.Equal(storlink, await ReadAsync(store, session => session.Storlinks.FindAsync(storlink.Id, Token)).ConfigureAwait(false));
    }

    /// <summary>A session can be saved more than once.</summary>
    [Fact]
    public async Task Saving_twice_applies_each_change_once()
    {
        var store = await CreateAsync().ConfigureAwait(false);
        var (first, second) = (SampleRows.Pm("a"), SampleRows.Pm("b"));
        await ReadAsync(store, async session =>
        {
            session.PhysicalMachines.Add(first);
            await session.SaveAsync(Token).ConfigureAwait(false);
            session.PhysicalMachines.Add(second);
            await session.SaveAsync(Token).ConfigureAwait(false);
            return true;
        }).ConfigureAwait(false);

        Assert.Equal([first, second], await ReadAsync(store, session => CollectAsync(session.PhysicalMachines.ListAsync(Token))).ConfigureAwait(false));
    }

    /// <summary>Revisions start at 0 and count the updates.</summary>
    [Fact]
    public async Task Each_update_counts_the_revision_up()
    {
        var store = await CreateAsync().ConfigureAwait(false);
        var pm = SampleRows.Pm();
        await SaveAsync(store, session => session.PhysicalMachines.Add(pm with { Revision = 41 })).ConfigureAwait(false);
        Assert.Equal(0, (await ReadAsync(store, session => session.PhysicalMachines.FindAsync(pm.Id, Token)).ConfigureAwait(false))!.Revision);

        await SaveAsync(store, session => session.PhysicalMachines.Update(pm with { Cpus = 16 })).ConfigureAwait(false);
        var updated = await ReadAsync(store, session => session.PhysicalMachines.FindAsync(pm.Id, Token)).ConfigureAwait(false);
        Assert.Equal(pm with { Cpus = 16, Revision = 1 }, updated);

        await SaveAsync(store, session => session.PhysicalMachines.Update(updated!)).ConfigureAwait(false);
        Assert.Equal(2, (await ReadAsync(store, session => session.PhysicalMachines.FindAsync(pm.Id, Token)).ConfigureAwait(false))!.Revision);
    }

    /// <summary>Who read an older revision changes nothing, and is told which object it was.</summary>
    [Fact]
    public async Task Stale_rows_are_refused_by_name()
    {
        var store = await CreateAsync().ConfigureAwait(false);
        var (_, _, vm) = await AddMachineAsync(store).ConfigureAwait(false);
        await SaveAsync(store, session => session.VirtualMachines.Update(vm with { Cpus = 4 })).ConfigureAwait(false);

        var update = await Assert.ThrowsAsync<ConcurrencyException>(
            () => SaveAsync(store, session => session.VirtualMachines.Update(vm with { Cpus = 8 }))).ConfigureAwait(false);
        var delete = await Assert.ThrowsAsync<ConcurrencyException>(
            () => SaveAsync(store, session => session.VirtualMachines.Delete(vm))).ConfigureAwait(false);

        Assert.Contains(vm.Name, update.Message, StringComparison.Ordinal);
        Assert.Contains(vm.Name, delete.Message, StringComparison.Ordinal);
        Assert.Equal(4, (await ReadAsync(store, session => session.VirtualMachines.FindAsync(vm.Id, Token)).ConfigureAwait(false))!.Cpus);
    }

    /// <summary>A row that another deleted cannot be updated or deleted.</summary>
    [Fact]
    public async Task Deleted_rows_are_refused()
    {
        var store = await CreateAsync().ConfigureAwait(false);
        var pm = SampleRows.Pm();
        await SaveAsync(store, session => session.PhysicalMachines.Add(pm)).ConfigureAwait(false);
        await SaveAsync(store, session => session.PhysicalMachines.Delete(pm)).ConfigureAwait(false);

        Assert.Null(await ReadAsync(store, session => session.PhysicalMachines.FindAsync(pm.Id, Token)).ConfigureAwait(false));
        await Assert.ThrowsAsync<ConcurrencyException>(() => SaveAsync(store, session => session.PhysicalMachines.Update(pm))).ConfigureAwait(false);
        await Assert.ThrowsAsync<ConcurrencyException>(() => SaveAsync(store, session => session.PhysicalMachines.Delete(pm))).ConfigureAwait(false);
    }

    /// <summary>The same row cannot be added twice: another was faster.</summary>
    [Fact]
    public async Task Adding_what_is_there_is_refused()
    {
        var store = await CreateAsync().ConfigureAwait(false);
        var pm = SampleRows.Pm();
        await SaveAsync(store, session => session.PhysicalMachines.Add(pm)).ConfigureAwait(false);
        await Assert.ThrowsAsync<ConcurrencyException>(() => SaveAsync(store, session => session.PhysicalMachines.Add(pm with { Name = "other" }))).ConfigureAwait(false);
        Assert.Equal(pm, await ReadAsync(store, session => session.PhysicalMachines.FindAsync(pm.Id, Token)).ConfigureAwait(false));
    }

    /// <summary>A machine's name is taken on its own physical machine only, and exactly as written.</summary>
    [Fact]
    public async Task Machine_names_are_unique_on_their_physical_machine()
    {
        var store = await CreateAsync().ConfigureAwait(false);
        var (pm, _, vm) = await AddMachineAsync(store).ConfigureAwait(false);
        var second = SampleRows.Vm(pm.Id, "second");
        var elsewhere = SampleRows.Pm("elsewhere");
        await SaveAsync(store, session =>
        {
            session.PhysicalMachines.Add(elsewhere);
            session.VirtualMachines.Add(second);
            session.VirtualMachines.Add(SampleRows.Vm(elsewhere.Id, vm.Name));
            session.VirtualMachines.Add(SampleRows.Vm(pm.Id, vm.Name.ToUpperInvariant()));
        }).ConfigureAwait(false);

        await AssertTakenAsync(store, "name", vm.Name, session => session.VirtualMachines.Add(SampleRows.Vm(pm.Id, vm.Name))).ConfigureAwait(false);
        await AssertTakenAsync(store, "name", vm.Name, session => session.VirtualMachines.Update(second with { Name = vm.Name })).ConfigureAwait(false);
    }

    /// <summary>A storage link's name is taken on its own physical machine only.</summary>
    [Fact]
    public async Task Storlink_names_are_unique_on_their_physical_machine()
    {
        var store = await CreateAsync().ConfigureAwait(false);
        var (pm, storlink, _) = await AddMachineAsync(store).ConfigureAwait(false);
        var elsewhere = SampleRows.Pm("elsewhere");
        await SaveAsync(store, session =>
        {
            session.PhysicalMachines.Add(elsewhere);
            session.Storlinks.Add(SampleRows.Storlink(elsewhere.Id, 2, storlink.Name));
        }).ConfigureAwait(false);

        await AssertTakenAsync(store, "name", storlink.Name, session => session.Storlinks.Add(SampleRows.Storlink(pm.Id, 3, storlink.Name))).ConfigureAwait(false);
    }

    /// <summary>A template's name is taken on its own physical machine only.</summary>
    [Fact]
    public async Task Template_names_are_unique_on_their_physical_machine()
    {
        var store = await CreateAsync().ConfigureAwait(false);
        var (pm, elsewhere) = (SampleRows.Pm(), SampleRows.Pm("elsewhere"));
        await SaveAsync(store, session =>
        {
            session.PhysicalMachines.Add(pm);
            session.PhysicalMachines.Add(elsewhere);
            session.Templates.Add(SampleRows.Template(pm.Id, "golden"));
            session.Templates.Add(SampleRows.Template(elsewhere.Id, "golden"));
        }).ConfigureAwait(false);

        await AssertTakenAsync(store, "name", "golden", session => session.Templates.Add(SampleRows.Template(pm.Id, "golden"))).ConfigureAwait(false);
    }

    /// <summary>A saved snapshot's name is taken in its machine; the hidden run snapshot takes none.</summary>
    [Fact]
    public async Task Snapshot_names_are_unique_in_their_machine_but_for_the_run_snapshot()
    {
        var store = await CreateAsync().ConfigureAwait(false);
        var (pm, _, vm) = await AddMachineAsync(store).ConfigureAwait(false);
        var other = SampleRows.Vm(pm.Id, "other");
        await SaveAsync(store, session =>
        {
            session.VirtualMachines.Add(other);
            session.Snapshots.Add(SampleRows.Snapshot(vm.Id, "clean", SnapshotKind.Run));
            session.Snapshots.Add(SampleRows.Snapshot(vm.Id, "clean"));
            session.Snapshots.Add(SampleRows.Snapshot(other.Id, "clean"));
        }).ConfigureAwait(false);

        await AssertTakenAsync(store, "name", "clean", session => session.Snapshots.Add(SampleRows.Snapshot(vm.Id, "clean"))).ConfigureAwait(false);
    }

    /// <summary>A hardware address is taken everywhere, by retired interfaces as well.</summary>
    [Fact]
    public async Task Hardware_addresses_are_unique()
    {
        var store = await CreateAsync().ConfigureAwait(false);
        var (pm, _, vm) = await AddMachineAsync(store).ConfigureAwait(false);
        var other = SampleRows.Vm(pm.Id, "other");
        var nic = SampleRows.Interface(vm.Id) with { Retired = true };
        await SaveAsync(store, session =>
        {
            session.VirtualMachines.Add(other);
            session.VmInterfaces.Add(nic);
        }).ConfigureAwait(false);

        await AssertTakenAsync(store, "mac", nic.Mac.ToString(), session => session.VmInterfaces.Add(SampleRows.Interface(other.Id, 2) with { Mac = nic.Mac })).ConfigureAwait(false);
        Assert.Equal(nic, await ReadAsync(store, session => session.VmInterfaces.FindByMacAsync(nic.Mac, Token)).ConfigureAwait(false));
        Assert.Null(await ReadAsync(store, session => session.VmInterfaces.FindByMacAsync(MacAddress.NewXen(), Token)).ConfigureAwait(false));
    }

    /// <summary>What a session deletes or renames frees its name for what it adds.</summary>
    [Fact]
    public async Task A_name_given_up_in_a_session_is_free_in_it()
    {
        var store = await CreateAsync().ConfigureAwait(false);
        var (pm, _, vm) = await AddMachineAsync(store).ConfigureAwait(false);
        var replacement = SampleRows.Vm(pm.Id, vm.Name);
        await SaveAsync(store, session =>
        {
            session.VirtualMachines.Delete(vm);
            session.VirtualMachines.Add(replacement);
        }).ConfigureAwait(false);
        await SaveAsync(store, session =>
        {
            session.VirtualMachines.Update(replacement with { Name = "old" });
            session.VirtualMachines.Add(SampleRows.Vm(pm.Id, vm.Name));
        }).ConfigureAwait(false);

        Assert.Equal(replacement.Id, (await ReadAsync(store, session => session.VirtualMachines.FindByNameAsync(pm.Id, "old", Token)).ConfigureAwait(false))!.Id);
    }

    /// <summary>Names are looked up exactly, on one physical machine.</summary>
    [Fact]
    public async Task Names_find_their_objects()
    {
        var store = await CreateAsync().ConfigureAwait(false);
        var (pm, storlink, vm) = await AddMachineAsync(store).ConfigureAwait(false);
        var template = SampleRows.Template(pm.Id);
        await SaveAsync(store, session => session.Templates.Add(template)).ConfigureAwait(false);

        await ReadAsync(store, async session =>
        {
            Assert.Equal(vm.Id, (await session.VirtualMachines.FindByNameAsync(pm.Id, vm.Name, Token).ConfigureAwait(false))!.Id);
            Assert.Equal(storlink, await session.Storlinks.FindByNameAsync(pm.Id, storlink.Name, Token).ConfigureAwait(false));
            Assert.Equal(template, await session.Templates.FindByNameAsync(pm.Id, template.Name, Token).ConfigureAwait(false));
            Assert.Null(await session.VirtualMachines.FindByNameAsync(pm.Id, vm.Name.ToUpperInvariant(), Token).ConfigureAwait(false));
            Assert.Null(await session.VirtualMachines.FindByNameAsync(PmId.New(), vm.Name, Token).ConfigureAwait(false));
            Assert.Null(await session.Storlinks.FindByNameAsync(PmId.New(), storlink.Name, Token).ConfigureAwait(false));
            Assert.Null(await session.Templates.FindByNameAsync(PmId.New(), template.Name, Token).ConfigureAwait(false));
            return true;
        }).ConfigureAwait(false);
    }

    /// <summary>What is not there is null, not an error.</summary>
    [Fact]
    public async Task Missing_objects_are_null()
    {
        var store = await CreateAsync().ConfigureAwait(false);
        await ReadAsync(store, async session =>
        {
            Assert.Null(await session.PhysicalMachines.FindAsync(PmId.New(), Token).ConfigureAwait(false));
            Assert.Null(await session.Storlinks.FindAsync(new(1), Token).ConfigureAwait(false));
            Assert.Null(await session.VirtualMachines.FindAsync(VmId.New(), Token).ConfigureAwait(false));
            Assert.Null(await session.VmInterfaces.FindAsync(new(1), Token).ConfigureAwait(false));
            Assert.Null(await session.Templates.FindAsync(TemplateId.New(), Token).ConfigureAwait(false));
            Assert.Null(await session.Disks.FindAsync(DiskId.New(), Token).ConfigureAwait(false));
            Assert.Null(await session.Snapshots.FindAsync(SnapshotId.New(), Token).ConfigureAwait(false));
            Assert.Null(await session.Backups.FindAsync(BackupId.New(), Token).ConfigureAwait(false));
            Assert.Null(await session.Networks.FindAsync(1, Token).ConfigureAwait(false));
            Assert.Empty(await session.Disks.ListByOwnerAsync(DiskOwner.Of(VmId.New()), Token).ConfigureAwait(false));
            Assert.Empty(await CollectAsync(session.VirtualMachines.ListAsync(Token)).ConfigureAwait(false));
            return true;
        }).ConfigureAwait(false);
    }

    /// <summary>Physical machines and networks are listed by name, storage links by number.</summary>
    [Fact]
    public async Task Hosts_and_what_they_have_are_listed_in_order()
    {
        var store = await CreateAsync().ConfigureAwait(false);
        var (b, a) = (SampleRows.Pm("b"), SampleRows.Pm("a"));
        await SaveAsync(store, session =>
        {
            session.PhysicalMachines.Add(b);
            session.PhysicalMachines.Add(a);
            foreach (var id in (int[])[10, 9, 2])
            {
                session.Storlinks.Add(SampleRows.Storlink(a.Id, id, string.Create(CultureInfo.InvariantCulture, $"link{id}")));
                session.Networks.Add(SampleRows.Network(a.Id, id, string.Create(CultureInfo.InvariantCulture, $"eth{10 - id}")));
            }

            session.Networks.Add(SampleRows.Network(b.Id, 1));
        }).ConfigureAwait(false);

        Assert.Equal(["a", "b"], (await ReadAsync(store, session => CollectAsync(session.PhysicalMachines.ListAsync(Token))).ConfigureAwait(false)).Select(row => row.Name));
        Assert.Equal([2, 9, 10], (await ReadAsync(store, session => CollectAsync(session.Storlinks.ListAsync(Token))).ConfigureAwait(false)).Select(row => row.Id.Value));
        Assert.Equal(["eth0", "eth1", "eth8"], (await ReadAsync(store, session => session.Networks.ListByPmAsync(a.Id, Token)).ConfigureAwait(false)).Select(row => row.Name));
    }

    /// <summary>Machines are listed with the disks that they run on and their interfaces.</summary>
    [Fact]
    public async Task Machines_are_listed_with_what_they_have_now()
    {
        var store = await CreateAsync().ConfigureAwait(false);
        var (pm, storlink, plain) = await AddMachineAsync(store).ConfigureAwait(false);
        var bare = SampleRows.Vm(pm.Id, "bare") with { CreatedAt = SampleRows.Time.AddTicks(-1) };
        var frozen = SampleRows.Vm(pm.Id, "frozen");
        var saved = SampleRows.Snapshot(frozen.Id, "saved");
        var run = SampleRows.Snapshot(frozen.Id, "run", SnapshotKind.Run);
        Disk[] own = [SampleRows.Disk(DiskOwner.Of(plain.Id), storlink.Id, 1), SampleRows.Disk(DiskOwner.Of(plain.Id), storlink.Id)];
        Disk[] layers = [SampleRows.Disk(DiskOwner.Of(saved.Id), storlink.Id), SampleRows.Disk(DiskOwner.Of(run.Id), storlink.Id)];
        VmInterface[] nics = [SampleRows.Interface(plain.Id, 7), SampleRows.Interface(frozen.Id, 8), SampleRows.Interface(plain.Id, 6)];
        await SaveAsync(store, session =>
        {
            session.VirtualMachines.Add(bare);
            session.VirtualMachines.Add(frozen);
            session.Snapshots.Add(saved);
            session.Snapshots.Add(run);
            foreach (var disk in (IEnumerable<Disk>)[.. own, .. layers])
            {
                session.Disks.Add(disk);
            }

            foreach (var nic in nics)
            {
                session.VmInterfaces.Add(nic);
            }
        }).ConfigureAwait(false);

        var listed = await ReadAsync(store, session => CollectAsync(session.VirtualMachines.ListWithDevicesAsync(Token))).ConfigureAwait(false);
        Assert.Equal("bare", listed[0].Machine.Name);
        Assert.Equal((0, 0), (listed[0].Disks.Count, listed[0].Interfaces.Count));
        var first = listed.Single(row => row.Machine.Id == plain.Id);
        Assert.Equal([own[1], own[0]], first.Disks);
        Assert.Equal([nics[2], nics[0]], first.Interfaces);
        var second = listed.Single(row => row.Machine.Id == frozen.Id);
        Assert.Equal([layers[1]], second.Disks);
        Assert.Equal([nics[1]], second.Interfaces);
        Assert.Equal(3, listed.Count);
    }

    /// <summary>Machines, templates, snapshots and backups are listed by creation.</summary>
    [Fact]
    public async Task Machines_and_what_was_taken_of_them_are_listed_by_creation()
    {
        var store = await CreateAsync().ConfigureAwait(false);
        var (pm, storlink, vm) = await AddMachineAsync(store).ConfigureAwait(false);
        var template = SampleRows.Template(pm.Id, "t0");
        await SaveAsync(store, session =>
        {
            session.Templates.Add(template);
            foreach (var age in (int[])[2, 3, 1])
            {
                var created = SampleRows.Time.AddTicks(-age);
                var name = string.Create(CultureInfo.InvariantCulture, $"{age}");
                session.VirtualMachines.Add(SampleRows.Vm(pm.Id, name) with { CreatedAt = created, Template = template.Id });
                session.Templates.Add(SampleRows.Template(pm.Id, name) with { CreatedAt = created });
                session.Snapshots.Add(SampleRows.Snapshot(vm.Id, name, age == 3 ? SnapshotKind.Run : SnapshotKind.Saved) with { CreatedAt = created });
                session.Backups.Add(SampleRows.Backup(vm.Id, storlink.Id, name) with { CreatedAt = created });
            }
        }).ConfigureAwait(false);

        await ReadAsync(store, async session =>
        {
            Assert.Equal(["3", "2", "1", vm.Name], (await CollectAsync(session.VirtualMachines.ListAsync(Token)).ConfigureAwait(false)).Select(row => row.Name));
            Assert.Equal(["3", "2", "1"], (await session.VirtualMachines.ListByTemplateAsync(template.Id, Token).ConfigureAwait(false)).Select(row => row.Name));
            Assert.Equal(["3", "2", "1", "t0"], (await CollectAsync(session.Templates.ListAsync(Token)).ConfigureAwait(false)).Select(row => row.Name));
            Assert.Equal(["3", "2", "1"], (await session.Snapshots.ListByVmAsync(vm.Id, Token).ConfigureAwait(false)).Select(row => row.Name));
            Assert.Equal(["3", "2", "1"], (await session.Backups.ListByVmAsync(vm.Id, Token).ConfigureAwait(false)).Select(row => row.Name));
            Assert.Empty(await session.Snapshots.ListByVmAsync(VmId.New(), Token).ConfigureAwait(false));
            return true;
        }).ConfigureAwait(false);
    }

    /// <summary>Disks are found by their owner in boot order, by storage link, by what they stand on, by kind of owner.</summary>
    [Fact]
    public async Task Disks_are_found_by_owner_storlink_and_backing()
    {
        var store = await CreateAsync().ConfigureAwait(false);
        var (pm, first, vm) = await AddMachineAsync(store).ConfigureAwait(false);
        var second = SampleRows.Storlink(pm.Id, 2, "second");
        var snapshot = SampleRows.Snapshot(vm.Id);
        var frozen = SampleRows.Disk(DiskOwner.Of(snapshot.Id), second.Id);
        var boot = SampleRows.Disk(DiskOwner.Of(vm.Id), first.Id) with { Backing = frozen.Id };
        var data = SampleRows.Disk(DiskOwner.Of(vm.Id), first.Id, order: 1);
        await SaveAsync(store, session =>
        {
            // On purpose before what they refer to: only the end of the transaction counts.
            session.Disks.Add(data);
            session.Disks.Add(boot);
            session.Disks.Add(frozen);
            session.Snapshots.Add(snapshot);
            session.Storlinks.Add(second);
        }).ConfigureAwait(false);

        await ReadAsync(store, async session =>
        {
            Assert.Equal([boot, data], await session.Disks.ListByOwnerAsync(DiskOwner.Of(vm.Id), Token).ConfigureAwait(false));
            Assert.Equal([frozen], await session.Disks.ListByOwnerAsync(DiskOwner.Of(snapshot.Id), Token).ConfigureAwait(false));
            Assert.Empty(await session.Disks.ListByOwnerAsync(new DiskOwner(DiskOwnerKind.Template, vm.Id.Value), Token).ConfigureAwait(false));
            Assert.Equal([frozen], await session.Disks.ListByStorlinkAsync(second.Id, Token).ConfigureAwait(false));
            Assert.Equal(2, (await session.Disks.ListByStorlinkAsync(first.Id, Token).ConfigureAwait(false)).Count);
            Assert.Equal([boot], await session.Disks.ListByBackingAsync(frozen.Id, Token).ConfigureAwait(false));
            Assert.Equal([boot, data], await CollectAsync(session.Disks.ListAsync(DiskOwnerKind.Vm, Token)).ConfigureAwait(false));
            Assert.Empty(await CollectAsync(session.Disks.ListAsync(DiskOwnerKind.Backup, Token)).ConfigureAwait(false));
            return true;
        }).ConfigureAwait(false);
    }

    /// <summary>Interfaces are listed by number in their machine, and machine by machine in all.</summary>
    [Fact]
    public async Task Interfaces_are_listed_by_machine_and_number()
    {
        var store = await CreateAsync().ConfigureAwait(false);
        var (pm, _, vm) = await AddMachineAsync(store).ConfigureAwait(false);
        var other = SampleRows.Vm(pm.Id, "other");
        await SaveAsync(store, session =>
        {
            session.VirtualMachines.Add(other);
            session.VmInterfaces.Add(SampleRows.Interface(vm.Id, 3));
            session.VmInterfaces.Add(SampleRows.Interface(other.Id, 2));
            session.VmInterfaces.Add(SampleRows.Interface(vm.Id, 1));
        }).ConfigureAwait(false);

        Assert.Equal([1, 3], (await ReadAsync(store, session => session.VmInterfaces.ListByVmAsync(vm.Id, Token)).ConfigureAwait(false)).Select(row => row.Id.Value));
        var all = await ReadAsync(store, session => CollectAsync(session.VmInterfaces.ListAsync(Token))).ConfigureAwait(false);
        Assert.Equal(3, all.Count);
        Assert.Equal(2, all.Zip(all.Skip(1)).Count(pair => pair.First.Vm != pair.Second.Vm) + 1);
    }

    /// <summary>While a listing is read, the same session answers other questions.</summary>
    [Fact]
    public async Task Reads_nest_in_a_listing()
    {
        var store = await CreateAsync().ConfigureAwait(false);
        var (pm, storlink, vm) = await AddMachineAsync(store).ConfigureAwait(false);
        await SaveAsync(store, session =>
        {
            session.VirtualMachines.Add(SampleRows.Vm(pm.Id, "other"));
            session.Disks.Add(SampleRows.Disk(DiskOwner.Of(vm.Id), storlink.Id));
        }).ConfigureAwait(false);

        var counts = await ReadAsync(store, async session =>
        {
            List<int> disks = [];
            await foreach (var machine in session.VirtualMachines.ListAsync(Token).ConfigureAwait(false))
            {
                disks.Add((await session.Disks.ListByOwnerAsync(DiskOwner.Of(machine.Id), Token).ConfigureAwait(false)).Count);
            }

            return disks;
        }).ConfigureAwait(false);
        Assert.Equal([0, 1], counts.Order());
    }

    /// <summary>A number is given once, whatever becomes of the session, and never one that is in use.</summary>
    [Fact]
    public async Task Numbers_are_never_given_twice()
    {
        var store = await CreateAsync().ConfigureAwait(false);
        var pm = SampleRows.Pm();
        var storlink = SampleRows.Storlink(pm.Id, id: 7);
        await SaveAsync(store, session =>
        {
            session.PhysicalMachines.Add(pm);
            session.Storlinks.Add(storlink);
        }).ConfigureAwait(false);

        var first = await ReadAsync(store, session => session.Storlinks.NextIdAsync(Token)).ConfigureAwait(false);
        var second = await ReadAsync(store, session => session.Storlinks.NextIdAsync(Token)).ConfigureAwait(false);
        Assert.True(first.Value > 7, $"{first} is not above 7, which is in use");
        Assert.True(second.Value > first.Value, $"{second} is not above {first}");

        var last = storlink with { Id = second, Name = "last" };
        await SaveAsync(store, session => session.Storlinks.Add(last)).ConfigureAwait(false);
        await SaveAsync(store, session => session.Storlinks.Delete(last)).ConfigureAwait(false);
        var third = await ReadAsync(store, session => session.Storlinks.NextIdAsync(Token)).ConfigureAwait(false);
        Assert.True(third.Value > second.Value, $"{third} is not above {second}, which was deleted");

        // Each kind of object has its own numbers.
        Assert.Equal(1, (await ReadAsync(store, session => session.VmInterfaces.NextIdAsync(Token)).ConfigureAwait(false)).Value);
        Assert.Equal(1, await ReadAsync(store, session => session.Networks.NextIdAsync(Token)).ConfigureAwait(false));
    }

    /// <summary>Numbers taken at the same time differ.</summary>
    [Fact]
    public async Task Numbers_taken_at_once_differ()
    {
        var store = await CreateAsync().ConfigureAwait(false);
        ConcurrentBag<int> taken = [];
        await Task.WhenAll(Enumerable.Range(0, 40).Select(_ => Task.Run(
            async () => taken.Add((await ReadAsync(store, session => session.VmInterfaces.NextIdAsync(Token)).ConfigureAwait(false)).Value), Token))).ConfigureAwait(false);
        Assert.Equal(Enumerable.Range(1, 40), taken.Order());
    }

    /// <summary>Many sessions at once neither fail nor lose a change: who was late reads again.</summary>
    [Fact]
    public async Task Fifty_sessions_at_once_lose_nothing()
    {
        var store = await CreateAsync().ConfigureAwait(false);
        var pm = SampleRows.Pm() with { Cpus = 0 };
        await SaveAsync(store, session => session.PhysicalMachines.Add(pm)).ConfigureAwait(false);

        await Task.WhenAll(Enumerable.Range(1, 50).Select(number => Task.Run(
            async () =>
            {
                await SaveAsync(store, session => session.Storlinks.Add(
                    SampleRows.Storlink(pm.Id, number, string.Create(CultureInfo.InvariantCulture, $"link{number}")))).ConfigureAwait(false);
                while (!await TryCountAsync(store, pm.Id).ConfigureAwait(false))
                {
                }
            },
            Token))).ConfigureAwait(false);

        var counted = await ReadAsync(store, session => session.PhysicalMachines.FindAsync(pm.Id, Token)).ConfigureAwait(false);
        Assert.Equal((50, 50), (counted!.Cpus, counted.Revision));
        Assert.Equal(50, (await ReadAsync(store, session => CollectAsync(session.Storlinks.ListAsync(Token))).ConfigureAwait(false)).Count);
    }

    /// <summary>A call that is already cancelled does nothing.</summary>
    [Fact]
    public async Task Cancelled_calls_do_nothing()
    {
        var store = await CreateAsync().ConfigureAwait(false);
        var pm = SampleRows.Pm();
        await ReadAsync(store, async session =>
        {
            session.PhysicalMachines.Add(pm);
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => session.SaveAsync(Cancelled)).ConfigureAwait(false);
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => session.PhysicalMachines.FindAsync(pm.Id, Cancelled)).ConfigureAwait(false);
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => CollectAsync(session.PhysicalMachines.ListAsync(Cancelled))).ConfigureAwait(false);
            return true;
        }).ConfigureAwait(false);
        Assert.Null(await ReadAsync(store, session => session.PhysicalMachines.FindAsync(pm.Id, Token)).ConfigureAwait(false));
    }

    /// <summary>Adds a physical machine with a storage link and a virtual machine.</summary>
    /// <param name="store">The store.</param>
    protected static async Task<(PhysicalMachine Pm, Storlink Storlink, VirtualMachine Vm)> AddMachineAsync(IPengxStore store)
    {
        var pm = SampleRows.Pm();
        var storlink = SampleRows.Storlink(pm.Id);
        var vm = SampleRows.Vm(pm.Id);
        await SaveAsync(store, session =>
        {
            session.PhysicalMachines.Add(pm);
            session.Storlinks.Add(storlink);
            session.VirtualMachines.Add(vm);
        }).ConfigureAwait(false);
        return (pm, storlink, vm);
    }

    /// <summary>Changes rows in a session of its own, and saves them.</summary>
    /// <param name="store">The store.</param>
    /// <param name="change">What to change.</param>
    protected static async Task SaveAsync(IPengxStore store, Action<IStoreSession> change)
    {
        ArgumentNullException.ThrowIfNull(store);
        ArgumentNullException.ThrowIfNull(change);
        var session = await store.OpenAsync(Token).ConfigureAwait(false);
        await using (session.ConfigureAwait(false))
        {
            change(session);
            await session.SaveAsync(Token).ConfigureAwait(false);
        }
    }

    /// <summary>Reads in a session of its own.</summary>
    /// <typeparam name="T">What is read.</typeparam>
    /// <param name="store">The store.</param>
    /// <param name="read">How to read it.</param>
    protected static async Task<T> ReadAsync<T>(IPengxStore store, Func<IStoreSession, Task<T>> read)
    {
        ArgumentNullException.ThrowIfNull(store);
        ArgumentNullException.ThrowIfNull(read);
        var session = await store.OpenAsync(Token).ConfigureAwait(false);
        await using (session.ConfigureAwait(false))
        {
            return await read(session).ConfigureAwait(false);
        }
    }

    /// <summary>Reads a listing to its end.</summary>
    /// <typeparam name="T">What is listed.</typeparam>
    /// <param name="rows">The listing.</param>
    protected static async Task<IReadOnlyList<T>> CollectAsync<T>(IAsyncEnumerable<T> rows)
    {
        ArgumentNullException.ThrowIfNull(rows);
        List<T> list = [];
        await foreach (var row in rows.ConfigureAwait(false))
        {
            list.Add(row);
        }

        return list;
    }

    private static async Task AssertTakenAsync(IPengxStore store, string field, string value, Action<IStoreSession> change)
    {
        var error = await Assert.ThrowsAsync<InvalidFieldException>(() => SaveAsync(store, change)).ConfigureAwait(false);
        Assert.Equal(field, error.Field);
        Assert.Contains($"'{value}'", error.Message, StringComparison.Ordinal);
        Assert.Contains("already taken", error.Message, StringComparison.Ordinal);
    }

    private static async Task<bool> TryCountAsync(IPengxStore store, PmId id)
    {
        try
        {
            return await ReadAsync(store, async session =>
            {
                var pm = await session.PhysicalMachines.FindAsync(id, Token).ConfigureAwait(false);
                session.PhysicalMachines.Update(pm! with { Cpus = pm.Cpus + 1 });
                await session.SaveAsync(Token).ConfigureAwait(false);
                return true;
            }).ConfigureAwait(false);
        }
        catch (ConcurrencyException)
        {
            return false;
        }
    }
}

using Pengx.Testing;

namespace Pengx.Orchestration.Tests;

public sealed class CopyTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_copy_has_what_its_original_has_and_identities_of_its_own()
    {
        await using var world = await World.StartedAsync();
        var storlink = await world.AddStorlinkAsync();
        var other = await world.AddStorlinkAsync("store2");
        var template = await world.AddTemplateAsync(storlink);
        var id = await world.AddMachineAsync(storlink, change: request => request with { Template = template, Networks = ["0", "xenbr7"], ExtraDiskSizeMiB = 20, Description = "it serves" });
        await SetFunctionsAsync(world, id);
        var copy = World.VmOf(await world.DoneAsync(world.Machines.CopyAsync(id, new CopyVirtualMachine { Name = "copied", Storlink = other }, null, Token)));

        var (one, two) = (await world.Machines.GetAsync(id, Token), await world.Machines.GetAsync(copy, Token));
        Assert.Equal(
            (one.Machine.Cpus, one.Machine.Memory, one.Machine.MaxMemory, one.Machine.Os, one.Machine.Description),
            (two.Machine.Cpus, two.Machine.Memory, two.Machine.MaxMemory, two.Machine.Os, two.Machine.Description));
        Assert.Equal(VmState.Shutdown, two.State);
        Assert.Null(two.Machine.Template);
        Assert.Empty(two.Machine.VirtualFunctions);
        Assert.NotEqual(one.Machine.VncPassword, two.Machine.VncPassword);
        Assert.Equal(one.Interfaces.Select(nic => (nic.Name, nic.Switch)), two.Interfaces.Select(nic => (nic.Name, nic.Switch)));
        Assert.Empty(one.Interfaces.Select(nic => nic.Mac).Intersect(two.Interfaces.Select(nic => nic.Mac)));
        Assert.All(two.Disks, disk => Assert.Equal(other, disk.Storlink));
        Assert.Equal(one.Disks.Select(disk => (disk.Order, disk.Size, disk.Format)), two.Disks.Select(disk => (disk.Order, disk.Size, disk.Format)));
        Assert.Equal(await world.ContentsAsync(id), await world.ContentsAsync(copy));
        await world.AssertWholeAsync();
        await world.DoneAsync(world.Machines.StartAsync(copy, null, Token));
        await world.AssertWholeAsync();

        // The template is not needed by the copy.
        await world.DoneAsync(world.Machines.DeleteAsync(id, null, Token));
        await world.DoneAsync(world.Templates.DeleteAsync(template, null, Token));
    }

    [Fact]
    public async Task What_cannot_be_copied_is_refused_before_anything_changes()
    {
        await using var world = await World.StartedAsync();
        var storlink = await world.AddStorlinkAsync();
        var id = await world.AddMachineAsync(storlink);
        var before = await world.PictureAsync();
        await Assert.ThrowsAsync<InvalidFieldException>(() => world.Machines.CopyAsync(id, new CopyVirtualMachine { Name = "web1", Storlink = storlink }, null, Token));
        await Assert.ThrowsAsync<InvalidFieldException>(() => world.Machines.CopyAsync(id, new CopyVirtualMachine { Name = " ", Storlink = storlink }, null, Token));
        await Assert.ThrowsAsync<NotFoundException>(() => world.Machines.CopyAsync(id, new CopyVirtualMachine { Name = "c", Storlink = new(99) }, null, Token));
        await Assert.ThrowsAsync<NotFoundException>(() => world.Machines.CopyAsync(VmId.New(), new CopyVirtualMachine { Name = "c", Storlink = storlink }, null, Token));
        Assert.Equal(before, await world.PictureAsync());
    }

    [Fact]
    public async Task A_running_machine_is_copied_as_it_was_at_one_instant()
    {
        await using var world = await World.StartedAsync();
        var (storlink, id) = await RunningAsync(world);
        var guest = world.Host.Guest(id);

        // Between the instant and the copying the guest writes on.
        world.Storage.BeforeNext(nameof(IStorageBackend.CreateAsync), () => { }, times: 2);
        world.Storage.BeforeNext(nameof(IStorageBackend.CreateAsync), () =>
        {
            Assert.All(guest.Disks, disk => Assert.Equal(2, disk.Layers.Count));
            guest.Write("xvda", "later a");
            guest.Write("xvdb", "later b");
        });
        var copy = World.VmOf(await world.DoneAsync(world.Machines.CopyAsync(id, new CopyVirtualMachine { Name = "copied", Storlink = storlink }, null, Token)));
        Assert.Equal(["early a", "early b"], await world.ContentsAsync(copy));
        Assert.Equal(["later a", "later b"], await world.ContentsAsync(id));
        Assert.All(guest.Disks, disk => Assert.Single(disk.Layers));
        Assert.Equal(1, guest.Starts);
        await world.AssertWholeAsync();
    }

    [Fact]
    public async Task A_copy_that_fails_leaves_the_guest_on_its_own_disks_with_all_it_wrote()
    {
        await using var world = await World.StartedAsync();
        var (storlink, id) = await RunningAsync(world);
        world.Storage.BeforeNext(nameof(IStorageBackend.CreateAsync), () => { }, times: 3);
        world.Storage.BeforeNext(nameof(IStorageBackend.CreateAsync), () =>
        {
            world.Host.Guest(id).Write("xvda", "later a");
            throw new InsufficientResourceException("no space");
        });
        var ended = await world.EndedAsync(world.Machines.CopyAsync(id, new CopyVirtualMachine { Name = "copied", Storlink = storlink }, null, Token));
        Assert.Equal((OperationState.Failed, PengxErrorCode.InsufficientResource), (ended.State, ended.Error));
        Assert.Equal(["later a", "early b"], await world.ContentsAsync(id));
        Assert.Equal(2, world.Storage.Volumes(storlink).Count);
        await world.AssertWholeAsync();
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Overlays_that_cannot_be_merged_back_become_a_snapshot_and_the_guest_is_safe(bool isRefused)
    {
        await using var world = await World.StartedAsync();
        var (storlink, id) = await RunningAsync(world);
        world.Host.FailNext(SimulatedVerb.CommitDisk, isRefused ? new WrongStateException("the merge failed") : new HypervisorException("the merge failed"));
        var done = await world.DoneAsync(world.Machines.CopyAsync(id, new CopyVirtualMachine { Name = "copied", Storlink = storlink }, null, Token));
        Assert.Contains("the merge failed", done.Message, StringComparison.Ordinal);
        world.Host.Guest(id).Write("xvda", "later a");
        Assert.Equal(["later a", "early b"], await world.ContentsAsync(id));
        var snapshots = await world.ReadAsync(session => session.Snapshots.ListByVmAsync(id, Token));
        var saved = Assert.Single(snapshots, snapshot => snapshot.Kind == SnapshotKind.Partial);
        Assert.Equal(saved.Id, Assert.Single(snapshots, snapshot => snapshot.Kind == SnapshotKind.Run).Parent);
        Assert.Contains(saved.Id.ToString(), done.Message, StringComparison.Ordinal);
        var frozen = await world.ReadAsync(session => session.Disks.ListByOwnerAsync(DiskOwner.Of(saved.Id), Token));
        Assert.Equal(["early a", "early b"], frozen.Select(disk => world.Storage.ContentOf(disk.Id)));
        await world.AssertWholeAsync();

        // Once more on top of that, and a copy that succeeds.
        var copy = World.VmOf(await world.DoneAsync(world.Machines.CopyAsync(id, new CopyVirtualMachine { Name = "copied again", Storlink = storlink }, null, Token)));
        Assert.Equal(["later a", "early b"], await world.ContentsAsync(copy));
        Assert.All(world.Host.Guest(id).Disks, disk => Assert.Equal(2, disk.Layers.Count));
        await world.AssertWholeAsync();

        // Nobody knows how much of the newer data what lies beneath has: it is listed, goes back to nothing, and its deletion merges.
        Assert.Equal(saved.Id, Assert.Single(await world.Snapshots.ListAsync(id, Token)).Id);
        await world.DoneAsync(world.Machines.PowerOffAsync(id, null, Token));
        Assert.Contains("mixture", (await Assert.ThrowsAsync<WrongStateException>(() => world.Snapshots.RestoreAsync(id, saved.Id, null, Token))).Message, StringComparison.Ordinal);
        await Assert.ThrowsAsync<WrongStateException>(() => world.Snapshots.StartAsync(id, saved.Id, null, Token));
        await world.DoneAsync(world.Snapshots.DeleteAsync(id, saved.Id, null, Token));
        Assert.Equal(["later a", "early b"], await world.ContentsAsync(id));
        Assert.Empty(await world.Snapshots.ListAsync(id, Token));
        await world.AssertWholeAsync();
    }

    [Fact]
    public async Task A_merge_that_fails_halfway_needs_attention_and_is_finished_at_the_next_start()
    {
        await using var world = await World.StartedAsync();
        var (storlink, id) = await RunningAsync(world);
        var merges = 0;
        world.Host.Before(SimulatedVerb.CommitDisk, (_, _) => ++merges % 2 == 0 ? throw new HypervisorException("the second merge failed") : Task.CompletedTask);
        var ended = await world.EndedAsync(world.Machines.CopyAsync(id, new CopyVirtualMachine { Name = "copied", Storlink = storlink }, null, Token));
        Assert.True(ended.NeedsAttention);
        Assert.Contains("the second merge failed", ended.Message, StringComparison.Ordinal);
        world.Host.Guest(id).Write("xvda", "later a");
        world.Host.Guest(id).Write("xvdb", "later b");

        world.Host.Before(SimulatedVerb.CommitDisk, null);
        await world.StartAsync();
        await World.EventuallyAsync(async () => (await world.Operations.FindAsync(ended.Id, Token))!.IsFinished);
        Assert.Equal(["later a", "later b"], await world.ContentsAsync(id));
        Assert.Equal(2, world.Storage.Volumes(storlink).Count);
        await world.AssertWholeAsync();
    }

    [Fact]
    public async Task A_template_of_a_running_machine_shows_one_instant()
    {
        await using var world = await World.StartedAsync();
        var (storlink, id) = await RunningAsync(world);
        var template = World.TemplateOf(await world.DoneAsync(world.Templates.CreateAsync(id, new CreateTemplate { Name = "golden", Storlink = storlink }, null, Token)));
        Assert.Equal(["early a", "early b"], (await world.Templates.ListDisksAsync(template, Token)).Select(disk => world.Storage.ContentOf(disk.Id)));
        await world.AssertWholeAsync();
    }

    internal static async Task<(StorlinkId Storlink, VmId Vm)> RunningAsync(World world)
    {
        var storlink = await world.AddStorlinkAsync();
        var id = await world.AddMachineAsync(storlink, change: request => request with { ExtraDiskSizeMiB = 20 });
        await world.DoneAsync(world.Machines.StartAsync(id, null, Token));
        world.Host.Guest(id).Write("xvda", "early a");
        world.Host.Guest(id).Write("xvdb", "early b");
        return (storlink, id);
    }

    private static async Task SetFunctionsAsync(World world, VmId id)
    {
        await using var session = await world.Store.OpenAsync(Token);
        var row = (await session.VirtualMachines.FindAsync(id, Token))!;
        session.VirtualMachines.Update(row with { VirtualFunctions = [PciAddress.TryParse("0000:03:10.0", out var function) ? function : default] });
        await session.SaveAsync(Token);

        // The configuration that the hypervisor stores follows at a start.
        await world.StartAsync();
    }
}

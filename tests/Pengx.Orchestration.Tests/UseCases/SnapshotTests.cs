using Pengx.Testing;

namespace Pengx.Orchestration.Tests;

public sealed class SnapshotTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task What_cannot_be_is_refused_before_anything_changes()
    {
        await using var world = await World.StartedAsync(options => options.MaxDiskLayers = 3);
        var storlink = await world.AddStorlinkAsync();
        var vm = await world.AddMachineAsync(storlink);
        var pool = World.VmOf(await world.DoneAsync(world.Machines.CreateAsync(World.Request(storlink, "other"), null, Token)));
        var before = await world.PictureAsync();

        Assert.Equal("name", (await Assert.ThrowsAsync<InvalidFieldException>(() => TakeAsync(world, vm, storlink, " "))).Field);
        await Assert.ThrowsAsync<NotFoundException>(() => TakeAsync(world, vm, new(4711), "s"));
        await Assert.ThrowsAsync<NotFoundException>(() => TakeAsync(world, VmId.New(), storlink, "s"));
        await Assert.ThrowsAsync<NotFoundException>(() => world.Snapshots.DeleteAsync(vm, SnapshotId.New(), null, Token));
        Assert.Equal(before, await world.PictureAsync());

        var first = IdOf(await world.DoneAsync(TakeAsync(world, vm, storlink, "s1")));
        await Assert.ThrowsAsync<InvalidFieldException>(() => TakeAsync(world, vm, storlink, "s1"));
        await Assert.ThrowsAsync<NotFoundException>(() => world.Snapshots.GetAsync(pool, first, Token));
        var run = (await world.ReadAsync(session => session.Snapshots.ListByVmAsync(vm, Token))).Single(snapshot => snapshot.Kind == SnapshotKind.Run);
        await Assert.ThrowsAsync<NotFoundException>(() => world.Snapshots.DeleteAsync(vm, run.Id, null, Token));
        await world.DoneAsync(TakeAsync(world, vm, storlink, "s2"));
        Assert.Contains("3 images", (await Assert.ThrowsAsync<WrongStateException>(() => TakeAsync(world, vm, storlink, "s3"))).Message, StringComparison.Ordinal);

        await world.DoneAsync(world.Machines.StartAsync(vm, null, Token));
        await Assert.ThrowsAsync<WrongStateException>(() => world.Snapshots.RestoreAsync(vm, first, null, Token));
        await Assert.ThrowsAsync<WrongStateException>(() => world.Snapshots.StartAsync(vm, first, null, Token));
        await world.AssertWholeAsync();
    }

    [Fact]
    public async Task What_others_lie_on_is_not_deleted()
    {
        await using var world = await World.StartedAsync();
        var storlink = await world.AddStorlinkAsync();
        var vm = await world.AddMachineAsync(storlink);
        var snapshot = IdOf(await world.DoneAsync(TakeAsync(world, vm, storlink, "s")));
        var other = await world.AddMachineAsync(storlink, "other");
        var below = (await world.Snapshots.ListDisksAsync(vm, snapshot, Token))[0];
        var above = (await world.Disks.ListAsync(other, Token))[0];
        await using (var session = await world.Store.OpenAsync(Token))
        {
            session.Disks.Update(above with { Backing = below.Id });
            await session.SaveAsync(Token);
        }

        var refusal = await Assert.ThrowsAsync<InUseException>(() => world.Snapshots.DeleteAsync(vm, snapshot, null, Token));
        Assert.Contains(above.Id.ToString(), refusal.Message, StringComparison.Ordinal);
        Assert.Contains(await world.Get<ConsistencyCheck>().RunAsync(Token), one => one.Kind == InconsistencyKind.ChainDiffers && one.Subject.EndsWith(above.Id.ToString(), StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_failing_hypervisor_leaves_everything_as_it_was()
    {
        await using var world = await World.StartedAsync();
        var storlink = await world.AddStorlinkAsync();
        var vm = await world.AddMachineAsync(storlink);
        await world.DoneAsync(world.Machines.StartAsync(vm, null, Token));
        var before = await world.PictureAsync();
        world.Host.FailNext(SimulatedVerb.OverlayDisks, new HypervisorException("no snapshot today"));
        var ended = await world.EndedAsync(TakeAsync(world, vm, storlink, "s"));
        Assert.Equal(OperationState.Failed, ended.State);
        Assert.Contains("no snapshot today", ended.Message, StringComparison.Ordinal);
        Assert.Equal(before, await world.PictureAsync());
        await world.AssertWholeAsync();
    }

    [Fact]
    public async Task A_guest_goes_on_with_the_memory_and_the_disks_of_one_instant()
    {
        await using var world = await World.StartedAsync();
        var storlink = await world.AddStorlinkAsync();
        var vm = await world.AddMachineAsync(storlink);
        await world.DoneAsync(world.Machines.StartAsync(vm, null, Token));
        var guest = world.Host.Guest(vm);
        guest.Remembered = "then";
        guest.Write("xvda", "written then");
        var taken = await world.DoneAsync(world.Snapshots.CreateAsync(vm, new() { Name = "s", Storlink = storlink, Memory = true }, null, Token));
        Assert.Equal("Snapshot 's' of VM 'web1' was created with the guest's memory.", taken.Message);
        var snapshot = IdOf(taken);
        Assert.True((await world.Snapshots.GetAsync(vm, snapshot, Token)).HasMemory);
        Assert.Single(await world.Snapshots.ListDisksAsync(vm, snapshot, Token));
        await world.AssertWholeAsync();
        guest.Remembered = "later";
        guest.Write("xvda", "written later");
        await world.DoneAsync(world.Machines.PowerOffAsync(vm, null, Token));

        var started = await world.DoneAsync(world.Snapshots.StartAsync(vm, snapshot, null, Token));
        Assert.Contains("goes on with the memory that it had", started.Message, StringComparison.Ordinal);
        Assert.Equal("then", guest.Remembered);
        Assert.Equal("written then", (await world.ContentsAsync(vm))[0]);
        await world.AssertWholeAsync();

        // Without its memory it boots.
        await world.DoneAsync(world.Machines.PowerOffAsync(vm, null, Token));
        await world.DoneAsync(world.Snapshots.RestoreAsync(vm, snapshot, null, Token));
        await world.DoneAsync(world.Machines.StartAsync(vm, null, Token));
        Assert.Null(guest.Remembered);
        Assert.Contains("memory", (await Assert.ThrowsAsync<InUseException>(() => world.Storlinks.DeleteAsync(storlink, null, Token))).Message, StringComparison.Ordinal);

        // It goes with its snapshot.
        foreach (var kept in await world.Snapshots.ListAsync(vm, Token))
        {
            await world.DoneAsync(world.Snapshots.DeleteAsync(vm, kept.Id, null, Token));
            await world.AssertWholeAsync();
        }

        Assert.Single(world.Storage.Volumes(storlink));
    }

    [Fact]
    public async Task Memory_that_cannot_be_kept_is_refused_or_leaves_everything_as_it_was()
    {
        await using var world = await World.StartedAsync();
        var storlink = await world.AddStorlinkAsync();
        var vm = await world.AddMachineAsync(storlink);
        CreateSnapshot request = new() { Name = "s", Storlink = storlink, Memory = true };
        Assert.Contains("is SHUTDOWN", (await Assert.ThrowsAsync<WrongStateException>(() => world.Snapshots.CreateAsync(vm, request, null, Token))).Message, StringComparison.Ordinal);
        await world.DoneAsync(world.Machines.StartAsync(vm, null, Token));
        Assert.Equal("quiesce", (await Assert.ThrowsAsync<InvalidFieldException>(() => world.Snapshots.CreateAsync(vm, request with { Quiesce = true }, null, Token))).Field);
        world.Host.KeepsMemory = false;
        Assert.Contains("keep the memory", (await Assert.ThrowsAsync<WrongStateException>(() => world.Snapshots.CreateAsync(vm, request, null, Token))).Message, StringComparison.Ordinal);
        world.Host.KeepsMemory = true;
        var before = await world.PictureAsync();
        world.Host.FailNext(SimulatedVerb.SaveMemory, new HypervisorException("no memory today"));
        var ended = await world.EndedAsync(world.Snapshots.CreateAsync(vm, request, null, Token));
        Assert.Equal(OperationState.Failed, ended.State);
        Assert.Contains("no memory today", ended.Message, StringComparison.Ordinal);
        Assert.Equal(before, await world.PictureAsync());

        var snapshot = IdOf(await world.DoneAsync(world.Snapshots.CreateAsync(vm, request, null, Token)));
        await world.DoneAsync(world.Machines.PowerOffAsync(vm, null, Token));
        world.Host.KeepsMemory = false;
        await Assert.ThrowsAsync<WrongStateException>(() => world.Snapshots.StartAsync(vm, snapshot, null, Token));
        world.Host.KeepsMemory = true;
        before = await world.PictureAsync();
        world.Host.FailNext(SimulatedVerb.StartWithMemory, new HypervisorException("its memory is of another time"));
        Assert.Equal(OperationState.Failed, (await world.EndedAsync(world.Snapshots.StartAsync(vm, snapshot, null, Token))).State);
        Assert.Equal(before, await world.PictureAsync());
        await world.AssertWholeAsync();
    }

    [Fact]
    public async Task A_start_at_the_snapshot_where_it_stands_brings_a_disk_back_that_went_since()
    {
        await using var world = await World.StartedAsync();
        var storlink = await world.AddStorlinkAsync();
        var vm = await world.AddMachineAsync(storlink, change: request => request with { ExtraDiskSizeMiB = 20 });
        var snapshot = IdOf(await world.DoneAsync(TakeAsync(world, vm, storlink, "s")));
        await world.DoneAsync(world.Disks.DeleteAsync(vm, (await world.Disks.ListAsync(vm, Token))[1].Id, null, Token));
        Assert.Single(await world.Disks.ListAsync(vm, Token));
        await world.DoneAsync(world.Snapshots.StartAsync(vm, snapshot, null, Token));
        Assert.Equal(2, world.Host.Guest(vm).Disks.Count);
        await world.AssertWholeAsync();
    }

    [Fact]
    public async Task The_memory_of_a_snapshot_that_several_lie_on_goes_at_once()
    {
        await using var world = await World.StartedAsync();
        var storlink = await world.AddStorlinkAsync();
        var vm = await world.AddMachineAsync(storlink);
        await world.DoneAsync(world.Machines.StartAsync(vm, null, Token));
        var fork = IdOf(await world.DoneAsync(world.Snapshots.CreateAsync(vm, new() { Name = "fork", Storlink = storlink, Memory = true }, null, Token)));
        await world.DoneAsync(TakeAsync(world, vm, storlink, "left"));
        await world.DoneAsync(world.Machines.PowerOffAsync(vm, null, Token));
        await world.DoneAsync(world.Snapshots.RestoreAsync(vm, fork, null, Token));
        var memory = Assert.Single(await world.ReadAsync(session => session.Disks.ListByOwnerAsync(DiskOwner.MemoryOf(fork), Token)));
        Assert.Contains(memory.Id, world.Storage.Volumes(storlink));
        await world.DoneAsync(world.Snapshots.DeleteAsync(vm, fork, null, Token));
        Assert.DoesNotContain(memory.Id, world.Storage.Volumes(storlink));
        await world.AssertWholeAsync();
        await world.DoneAsync(world.Machines.DeleteAsync(vm, null, Token));
        Assert.Empty(world.Storage.Volumes(storlink));
    }

    [Fact]
    public async Task The_shown_tree_leaves_out_what_is_hidden()
    {
        await using var world = await World.StartedAsync();
        var storlink = await world.AddStorlinkAsync();
        var vm = await world.AddMachineAsync(storlink);
        var root = IdOf(await world.DoneAsync(TakeAsync(world, vm, storlink, "root")));
        var fork = IdOf(await world.DoneAsync(TakeAsync(world, vm, storlink, "fork")));
        var left = IdOf(await world.DoneAsync(TakeAsync(world, vm, storlink, "left")));
        await world.DoneAsync(world.Snapshots.RestoreAsync(vm, fork, null, Token));
        Assert.Equal(fork, (await world.Snapshots.FindCurrentAsync(vm, Token))?.Id);
        await world.DoneAsync(world.Snapshots.DeleteAsync(vm, fork, null, Token));
        Assert.Equal(root, (await world.Snapshots.GetAsync(vm, left, Token)).Parent);
        Assert.Equal(root, (await world.Snapshots.FindCurrentAsync(vm, Token))?.Id);
        await Assert.ThrowsAsync<NotFoundException>(() => world.Snapshots.RestoreAsync(vm, fork, null, Token));
        await world.DoneAsync(TakeAsync(world, vm, storlink, "fork"));
        await world.AssertWholeAsync();
    }

    [Fact]
    public async Task Going_back_names_the_disk_that_was_added_since_and_goes()
    {
        await using var world = await World.StartedAsync();
        var storlink = await world.AddStorlinkAsync();
        var vm = await world.AddMachineAsync(storlink);
        var snapshot = IdOf(await world.DoneAsync(TakeAsync(world, vm, storlink, "s")));
        var back = await world.DoneAsync(world.Snapshots.RestoreAsync(vm, snapshot, null, Token));
        Assert.DoesNotContain("deleted", back.Message, StringComparison.Ordinal);
        await world.DoneAsync(world.Disks.CreateAsync(vm, new CreateDisk { SizeMiB = 10, Storlink = storlink }, null, Token));
        var added = (await world.Disks.ListAsync(vm, Token))[^1];
        back = await world.DoneAsync(world.Snapshots.RestoreAsync(vm, snapshot, null, Token));
        Assert.EndsWith($" Disk {added.Order}, which was added since, is deleted.", back.Message, StringComparison.Ordinal);
        Assert.DoesNotContain(added.Id, world.Storage.Volumes(storlink));
        await world.AssertWholeAsync();
    }

    [Fact]
    public async Task Orphans_go_on_request_and_nothing_else_does()
    {
        await using var world = await World.StartedAsync();
        var storlink = await world.AddStorlinkAsync();
        var vm = await world.AddMachineAsync(storlink);
        await world.DoneAsync(TakeAsync(world, vm, storlink, "s"));
        var before = await world.PictureAsync();
        var orphan = DiskId.New();
        world.Storage.Lay((await world.Storlinks.GetAsync(storlink, Token)).Storlink, orphan, DiskFormat.Raw, DataSize.FromMiB(1));
        var check = world.Get<ConsistencyCheck>();
        Assert.Equal(InconsistencyKind.VolumeWithoutDisk, Assert.Single(await check.RunAsync(Token)).Kind);
        Assert.Contains(orphan, world.Storage.Volumes(storlink));

        // What cannot be looked at may lie on one.
        world.Storage.FailNext(nameof(IDiskChains.ReadAsync), new StorageException("the server is away"));
        Assert.Contains("the server is away", (await Assert.ThrowsAsync<UnavailableException>(() => check.RemoveOrphansAsync(Token))).Message, StringComparison.Ordinal);
        Assert.Contains(orphan, world.Storage.Volumes(storlink));
        Assert.Single(await check.RemoveOrphansAsync(Token));
        Assert.Equal(before, await world.PictureAsync());
        Assert.Empty(await check.RemoveOrphansAsync(Token));
    }

    [Theory]
    [InlineData("delete")]
    [InlineData("restore")]
    [InlineData("copy")]
    [InlineData("move")]
    [InlineData("restore a backup")]
    [InlineData("delete a disk")]
    public async Task A_guest_that_crashed_is_ended_before_somebody_works_on_its_disks(string verb)
    {
        await using var world = await World.StartedAsync();
        var (storlink, other) = (await world.AddStorlinkAsync(), await world.AddStorlinkAsync("other"));
        var vm = await world.AddMachineAsync(storlink, change: request => request with { ExtraDiskSizeMiB = 20 });
        await world.DoneAsync(world.Machines.StartAsync(vm, null, Token));
        var backup = await world.AddBackupAsync(vm, storlink);
        var spare = (await world.Disks.ListAsync(vm, Token))[1].Id;
        var taken = verb == "delete a disk" ? default : IdOf(await world.DoneAsync(TakeAsync(world, vm, storlink, "s")));
        world.Host.Guest(vm).Write("xvda", "later");
        world.Host.Guest(vm).Crash();
        await World.EventuallyAsync(async () => (await world.Machines.GetAsync(vm, Token)).State == VmState.Crashed);

        await world.DoneAsync(verb switch
        {
            "delete" => world.Snapshots.DeleteAsync(vm, taken, null, Token),
            "restore" => world.Snapshots.RestoreAsync(vm, taken, null, Token),
            "copy" => world.Machines.CopyAsync(vm, new CopyVirtualMachine { Name = "copied", Storlink = storlink }, null, Token),
            "move" => world.Machines.MoveDisksAsync(vm, other, null, Token),
            "delete a disk" => world.Disks.DeleteAsync(vm, spare, null, Token),
            _ => world.Backups.RestoreAsync(vm, backup, null, Token),
        });
        Assert.Equal(VmState.Shutdown, (await world.Machines.GetAsync(vm, Token)).State);
        await world.AssertWholeAsync();
    }

    /// <summary>Machines that are started, stopped and written to between snapshots, against a model of what every disk shows.</summary>
    [Fact]
    public async Task Random_sequences_show_what_the_model_says()
    {
        const int sequences = 60;
        const int steps = 30;
        for (var seed = 1; seed <= sequences; seed++)
        {
            await using var world = await World.StartedAsync();
            var storlink = await world.AddStorlinkAsync();
            var vm = await world.AddMachineAsync(storlink);
            var random = new Random(seed);
            Dictionary<SnapshotId, string> kept = [];
            List<string> told = [];
            for (var step = 0; step < steps; step++)
            {
                var now = await ShownAsync();
                var runs = (await world.Machines.GetAsync(vm, Token)).State == VmState.Running;
                var target = kept.Count > 0 ? kept.Keys.OrderBy(id => id.Value).ElementAt(random.Next(kept.Count)) : (SnapshotId?)null;
                var act = random.Next(9);
                told.Add($"{act}{(runs ? " running" : "")}");
                switch (act)
                {
                    case 0 or 1:
                        world.Storage.Write((await world.Disks.ListAsync(vm, Token))[0].Id, random.Next(8), $"{step}");
                        continue;
                    case 2 or 3 when kept.Count < 12:
                        kept[IdOf(await world.DoneAsync(TakeAsync(world, vm, storlink, $"s{step}")))] = now;
                        break;
                    case 4 or 5 when target is { } gone:
                        await world.DoneAsync(world.Snapshots.DeleteAsync(vm, gone, null, Token));
                        kept.Remove(gone);
                        break;
                    case 6 when target is { } back && !runs:
                        await world.DoneAsync(world.Snapshots.RestoreAsync(vm, back, null, Token));
                        now = kept[back];
                        break;
                    case 7 when target is { } start && !runs:
                        await world.DoneAsync(world.Snapshots.StartAsync(vm, start, null, Token));
                        foreach (var fresh in (await world.Snapshots.ListAsync(vm, Token)).Where(snapshot => !kept.ContainsKey(snapshot.Id)))
                        {
                            Assert.StartsWith("kept ", fresh.Name, StringComparison.Ordinal);
                            kept[fresh.Id] = now;
                        }

                        now = kept[start];
                        break;
                    case 8:
                        await world.DoneAsync(runs ? world.Machines.PowerOffAsync(vm, null, Token) : world.Machines.StartAsync(vm, null, Token));
                        break;
                }

                var where = $"sequence {seed}: {string.Join(", ", told)}";
                Assert.True(now == await ShownAsync(), $"{where}: {now} became {await ShownAsync()}");
                Assert.Equal(kept.Keys.OrderBy(id => id.Value), (await world.Snapshots.ListAsync(vm, Token)).Select(snapshot => snapshot.Id).OrderBy(id => id.Value));
                foreach (var (id, content) in kept)
                {
                    var shown = world.Storage.ContentOf((await world.Snapshots.ListDisksAsync(vm, id, Token))[0].Id);
                    Assert.True(content == shown, $"{where}: {content} became {shown}");
                }

                await world.AssertWholeAsync();
            }

            async Task<string> ShownAsync() => world.Storage.ContentOf((await world.Disks.ListAsync(vm, Token))[0].Id)!;
        }
    }

    [Theory]
    [InlineData(true, true, "were frozen for it")]
    [InlineData(true, false, "no agent in the guest answered")]
    [InlineData(false, true, "was created.")]
    public async Task A_guest_is_asked_to_freeze_its_file_systems_where_that_was_wanted(bool wanted, bool answers, string told)
    {
        await using var world = await World.StartedAsync();
        var storlink = await world.AddStorlinkAsync();
        var vm = await world.AddMachineAsync(storlink);
        world.Host.Guest(vm).HasAgent = answers;
        await world.DoneAsync(world.Machines.StartAsync(vm, null, Token));
        var done = await world.DoneAsync(world.Snapshots.CreateAsync(vm, new CreateSnapshot { Name = "s", Storlink = storlink, Quiesce = wanted }, null, Token));
        Assert.EndsWith(wanted ? "." : told, done.Message, StringComparison.Ordinal);
        Assert.Contains(told, done.Message, StringComparison.Ordinal);

        // Nothing is to be frozen in a guest that does not run.
        await world.DoneAsync(world.Machines.PowerOffAsync(vm, null, Token));
        var stopped = await world.DoneAsync(world.Snapshots.CreateAsync(vm, new CreateSnapshot { Name = "t", Storlink = storlink, Quiesce = true }, null, Token));
        Assert.EndsWith("was created.", stopped.Message, StringComparison.Ordinal);
    }

    private static Task<Operation> TakeAsync(World world, VmId vm, StorlinkId storlink, string name) =>
        world.Snapshots.CreateAsync(vm, new CreateSnapshot { Name = name, Storlink = storlink }, null, Token);

    private static SnapshotId IdOf(Operation operation) => SnapshotId.TryParse(operation.Created!.Split('/')[^1], out var id) ? id : throw new InvalidOperationException(operation.Created);
}

using Pengx.Testing;

namespace Pengx.Orchestration.Tests;

public sealed class MoveTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Disks_of_a_running_machine_move_and_its_snapshots_go()
    {
        await using var world = await World.StartedAsync();
        var (storlink, id) = await CopyTests.RunningAsync(world);
        var target = await world.AddStorlinkAsync("store2");

        // A snapshot beneath the machine's disks.
        world.Host.FailNext(SimulatedVerb.CommitDisk, new HypervisorException("the merge failed"));
        await world.AddBackupAsync(id, storlink);
        world.Host.Guest(id).Write("xvda", "later a");
        var saved = Assert.Single(await world.ReadAsync(session => session.Snapshots.ListByVmAsync(id, Token)), snapshot => snapshot.Kind == SnapshotKind.Partial);
        var created = (await world.Machines.GetAsync(id, Token)).Machine.CreatedAt;

        var done = await world.DoneAsync(world.Machines.MoveDisksAsync(id, target, null, Token));
        Assert.Contains(saved.Name, done.Message, StringComparison.Ordinal);
        Assert.Equal(["later a", "early b"], await world.ContentsAsync(id));
        Assert.All(await world.Disks.ListAsync(id, Token), disk => Assert.Equal((target, DiskFormat.Qcow2, null, DiskOwner.Of(id)), (disk.Storlink, disk.Format, disk.Backing, disk.Owner)));
        Assert.Empty(await world.ReadAsync(session => session.Snapshots.ListByVmAsync(id, Token)));
        Assert.All(world.Host.Guest(id).Disks, disk => Assert.Single(disk.Layers));
        Assert.True((await world.Machines.GetAsync(id, Token)).Machine.CreatedAt > created);
        Assert.Equal(2, world.Storage.Volumes(storlink).Count); // the backup's
        Assert.Equal(1, world.Host.Guest(id).Starts);
        await world.AssertWholeAsync();
        await Assert.ThrowsAsync<WrongStateException>(() => world.Machines.MoveDisksAsync(id, target, null, Token));
    }

    [Fact]
    public async Task A_move_that_is_cancelled_merges_back_and_leaves_nothing()
    {
        await using var world = await World.StartedAsync();
        var (storlink, id) = await CopyTests.RunningAsync(world);
        var target = await world.AddStorlinkAsync("store2");
        var streams = new TaskCompletionSource();
        world.Host.Before(SimulatedVerb.StreamDisk, async (_, token) =>
        {
            world.Host.Guest(id).Write("xvda", "later a");
            streams.TrySetResult();
            await Task.Delay(Timeout.Infinite, token);
        });
        var started = await world.Machines.MoveDisksAsync(id, target, null, Token);
        await streams.Task.WaitAsync(Token);
        await world.Operations.CancelAsync(started.Id, Token);
        var ended = await world.Operations.WaitAsync(started.Id, Token);
        Assert.Equal(OperationState.Cancelled, ended.State);
        Assert.Equal(["later a", "early b"], await world.ContentsAsync(id));
        Assert.Empty(world.Storage.Volumes(target));
        Assert.All(await world.Disks.ListAsync(id, Token), disk => Assert.Equal(storlink, disk.Storlink));
        await world.AssertWholeAsync();
    }

    [Fact]
    public async Task What_stands_alone_at_the_target_when_the_rest_fails_stays_there_and_is_told()
    {
        await using var world = await World.StartedAsync();
        var (storlink, id) = await CopyTests.RunningAsync(world);
        var target = await world.AddStorlinkAsync("store2");
        var streams = 0;
        world.Host.Before(SimulatedVerb.StreamDisk, (_, _) => ++streams == 2 ? throw new HypervisorException("the second pull failed") : Task.CompletedTask);
        var ended = await world.EndedAsync(world.Machines.MoveDisksAsync(id, target, null, Token));
        Assert.Equal(OperationState.Failed, ended.State);
        Assert.Contains("the second pull failed", ended.Message, StringComparison.Ordinal);
        var disks = await world.Disks.ListAsync(id, Token);
        Assert.Equal([target, storlink], disks.Select(disk => disk.Storlink));
        Assert.Contains(disks[0].Id.ToString(), ended.Message, StringComparison.Ordinal);
        Assert.Contains("migrate again", ended.Message, StringComparison.Ordinal);
        Assert.Equal(["early a", "early b"], await world.ContentsAsync(id));
        Assert.Equal((1, 1), (world.Storage.Volumes(target).Count, world.Storage.Volumes(storlink).Count));
        await world.AssertWholeAsync();

        world.Host.Before(SimulatedVerb.StreamDisk, null);
        await world.DoneAsync(world.Machines.MoveDisksAsync(id, target, null, Token));
        Assert.Equal((2, 0), (world.Storage.Volumes(target).Count, world.Storage.Volumes(storlink).Count));
        await world.AssertWholeAsync();
    }

    [Fact]
    public async Task A_move_that_fails_when_all_disks_are_there_says_that_nothing_is_left()
    {
        await using var world = await World.StartedAsync();
        var (_, id) = await CopyTests.RunningAsync(world);
        var target = await world.AddStorlinkAsync("store2");
        var streams = 0;
        var isFailing = true;
        world.Host.Before(SimulatedVerb.StreamDisk, (_, _) => Task.FromResult(++streams));
        world.Host.Before(SimulatedVerb.Define, (_, _) =>
        {
            if (streams == 2 && isFailing)
            {
                isFailing = false;
                throw new HypervisorException("the definition was not taken");
            }

            return Task.CompletedTask;
        });
        var ended = await world.EndedAsync(world.Machines.MoveDisksAsync(id, target, null, Token));
        Assert.Equal(OperationState.Failed, ended.State);
        Assert.Contains("the definition was not taken", ended.Message, StringComparison.Ordinal);
        Assert.Contains("nothing is left to move", ended.Message, StringComparison.Ordinal);
        Assert.All(await world.Disks.ListAsync(id, Token), disk => Assert.Equal((target, null), (disk.Storlink, disk.Backing)));
        Assert.Equal(["early a", "early b"], await world.ContentsAsync(id));
        Assert.Equal(2, world.Storage.Volumes(target).Count);
        await world.AssertWholeAsync();
        Assert.Contains("already", (await Assert.ThrowsAsync<WrongStateException>(() => world.Machines.MoveDisksAsync(id, target, null, Token))).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_move_is_refused_where_others_need_the_disks_or_the_target_is_too_small()
    {
        await using var world = await World.StartedAsync();
        var storlink = await world.AddStorlinkAsync();
        var target = await world.AddStorlinkAsync("store2");
        var (one, two) = (await world.AddMachineAsync(storlink), await world.AddMachineAsync(storlink, "web2"));
        var mine = (await world.Disks.ListAsync(one, Token))[0];
        await using (var session = await world.Store.OpenAsync(Token))
        {
            var disk = (await session.Disks.ListByOwnerAsync(DiskOwner.Of(two), Token))[0];
            session.Disks.Update(disk with { Backing = mine.Id });
            await session.SaveAsync(Token);
        }

        Assert.Contains(mine.Id.ToString(), (await Assert.ThrowsAsync<InUseException>(() => world.Machines.MoveDisksAsync(one, target, null, Token))).Message, StringComparison.Ordinal);
        await Assert.ThrowsAsync<NotFoundException>(() => world.Machines.MoveDisksAsync(two, new(99), null, Token));
        world.Storage.Capacity = DataSize.FromMiB(50);
        var ended = await world.EndedAsync(world.Machines.MoveDisksAsync(two, target, null, Token));
        Assert.Equal(PengxErrorCode.InsufficientResource, ended.Error);
        Assert.Contains("50 MiB", ended.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Every_reason_against_a_migration_is_told()
    {
        await using var world = await World.StartedAsync();
        var local = await world.AddStorlinkAsync();
        var shared = await world.AddStorlinkAsync("shared", shared: true);
        var now = TimeProvider.System.GetUtcNow();
        var (up, down) = (await world.AddPeerAsync("pm2", null, now, memory: 600), await world.AddPeerAsync("pm3", null));
        var (here, there) = (await world.AddMachineAsync(local), await world.AddMachineAsync(shared, "web2"));
        await RefusedAsync<NotFoundException>(there, PmId.New(), "PM");
        await RefusedAsync<InvalidFieldException>(there, world.Pm.Id, "already");
        await RefusedAsync<WrongStateException>(there, down, "not up");
        await RefusedAsync<WrongStateException>(here, up, "store1");
        await world.DoneAsync(world.Machines.StartAsync(there, null, Token));
        await RefusedAsync<WrongStateException>(there, up, "cannot move running guests");
        world.Host.Peers["pm2"] = new SimulatedHost();
        await using (var session = await world.Store.OpenAsync(Token))
        {
            session.VirtualMachines.Add(new VirtualMachine { Id = VmId.New(), Pm = up, Name = "theirs", Cpus = 1, Memory = DataSize.FromMiB(256), MaxMemory = DataSize.FromMiB(256), State = VmState.Running, CreatedAt = now });
            await session.SaveAsync(Token);
        }

        await RefusedAsync<InsufficientResourceException>(there, up, "344 MiB");
        await using (var session = await world.Store.OpenAsync(Token))
        {
            var row = (await session.VirtualMachines.FindAsync(there, Token))!;
            session.VirtualMachines.Update(row with { VirtualFunctions = [PciAddress.TryParse("0000:03:10.0", out var function) ? function : default] });
            await session.SaveAsync(Token);
        }

        await RefusedAsync<WrongStateException>(there, up, "SR-IOV");
        Assert.Equal(world.Pm.Id, (await world.Machines.GetAsync(there, Token)).Machine.Pm);

        async Task RefusedAsync<T>(VmId vm, PmId target, string reason)
            where T : PengxException =>
            Assert.Contains(reason, (await Assert.ThrowsAsync<T>(() => world.Machines.MigrateAsync(vm, target, null, Token))).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_running_machine_moves_to_another_host_and_runs_there_alone()
    {
        await using var world = await World.StartedAsync();
        var peer = new SimulatedHost();
        world.Host.Peers["pm2"] = peer;
        var target = await world.AddPeerAsync("pm2", null, TimeProvider.System.GetUtcNow());
        var id = await world.AddMachineAsync(await world.AddStorlinkAsync("shared", shared: true));
        await world.DoneAsync(world.Machines.StartAsync(id, null, Token));

        // A move that the driver gives up leaves the guest here.
        world.Host.FailNext(SimulatedVerb.Migrate, new HypervisorException("the line broke"));
        var failed = await world.EndedAsync(world.Machines.MigrateAsync(id, target, null, Token));
        Assert.Equal((OperationState.Failed, PengxErrorCode.HypervisorFailed), (failed.State, failed.Error));
        Assert.Equal((VmState.Running, world.Pm.Id), ((await world.Machines.GetAsync(id, Token)).State, (await world.Machines.GetAsync(id, Token)).Machine.Pm));
        await world.AssertWholeAsync();

        await world.DoneAsync(world.Machines.MigrateAsync(id, target, null, Token));
        Assert.Empty(world.Host.Guest(id).Disks);
        Assert.Single(peer.Guest(id).Disks);
        var moved = await world.Machines.GetAsync(id, Token);
        Assert.Equal((target, VmState.Running), (moved.Machine.Pm, moved.State));
        await Assert.ThrowsAsync<WrongStateException>(() => world.Machines.StartAsync(id, null, Token));
        await world.AssertWholeAsync();
    }

    [Fact]
    public async Task A_move_whose_outcome_the_driver_doubts_goes_where_the_guest_may_be()
    {
        await using var world = await World.StartedAsync();
        world.Host.Peers["pm2"] = new SimulatedHost();
        var target = await world.AddPeerAsync("pm2", null, TimeProvider.System.GetUtcNow());
        var id = await world.AddMachineAsync(await world.AddStorlinkAsync("shared", shared: true));
        await world.DoneAsync(world.Machines.StartAsync(id, null, Token));
        world.Host.Before(SimulatedVerb.Migrate, (_, _) =>
        {
            world.Host.Guest(id).ShutDown();
            throw new HypervisorException("the guest is gone here, and was not seen there");
        });
        var done = await world.DoneAsync(world.Machines.MigrateAsync(id, target, null, Token));
        Assert.Contains("was not seen there", done.Message, StringComparison.Ordinal);
        Assert.Equal(target, (await world.Machines.GetAsync(id, Token)).Machine.Pm);
        Assert.Empty(world.Host.Guest(id).Disks);
    }

    [Fact]
    public async Task A_move_that_is_cancelled_when_the_guest_has_left_is_recorded_all_the_same()
    {
        await using var world = await World.StartedAsync();
        var (id, target) = await MovableAsync(world);

        // As a driver that cannot stop halfway does.
        TaskCompletionSource begun = new();
        TaskCompletionSource cancelled = new();
        world.Host.Before(SimulatedVerb.Migrate, async (_, _) =>
        {
            begun.SetResult();
            await cancelled.Task;
        });
        var started = await world.Machines.MigrateAsync(id, target, null, Token);
        await begun.Task.WaitAsync(Token);
        await world.Operations.CancelAsync(started.Id, Token);
        cancelled.SetResult();
        var ended = await world.Operations.WaitAsync(started.Id, Token);
        Assert.Equal(OperationState.Cancelled, ended.State);
        Assert.Contains("is on PM 'pm2' now", ended.Message, StringComparison.Ordinal);
        await AssertMovedAsync(world, id, target);
    }

    [Fact]
    public async Task A_move_that_cannot_be_recorded_when_the_guest_has_left_is_recorded_by_its_undo()
    {
        await using var world = await World.StartedAsync();
        var (id, target) = await MovableAsync(world);
        world.Host.Before(SimulatedVerb.Find, (_, _) =>
            world.Host.Peers["pm2"].Guest(id).Disks.Count > 0 ? throw new HypervisorException("the driver does not tell") : Task.CompletedTask);
        var ended = await world.EndedAsync(world.Machines.MigrateAsync(id, target, null, Token));
        world.Host.Before(SimulatedVerb.Find, null);
        Assert.Equal(OperationState.Failed, ended.State);
        Assert.Contains("the driver does not tell", ended.Message, StringComparison.Ordinal);
        Assert.Contains("is on PM 'pm2' now", ended.Message, StringComparison.Ordinal);
        await AssertMovedAsync(world, id, target);
    }

    [Fact]
    public async Task A_move_of_which_nobody_knows_where_the_guest_is_keeps_the_machine_locked()
    {
        await using var world = await World.StartedAsync();
        var (id, target) = await MovableAsync(world);
        world.Host.Before(SimulatedVerb.Migrate, (_, _) =>
        {
            world.Host.Before(SimulatedVerb.IsHere, (_, _) => throw new HypervisorException("whether it runs there is not known"));
            throw new HypervisorException("the line broke");
        });
        var ended = await world.EndedAsync(world.Machines.MigrateAsync(id, target, null, Token));
        Assert.True(ended.NeedsAttention);
        Assert.Contains("is not known", ended.Message, StringComparison.Ordinal);
        await Assert.ThrowsAsync<ResourceLockedException>(() => world.Machines.PowerOffAsync(id, null, Token));

        // A restart asks again.
        world.Host.Before(SimulatedVerb.Migrate, null);
        world.Host.Before(SimulatedVerb.IsHere, null);
        await world.StopAsync();
        await world.StartAsync();
        ended = await world.Operations.WaitAsync(ended.Id, Token);
        Assert.Equal(OperationState.Failed, ended.State);
        Assert.Equal((VmState.Running, world.Pm.Id), ((await world.Machines.GetAsync(id, Token)).State, (await world.Machines.GetAsync(id, Token)).Machine.Pm));
        await world.AssertWholeAsync();
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_guest_that_stands_still_in_the_middle_of_a_move_is_not_taken_for_one_that_left(bool afterAFailure)
    {
        await using var world = await World.StartedAsync();
        var (id, target) = await MovableAsync(world);

        // What a driver sees that does not know of a move, or knows no more: no running guest.
        void Stand()
        {
            world.Host.Guest(id).ShutDown();
            world.Host.Before(SimulatedVerb.IsHere, (_, _) => throw new HypervisorException("it stands still here"));
        }

        if (afterAFailure)
        {
            world.Host.Before(SimulatedVerb.Migrate, (_, _) =>
            {
                Stand();
                throw new HypervisorException("the line broke");
            });
        }
        else
        {
            // As in a service that runs the step again. Checked once with the request, and once by the operation.
            var checks = 0;
            world.Host.Before(SimulatedVerb.CheckMigration, (_, _) =>
            {
                if (++checks == 2)
                {
                    world.Host.Before(SimulatedVerb.IsHere, (_, _) => throw new HypervisorException("it stands still here"));
                    world.Host.Before(SimulatedVerb.Find, (_, _) =>
                    {
                        world.Host.Before(SimulatedVerb.Find, null);
                        Stand();
                        return Task.CompletedTask;
                    });
                }

                return Task.CompletedTask;
            });
        }

        var ended = await world.EndedAsync(world.Machines.MigrateAsync(id, target, null, Token));
        Assert.True(ended.NeedsAttention);
        Assert.Contains("it stands still here", ended.Message, StringComparison.Ordinal);
        Assert.Equal(world.Pm.Id, (await world.Machines.GetAsync(id, Token)).Machine.Pm);
        await Assert.ThrowsAsync<ResourceLockedException>(() => world.Machines.StartAsync(id, null, Token));
    }

    [Theory]
    [InlineData("start")]
    [InlineData("delete")]
    [InlineData("move disks")]
    public async Task A_machine_that_moved_away_before_an_operation_held_it_is_left_alone(string verb)
    {
        await using var world = await World.StartedAsync();
        var (storlink, target) = (await world.AddStorlinkAsync("shared", shared: true), await world.AddStorlinkAsync("store2"));
        var peer = await world.AddPeerAsync("pm2", null, TimeProvider.System.GetUtcNow());
        var id = await world.AddMachineAsync(storlink);

        // The request has been judged, and has not been accepted yet.
        var moved = "";
        world.Host.Before(SimulatedVerb.Find, async (_, _) =>
        {
            world.Host.Before(SimulatedVerb.Find, null);
            await world.MoveRowAsync(id, peer);
            moved = await world.PictureAsync();
        });
        var ended = await world.EndedAsync(verb switch
        {
            "start" => world.Machines.StartAsync(id, null, Token),
            "delete" => world.Machines.DeleteAsync(id, null, Token),
            _ => world.Machines.MoveDisksAsync(id, target, null, Token),
        });
        Assert.Equal((OperationState.Failed, PengxErrorCode.WrongState), (ended.State, ended.Error));
        Assert.Contains(peer.ToString(), ended.Message, StringComparison.Ordinal);
        Assert.Equal(moved, await world.PictureAsync());
    }

    [Fact]
    public async Task A_machine_that_moves_away_leaves_none_of_its_images_attached()
    {
        await using var world = await World.StartedAsync();
        var shared = await world.AddStorlinkAsync("shared", shared: true);
        var peer = await world.AddPeerAsync("pm2", null, TimeProvider.System.GetUtcNow());
        var id = await world.AddMachineAsync(shared);
        await world.DoneAsync(world.Snapshots.CreateAsync(id, new CreateSnapshot { Name = "s", Storlink = shared }, null, Token));
        var detached = 0;
        world.Storage.BeforeNext(nameof(IStorageBackend.DetachAsync), () => detached++, times: 10);
        await world.DoneAsync(world.Machines.MigrateAsync(id, peer, null, Token));
        Assert.Equal(2, detached);
    }

    [Fact]
    public async Task A_guest_that_has_no_definition_yet_has_one_before_its_disks_are_frozen()
    {
        await using var world = await World.StartedAsync();
        var storlink = await world.AddStorlinkAsync();
        var id = await world.AddMachineAsync(storlink);

        // It has come from another host.
        var driver = world.Get<IHypervisorDriver>();
        var definition = await driver.Domains.FindDefinitionAsync(id, Token);
        await driver.Domains.UndefineAsync(id, Token);
        SimulatedHost peer = new();
        peer.Peers["pm1"] = world.Host;
        await using IHypervisorDriver there = new SimulatedHypervisor(peer);
        await there.StartAsync(Token);
        await there.Domains.DefineAsync(definition!, Token);
        await there.Domains.StartAsync(id, Token);
        Assert.True(there.TryGetFeature<ILiveMigration>(out var migration));
        await migration.MigrateAsync(id, "pm1", Token);
        Assert.Null(await driver.Domains.FindDefinitionAsync(id, Token));
        world.Host.Before(SimulatedVerb.CommitDisk, (_, _) =>
        {
            // It ends on its overlays.
            world.Host.Guest(id).Write("xvda", "later a");
            world.Host.Guest(id).ShutDown();
            throw new HypervisorException("QEMU ended");
        });
        await world.AddBackupAsync(id, storlink);
        Assert.Equal(["later a"], await world.ContentsAsync(id));
        await world.AssertWholeAsync();
    }

    private static async Task<(VmId Id, PmId Target)> MovableAsync(World world)
    {
        world.Host.Peers["pm2"] = new SimulatedHost();
        var target = await world.AddPeerAsync("pm2", null, TimeProvider.System.GetUtcNow());
        var id = await world.AddMachineAsync(await world.AddStorlinkAsync("shared", shared: true));
        await world.DoneAsync(world.Machines.StartAsync(id, null, Token));
        return (id, target);
    }

    private static async Task AssertMovedAsync(World world, VmId id, PmId target)
    {
        Assert.Empty(world.Host.Guest(id).Disks);
        Assert.Single(world.Host.Peers["pm2"].Guest(id).Disks);
        var moved = await world.Machines.GetAsync(id, Token);
        Assert.Equal((target, VmState.Running), (moved.Machine.Pm, moved.State));
        await Assert.ThrowsAsync<WrongStateException>(() => world.Machines.StartAsync(id, null, Token));
        await world.AssertWholeAsync();
    }
}

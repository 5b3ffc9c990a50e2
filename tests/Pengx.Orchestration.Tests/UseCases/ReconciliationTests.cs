using Pengx.Testing;

namespace Pengx.Orchestration.Tests;

public sealed class ReconciliationTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Guests_outlive_the_service_and_their_states_are_right_again()
    {
        await using var world = await World.StartedAsync();
        var storlink = await world.AddStorlinkAsync();
        var (runs, ends, crashes) = (await world.AddMachineAsync(storlink, "runs"), await world.AddMachineAsync(storlink, "ends"), await world.AddMachineAsync(storlink, "crashes"));
        foreach (var id in new[] { runs, ends, crashes })
        {
            await world.DoneAsync(world.Machines.StartAsync(id, null, Token));
        }

        await world.StopAsync();
        world.Host.Guest(ends).ShutDown();
        world.Host.Guest(crashes).Crash();
        await world.StartAsync();
        Assert.Equal(
            [VmState.Running, VmState.Shutdown, VmState.Crashed],
            (await world.Machines.ListAsync(Token)).Select(view => view.Machine.State));
        await world.AssertWholeAsync();
        await world.DoneAsync(world.Machines.StartAsync(crashes, null, Token));
        await world.DoneAsync(world.Machines.PowerOffAsync(runs, null, Token));
        await world.DoneAsync(world.Machines.DeleteAsync(runs, null, Token));
        await world.AssertWholeAsync();
    }

    [Fact]
    public async Task Rows_follow_the_guests()
    {
        await using var world = await World.StartedAsync();
        var id = await world.AddMachineAsync(await world.AddStorlinkAsync());
        await world.DoneAsync(world.Machines.StartAsync(id, null, Token));
        var booted = (await world.Machines.GetAsync(id, Token)).Machine.RecentBootedAt;
        world.Host.Guest(id).Reboot();
        await World.EventuallyAsync(async () => (await world.Machines.GetAsync(id, Token)).Machine.RecentBootedAt > booted);
        world.Host.Guest(id).Crash();
        await World.EventuallyAsync(async () => (await world.Machines.GetAsync(id, Token)).Machine.State == VmState.Crashed);
        await world.DoneAsync(world.Machines.PowerOffAsync(id, null, Token));
        Assert.Equal(VmState.Shutdown, (await world.Machines.GetAsync(id, Token)).Machine.State);
    }

    [Fact]
    public async Task Lost_configuration_is_stored_anew_at_the_start()
    {
        await using var world = await World.StartedAsync();
        var id = await world.AddMachineAsync(await world.AddStorlinkAsync());
        var driver = world.Get<IHypervisorDriver>();
        await driver.Domains.UndefineAsync(id, Token);
        Assert.Equal(InconsistencyKind.DefinitionDiffers, Assert.Single(await world.Get<ConsistencyCheck>().RunAsync(Token)).Kind);
        await world.StartAsync();
        await world.AssertWholeAsync();
    }

    [Fact]
    public async Task Configuration_of_a_machine_that_an_operation_has_taken_meanwhile_is_left_to_it()
    {
        await using var world = await World.StartedAsync();
        var storlink = await world.AddStorlinkAsync();
        var lost = await world.AddMachineAsync(storlink, "lost");
        var busy = await world.AddMachineAsync(storlink, "busy");
        await world.DoneAsync(world.Machines.StartAsync(busy, null, Token));
        await world.Get<IHypervisorDriver>().Domains.UndefineAsync(lost, Token);

        // While the first machine's configuration is stored, a backup begins of the second one.
        Task<Operation>? backup = null;
        TaskCompletionSource merges = new();
        TaskCompletionSource goesOn = new();
        world.Host.Before(SimulatedVerb.CommitDisk, async (_, token) =>
        {
            merges.TrySetResult();
            await goesOn.Task.WaitAsync(token);
        });
        world.Host.Before(SimulatedVerb.Define, async (id, token) =>
        {
            if (id?.Value == lost.Value && backup is null)
            {
                backup = world.Backups.CreateAsync(busy, new CreateVirtualMachineBackup { Name = "nightly", Storlink = storlink }, null, Token);
                await backup;
                await merges.Task.WaitAsync(token);
            }
        });
        await world.StartAsync();
        var driver = world.Get<IHypervisorDriver>();
        Assert.NotNull(await driver.Domains.FindDefinitionAsync(lost, Token));
        Assert.Equal(2, (await driver.Domains.FindDefinitionAsync(busy, Token))!.Disks[0].Layers.Count);
        goesOn.SetResult();
        await world.DoneAsync(backup!);
        await world.AssertWholeAsync();

        // Where nothing differs nothing is journaled.
        await world.StartAsync();
        Assert.Single(await world.Operations.ListAsync(null, Token).ToListAsync(Token), operation => operation.Kind.StartsWith("vm.repair", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData(nameof(IStorageBackend.ListAsync), 0, "storlink/1")]
    [InlineData(nameof(IStorageBackend.ListAsync), 1, "storlink/2")]
    [InlineData(nameof(IDiskChains.ReadAsync), 0, "storlink/1/disk/")]
    [InlineData(nameof(IStorageBackend.AttachAsync), 1, "vm/")]
    public async Task Check_goes_on_where_a_tool_fails_and_says_what_it_did_not_see(string verb, int callsBefore, string subject)
    {
        await using var world = await World.StartedAsync();
        await world.AddMachineAsync(await world.AddStorlinkAsync());
        await world.AddStorlinkAsync("empty");
        for (var call = 0; call < callsBefore; call++)
        {
            world.Storage.BeforeNext(verb, () => { });
        }

        world.Storage.FailNext(verb, ProcessFailedException.NotStarted(new ProcessCommand { FileName = "lvs" }, new IOException("no such program")));
        var found = Assert.Single(await world.Get<ConsistencyCheck>().RunAsync(Token));
        Assert.Equal(InconsistencyKind.NotChecked, found.Kind);
        Assert.StartsWith(subject, found.Subject, StringComparison.Ordinal);
        Assert.Contains("no such program", found.Message, StringComparison.Ordinal);
        await world.AssertWholeAsync();
    }

    [Fact]
    public async Task Check_attaches_no_volumes_of_other_hosts()
    {
        await using var world = await World.StartedAsync();
        var created = await world.DoneAsync(world.Storlinks.CreateAsync(
            new CreateStorlink { Name = "san", Link = "/dev/san", Type = StorlinkType.Local, Level = StorlinkLevel.Block, Shared = true }, null, Token));
        var san = Assert.Single(await world.Storlinks.ListAsync(Token)).Storlink;
        Assert.Equal($"storlink/{san.Id}", created.Created);
        var id = await world.AddMachineAsync(san.Id);
        await world.DoneAsync(world.Snapshots.CreateAsync(id, new CreateSnapshot { Name = "s", Storlink = san.Id }, null, Token));
        await world.AddTemplateAsync(san.Id);
        var attached = 0;
        world.Storage.BeforeNext(nameof(IStorageBackend.AttachAsync), () => attached++, times: 100);
        await world.AssertWholeAsync();
        var (all, check) = (attached, world.Get<ConsistencyCheck>());

        await world.Get<IHypervisorDriver>().Domains.UndefineAsync(id, Token);
        await world.MoveRowAsync(id, await world.AddPeerAsync("pm2", null));
        attached = 0;
        var found = Assert.Single(await check.RunAsync(Token));
        Assert.Equal((InconsistencyKind.NotChecked, $"storlink/{san.Id}"), (found.Kind, found.Subject));
        Assert.Equal(1, attached); // the template's
        Assert.True(all > attached);

        // What those images lie on is not known, so no orphan may go.
        world.Storage.Lay(san, DiskId.New(), DiskFormat.Raw, DataSize.FromMiB(1));
        await Assert.ThrowsAsync<UnavailableException>(() => check.RemoveOrphansAsync(Token));
    }

    [Fact]
    public async Task Orphan_that_becomes_a_template_s_before_it_is_removed_stays()
    {
        await using var world = await World.StartedAsync();
        var (storlink, orphan) = await LayAsync(world);
        world.Host.Before(SimulatedVerb.ListDefined, async (_, _) =>
        {
            world.Host.Before(SimulatedVerb.ListDefined, null);
            await world.DoneAsync(TakeAsync(world, storlink, orphan));
        });
        Assert.Empty(await world.Get<ConsistencyCheck>().RemoveOrphansAsync(Token));
        Assert.Contains(orphan, world.Storage.Volumes(storlink));
        await world.AssertWholeAsync();
    }

    [Fact]
    public async Task Orphan_that_is_being_removed_becomes_no_template_s()
    {
        await using var world = await World.StartedAsync();
        var (storlink, orphan) = await LayAsync(world);
        Exception? refusal = null;
        world.Storage.BeforeNext(nameof(IStorageBackend.DetachAsync), () => refusal = Xunit.Record.Exception(() => world.DoneAsync(TakeAsync(world, storlink, orphan)).GetAwaiter().GetResult()));
        Assert.Equal($"storlink/{storlink}/disk/{orphan}", Assert.Single(await world.Get<ConsistencyCheck>().RemoveOrphansAsync(Token)).Subject);
        Assert.IsType<ResourceLockedException>(refusal);
        Assert.Empty(world.Storage.Volumes(storlink));
        await world.AssertWholeAsync();
    }

    [Fact]
    public async Task Orphan_that_something_has_open_is_told_and_stays()
    {
        await using var world = await World.StartedAsync();
        var (storlink, orphan) = await LayAsync(world);
        world.Storage.IsOpen = _ => true;
        Assert.Equal(PengxErrorCode.InUse, (await Assert.ThrowsAsync<OperationFailedException>(() => world.Get<ConsistencyCheck>().RemoveOrphansAsync(Token))).Code);
        Assert.Contains(orphan, world.Storage.Volumes(storlink));
    }

    [Fact]
    public async Task Image_that_an_operation_is_about_to_remove_becomes_no_template()
    {
        await using var world = await World.StartedAsync();
        var storlink = await world.AddStorlinkAsync();
        var vm = await world.AddMachineAsync(storlink);
        var disk = (await world.Disks.ListAsync(vm, Token))[0];
        Operation? added = null;
        world.Host.Before(SimulatedVerb.Undefine, async (_, _) =>
            added = await world.EndedAsync(TakeAsync(world, storlink, disk.Id)));
        await world.DoneAsync(world.Machines.DeleteAsync(vm, null, Token));
        Assert.Equal((OperationState.Failed, PengxErrorCode.InUse), (added!.State, added.Error));
        Assert.Contains("the deletion of VM web1", added.Message, StringComparison.Ordinal);
        Assert.Empty(world.Storage.Volumes(storlink));
        await world.AssertWholeAsync();
    }

    [Fact]
    public async Task Image_that_has_become_anothers_is_not_removed()
    {
        await using var world = await World.StartedAsync();
        var storlink = await world.AddStorlinkAsync();
        var template = await world.AddTemplateAsync(storlink);
        var vm = await world.AddMachineAsync(storlink);
        var disk = (await world.Disks.ListAsync(vm, Token))[0];
        world.Host.Before(SimulatedVerb.Undefine, async (_, _) =>
        {
            await using var session = await world.Store.OpenAsync(Token);
            session.Disks.Add(disk with { Owner = DiskOwner.Of(template), Order = 1, Revision = 0 });
            await session.SaveAsync(Token);
        });
        await world.DoneAsync(world.Machines.DeleteAsync(vm, null, Token));
        Assert.Contains(disk.Id, world.Storage.Volumes(storlink));
        await world.AssertWholeAsync();
    }

    [Fact]
    public async Task Check_finds_what_belongs_to_nobody()
    {
        await using var world = await World.StartedAsync();
        var storlink = await world.AddStorlinkAsync();
        var row = (await world.Storlinks.GetAsync(storlink, Token)).Storlink;
        var vm = await world.AddMachineAsync(storlink);
        var disk = (await world.Disks.ListAsync(vm, Token))[0];
        world.Storage.Lay(row, DiskId.New(), DiskFormat.Raw, DataSize.FromMiB(1));
        world.Storage.Lay(row, DiskId.New(), DiskFormat.Raw, DataSize.FromMiB(1), complete: false);
        await world.Storage.DeleteAsync(row, disk.Id, Token);
        var driver = world.Get<IHypervisorDriver>();
        await driver.Domains.DefineAsync(new DomainDefinition { Id = DomainId.New(), Name = "stray", Cpus = 1, MaxCpus = 1, Memory = DataSize.FromMiB(64), MaxMemory = DataSize.FromMiB(64), Disks = [] }, Token);
        var kinds = (await world.Get<ConsistencyCheck>().RunAsync(Token)).Select(finding => finding.Kind).ToHashSet();
        Assert.Superset(
            new HashSet<InconsistencyKind> { InconsistencyKind.VolumeWithoutDisk, InconsistencyKind.UnfinishedVolume, InconsistencyKind.DiskWithoutVolume, InconsistencyKind.DomainWithoutRow },
            kinds);
    }

    /// <summary>As after a move that was settled wrongly by hand: the other host may run it, too.</summary>
    [Theory]
    [InlineData(true, "runs VM 'web1'")]
    [InlineData(false, "stores VM 'web1'")]
    public async Task Check_finds_a_machine_of_another_host_that_is_here(bool isRunning, string message)
    {
        await using var world = await World.StartedAsync();
        var vm = await world.AddMachineAsync(await world.AddStorlinkAsync());
        if (isRunning)
        {
            await world.DoneAsync(world.Machines.StartAsync(vm, null, Token));
        }

        await world.AssertWholeAsync();
        var peer = await world.AddPeerAsync("pm2", null);
        await world.MoveRowAsync(vm, peer);
        var found = Assert.Single(await world.Get<ConsistencyCheck>().RunAsync(Token));
        Assert.Equal((InconsistencyKind.DomainOfAnotherHost, $"vm/{vm}"), (found.Kind, found.Subject));
        Assert.Contains(message, found.Message, StringComparison.Ordinal);
        Assert.Contains(peer.ToString(), found.Message, StringComparison.Ordinal);

        await world.Get<IHypervisorDriver>().Domains.DestroyAsync(vm, Token);
        await world.Get<IHypervisorDriver>().Domains.UndefineAsync(vm, Token);
        Assert.Empty(await world.Get<ConsistencyCheck>().RunAsync(Token));
    }

    [Fact]
    public async Task Host_registers_itself_and_beats()
    {
        await using var world = await World.StartedAsync(options => options.HeartbeatInterval = TimeSpan.FromMilliseconds(20));
        var own = await world.Hosts.GetOwnAsync(Token);
        Assert.Equal((world.Pm.Id, "pm1", 16, true), (own.Machine.Id, own.Machine.Name, own.Machine.Cpus, own.IsUp));
        Assert.Single(await world.Hosts.ListAsync(Token));
        await World.EventuallyAsync(async () => (await world.Hosts.GetOwnAsync(Token)).Machine.UpdatedAt > own.Machine.UpdatedAt);
        await Assert.ThrowsAsync<NotFoundException>(() => world.Hosts.GetAsync(PmId.New(), Token));
        var performance = await world.Hosts.GetPerformanceAsync(Token);
        Assert.Equal((world.Pm.Id, 0), (performance.Pm, performance.Counters.Domains));
    }

    [Fact]
    public void Identity_is_generated_once_and_kept()
    {
        var directory = Directory.CreateTempSubdirectory("pengx-pm-");
        try
        {
            var first = LocalHostFile.Load(directory.FullName, "pm7");
            Assert.Equal(first, LocalHostFile.Load(directory.FullName, "pm7"));
            var configured = PmId.New();
            Assert.Equal(configured, LocalHostFile.Load(directory.FullName, "pm7", configured).Id);
            File.WriteAllText(Path.Combine(directory.FullName, "pm.id"), "nonsense");
            Assert.Throws<UnavailableException>(() => LocalHostFile.Load(directory.FullName));
        }
        finally
        {
            directory.Delete(recursive: true);
        }
    }

    private static async Task<(StorlinkId Storlink, DiskId Orphan)> LayAsync(World world)
    {
        var (storlink, orphan) = (await world.AddStorlinkAsync(), DiskId.New());
        world.Storage.Lay((await world.Storlinks.GetAsync(storlink, Token)).Storlink, orphan, DiskFormat.Qcow2, DataSize.FromMiB(1));
        return (storlink, orphan);
    }

    private static Task<Operation> TakeAsync(World world, StorlinkId storlink, DiskId image) => world.Templates.AddAsync(
        new AddTemplate { Name = "taken", Os = GuestOs.Debian, Architecture = OsArchitecture.X64, Disks = [new(storlink, image, DiskFormat.Qcow2)] }, null, Token);
}

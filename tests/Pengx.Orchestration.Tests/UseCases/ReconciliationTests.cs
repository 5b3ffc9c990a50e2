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
}

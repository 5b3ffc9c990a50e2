using Pengx.Testing;

namespace Pengx.Orchestration.Tests;

public sealed class MachineTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Created_machine_has_what_was_asked_for()
    {
        await using var world = await World.StartedAsync();
        var storlink = await world.AddStorlinkAsync();
        var id = await world.AddMachineAsync(storlink, " web 1 ", request => request with { ExtraDiskSizeMiB = 30, Networks = ["0", "xenbr5"], Description = "for something" });
        var view = await world.Machines.GetAsync(id, Token);
        Assert.Equal("web 1", view.Machine.Name);
        Assert.Equal(("for something", 1, 512L, 1024L), (view.Machine.Description, view.Machine.Cpus, view.Machine.Memory.MiB, view.Machine.MaxMemory.MiB));
        Assert.Equal([100L, 30L], view.Disks.Select(disk => disk.Size.MiB));
        Assert.Equal([0, 1], view.Disks.Select(disk => disk.Order));
        Assert.Equal(130, view.DiskSize.MiB);
        Assert.Equal([("eth0", "xenbr0"), ("eth1", "xenbr5")], view.Interfaces.Select(nic => (nic.Name, nic.Switch)));
        Assert.All(view.Interfaces, nic => Assert.StartsWith("00:16:3e:", nic.Mac.ToString(), StringComparison.Ordinal));
        Assert.Equal(8, view.Machine.VncPassword!.Length);
        Assert.Equal((VmState.Shutdown, false), (view.State, view.Locked));
        Assert.Equal(2, world.Storage.Volumes(storlink).Count);
        await world.AssertWholeAsync();
    }

    [Fact]
    public async Task Refused_fields_name_themselves_and_change_nothing()
    {
        await using var world = await World.StartedAsync();
        var request = World.Request(await world.AddStorlinkAsync());
        var before = await world.PictureAsync();
        await RefusedAsync("name", request with { Name = "" });
        await RefusedAsync("name", request with { Name = "a\nb" });
        await RefusedAsync("name", request with { Name = new string('x', 256) });
        await RefusedAsync("desc", request with { Description = new string('x', 10_000) });
        await RefusedAsync("cpu_core", request with { Cpus = 0 });
        await RefusedAsync("memory", request with { MemoryMiB = 0 });
        await RefusedAsync("memory", request with { MemoryMiB = long.MaxValue });
        await RefusedAsync("memory", request with { MemoryMiB = 2048, MaxMemoryMiB = 1024 });
        await RefusedAsync("os_disk_size", request with { OsDiskSizeMiB = null });
        await RefusedAsync("os_disk_size", request with { OsDiskSizeMiB = -1 });
        await RefusedAsync("extra_disk_size", request with { ExtraDiskSizeMiB = long.MaxValue });
        await RefusedAsync("network", request with { Networks = ["; $(reboot)"] });
        await RefusedAsync("network", request with { Networks = ["99999999999"] });
        await Assert.ThrowsAsync<NotFoundException>(() => world.Machines.CreateAsync(request with { Storlink = new(99) }, null, Token));
        await Assert.ThrowsAsync<NotFoundException>(() => world.Machines.CreateAsync(request with { Template = TemplateId.New() }, null, Token));
        // Fields are judged before objects.
        await RefusedAsync("cpu_core", request with { Cpus = 0, Storlink = new(99) });
        var tooMuch = await Assert.ThrowsAsync<InsufficientResourceException>(() => world.Machines.CreateAsync(request with { MaxMemoryMiB = 1024 * 1024 }, null, Token));
        Assert.Contains("65536 MiB", tooMuch.Message, StringComparison.Ordinal);
        Assert.Equal(before, await world.PictureAsync());

        async Task RefusedAsync(string field, CreateVirtualMachine bad)
        {
            var error = await Assert.ThrowsAsync<InvalidFieldException>(() => world.Machines.CreateAsync(bad, null, Token));
            Assert.Equal(field, error.Field);
        }
    }

    [Fact]
    public async Task Names_are_unique_and_may_be_255_characters_of_any_script()
    {
        await using var world = await World.StartedAsync();
        var storlink = await world.AddStorlinkAsync();
        var name = string.Concat(Enumerable.Repeat("웹😀", 127)) + "é";
        await world.AddMachineAsync(storlink, name);
        var taken = await Assert.ThrowsAsync<InvalidFieldException>(() => world.Machines.CreateAsync(World.Request(storlink, name), null, Token));
        Assert.Equal("name", taken.Field);
        var other = await world.AddMachineAsync(storlink, "other");
        await Assert.ThrowsAsync<InvalidFieldException>(() => world.Machines.EditAsync(other, new EditVirtualMachine { Name = name }, null, Token));
    }

    [Fact]
    public async Task Copies_carry_the_template_s_content_and_linked_clones_lie_on_it()
    {
        await using var world = await World.StartedAsync();
        var storlink = await world.AddStorlinkAsync();
        var template = await world.AddTemplateAsync(storlink);
        var source = (await world.Templates.ListDisksAsync(template, Token))[0];
        var small = await Assert.ThrowsAsync<InvalidFieldException>(() => world.Machines.CreateAsync(World.Request(storlink) with { Template = template, OsDiskSizeMiB = 99 }, null, Token));
        Assert.Equal("os_disk_size", small.Field);

        var copy = await world.Machines.GetAsync(await world.AddMachineAsync(storlink, "copy", request => request with { Template = template, OsDiskSizeMiB = 200 }), Token);
        Assert.Equal(GuestOs.Debian, copy.Machine.Os);
        Assert.Null(copy.Disks[0].Backing);
        Assert.Equal(200, copy.Disks[0].Size.MiB);
        Assert.Equal(world.Storage.ContentOf(source.Id), world.Storage.ContentOf(copy.Disks[0].Id));

        world.Configure = options => options.LinkedClones = true;
        await world.StartAsync();
        var clone = await world.AddMachineAsync(storlink, "clone", request => request with { Template = template, OsDiskSizeMiB = null });
        Assert.Equal(source.Id, (await world.Machines.GetAsync(clone, Token)).Disks[0].Backing);
        await world.DoneAsync(world.Machines.StartAsync(clone, null, Token));
        Assert.Equal([DiskFormat.Qcow2, DiskFormat.Qcow2], world.Host.Guest(clone).Disks[0].Layers.Select(layer => layer.Format));
        await Assert.ThrowsAsync<InUseException>(() => world.Templates.StartAsync(template, null, null, Token));
        var used = await Assert.ThrowsAsync<InUseException>(() => world.Templates.DeleteAsync(template, null, Token));
        Assert.Contains("copy, clone", used.Message, StringComparison.Ordinal);
        await world.AssertWholeAsync();
    }

    [Fact]
    public async Task States_allow_what_the_table_says()
    {
        await using var world = await World.StartedAsync();
        var id = await world.AddMachineAsync(await world.AddStorlinkAsync());
        var machines = world.Machines;
        Func<Task>[] notWhileDown =
        [
            () => machines.ShutdownAsync(id, null, Token), () => machines.RebootAsync(id, null, Token), () => machines.SuspendAsync(id, null, Token),
            () => machines.ResumeAsync(id, null, Token), () => machines.PowerOffAsync(id, null, Token), () => machines.ResetAsync(id, null, Token),
        ];
        foreach (var verb in notWhileDown)
        {
            await Assert.ThrowsAsync<WrongStateException>(verb);
        }

        await world.DoneAsync(machines.StartAsync(id, null, Token));
        Assert.NotNull((await machines.GetAsync(id, Token)).Machine.RecentBootedAt);
        Assert.NotNull((await machines.GetAsync(id, Token)).Vnc);
        await Assert.ThrowsAsync<WrongStateException>(() => machines.StartAsync(id, null, Token));
        await Assert.ThrowsAsync<WrongStateException>(() => machines.ResumeAsync(id, null, Token));
        await Assert.ThrowsAsync<WrongStateException>(() => machines.DeleteAsync(id, null, Token));
        await world.DoneAsync(machines.SuspendAsync(id, null, Token));
        Assert.Equal(VmState.Paused, (await machines.GetAsync(id, Token)).State);
        await Assert.ThrowsAsync<WrongStateException>(() => machines.StartAsync(id, null, Token));
        await Assert.ThrowsAsync<WrongStateException>(() => machines.ShutdownAsync(id, null, Token));
        await world.DoneAsync(machines.ResetAsync(id, null, Token));
        Assert.Equal(VmState.Running, (await machines.GetAsync(id, Token)).State);
        await world.DoneAsync(machines.SuspendAsync(id, null, Token));
        await world.DoneAsync(machines.PowerOffAsync(id, null, Token));
        Assert.Equal(VmState.Shutdown, Assert.Single(await machines.ListAsync(Token)).State);
        await world.DoneAsync(machines.DeleteAsync(id, null, Token));
        await Assert.ThrowsAsync<NotFoundException>(() => machines.GetAsync(id, Token));
        await world.AssertWholeAsync();
    }

    [Fact]
    public async Task Shutdown_of_a_guest_that_ignores_it_succeeds_and_says_so()
    {
        await using var world = await World.StartedAsync();
        var id = await world.AddMachineAsync(await world.AddStorlinkAsync());
        await world.DoneAsync(world.Machines.StartAsync(id, null, Token));
        world.Host.Guest(id).ObeysShutdown = false;
        var done = await world.DoneAsync(world.Machines.ShutdownAsync(id, null, Token));
        Assert.Contains("was asked to shut down and still runs", done.Message, StringComparison.Ordinal);
        world.Host.Guest(id).ObeysReboot = false;
        Assert.Contains("was asked to reboot", (await world.DoneAsync(world.Machines.RebootAsync(id, null, Token))).Message, StringComparison.Ordinal);
        Assert.Equal(VmState.Running, (await world.Machines.GetAsync(id, Token)).State);
    }

    [Fact]
    public async Task Poweroff_takes_the_machine_from_a_shutdown_that_waits()
    {
        await using var world = await World.StartedAsync(options => options.ShutdownWait = TimeSpan.FromMinutes(10));
        var id = await world.AddMachineAsync(await world.AddStorlinkAsync());
        await world.DoneAsync(world.Machines.StartAsync(id, null, Token));
        world.Host.Guest(id).ObeysShutdown = false;
        var waiting = await world.Machines.ShutdownAsync(id, null, Token);
        Assert.True((await world.Machines.GetAsync(id, Token)).Locked);
        var locked = await Assert.ThrowsAsync<ResourceLockedException>(() => world.Machines.SuspendAsync(id, null, Token));
        Assert.Contains("shutdown", locked.Message, StringComparison.Ordinal);
        await world.DoneAsync(world.Machines.PowerOffAsync(id, null, Token));
        Assert.Equal(OperationState.Cancelled, (await world.Operations.WaitAsync(waiting.Id, Token)).State);
        Assert.Equal(VmState.Shutdown, (await world.Machines.GetAsync(id, Token)).State);
    }

    [Fact]
    public async Task Start_without_enough_free_memory_is_refused_with_the_figures()
    {
        await using var world = await World.StartedAsync();
        world.Host.Memory = DataSize.FromMiB(1100);
        var storlink = await world.AddStorlinkAsync();
        var (one, two, three) = (await world.AddMachineAsync(storlink, "one"), await world.AddMachineAsync(storlink, "two"), await world.AddMachineAsync(storlink, "three"));
        await world.DoneAsync(world.Machines.StartAsync(one, null, Token));
        await world.DoneAsync(world.Machines.StartAsync(two, null, Token));
        var refused = await Assert.ThrowsAsync<InsufficientResourceException>(() => world.Machines.StartAsync(three, null, Token));
        Assert.Contains("512 MiB", refused.Message, StringComparison.Ordinal);
        Assert.Contains("76 MiB", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Failed_start_leaves_the_machine_as_it_was()
    {
        await using var world = await World.StartedAsync();
        var id = await world.AddMachineAsync(await world.AddStorlinkAsync());
        var before = await world.PictureAsync();
        world.Host.FailNext(SimulatedVerb.Start, new HypervisorException("qemu: no such accelerator"));
        var ended = await world.EndedAsync(world.Machines.StartAsync(id, null, Token));
        Assert.Equal((OperationState.Failed, PengxErrorCode.HypervisorFailed), (ended.State, ended.Error));
        Assert.Contains("no such accelerator", ended.Message, StringComparison.Ordinal);
        Assert.Equal(before, await world.PictureAsync());
    }

    [Fact]
    public async Task Failed_creation_leaves_nothing()
    {
        await using var world = await World.StartedAsync();
        var storlink = await world.AddStorlinkAsync();
        var before = await world.PictureAsync();
        world.Host.FailNext(SimulatedVerb.Define, new HypervisorException("disk full"));
        Assert.Equal(OperationState.Failed, (await world.EndedAsync(world.Machines.CreateAsync(World.Request(storlink), null, Token))).State);
        world.Store.FailNextSave(new InUseException("no"));
        Assert.Equal(OperationState.Failed, (await world.EndedAsync(world.Machines.CreateAsync(World.Request(storlink), null, Token))).State);
        Assert.Equal(before, await world.PictureAsync());
        await world.AssertWholeAsync();
    }

    [Fact]
    public async Task Resize_applies_what_the_guest_takes_and_tells_the_rest()
    {
        await using var world = await World.StartedAsync();
        var id = await world.AddMachineAsync(await world.AddStorlinkAsync());
        await world.DoneAsync(world.Machines.StartAsync(id, null, Token));
        var done = await world.DoneAsync(world.Machines.ResizeAsync(id, new ResizeVirtualMachine { Cpus = 2, MemoryMiB = 768 }, null, Token));
        Assert.Contains("while it runs", done.Message, StringComparison.Ordinal);
        world.Host.Guest(id).AllowsGrowing = false;
        done = await world.DoneAsync(world.Machines.ResizeAsync(id, new ResizeVirtualMachine { Cpus = 3 }, null, Token));
        Assert.Contains("from the next start", done.Message, StringComparison.Ordinal);
        var machine = (await world.Machines.GetAsync(id, Token)).Machine;
        Assert.Equal((3, 768L), (machine.Cpus, machine.Memory.MiB));
        await Assert.ThrowsAsync<InvalidFieldException>(() => world.Machines.ResizeAsync(id, new ResizeVirtualMachine(), null, Token));
        await Assert.ThrowsAsync<InvalidFieldException>(() => world.Machines.ResizeAsync(id, new ResizeVirtualMachine { MemoryMiB = 2000 }, null, Token));
        await Assert.ThrowsAsync<InsufficientResourceException>(() => world.Machines.ResizeAsync(id, new ResizeVirtualMachine { MaxMemoryMiB = 1024 * 1024 }, null, Token));
        await world.AssertWholeAsync();
    }

    [Fact]
    public async Task Lists_take_a_constant_number_of_reads()
    {
        await using var world = await World.StartedAsync();
        var storlink = await world.AddStorlinkAsync();
        await world.AddMachineAsync(storlink, "vm0");
        var one = await ReadsAsync();
        for (var index = 1; index < 6; index++)
        {
            await world.AddMachineAsync(storlink, $"vm{index}");
        }

        Assert.Equal(one, await ReadsAsync());

        async Task<int> ReadsAsync()
        {
            var before = world.Store.Reads;
            await world.Machines.ListAsync(Token);
            return world.Store.Reads - before;
        }
    }

    [Fact]
    public async Task Machine_of_another_host_is_shown_and_not_touched()
    {
        await using var world = await World.StartedAsync();
        var id = await world.AddMachineAsync(await world.AddStorlinkAsync());
        await using (var session = await world.Store.OpenAsync(Token))
        {
            var row = await session.VirtualMachines.FindAsync(id, Token);
            session.VirtualMachines.Update(row! with { Pm = PmId.New(), State = VmState.Running });
            await session.SaveAsync(Token);
        }

        Assert.Equal(VmState.Running, (await world.Machines.GetAsync(id, Token)).State);
        await Assert.ThrowsAsync<WrongStateException>(() => world.Machines.ShutdownAsync(id, null, Token));
    }
}

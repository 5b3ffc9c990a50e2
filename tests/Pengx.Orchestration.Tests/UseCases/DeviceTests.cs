using Pengx.Testing;

namespace Pengx.Orchestration.Tests;

public sealed class DeviceTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Disk_is_plugged_into_a_running_guest_and_taken_from_it()
    {
        await using var world = await World.StartedAsync();
        var storlink = await world.AddStorlinkAsync();
        var id = await world.AddMachineAsync(storlink);
        await world.DoneAsync(world.Machines.StartAsync(id, null, Token));
        var created = await world.DoneAsync(world.Disks.CreateAsync(id, new CreateDisk { SizeMiB = 10, Storlink = storlink, Description = "data" }, null, Token));
        var disk = Assert.Single(await world.Disks.ListAsync(id, Token), disk => disk.Order == 1);
        Assert.Equal($"vm/{id}/disk/{disk.Id}", created.Created);
        Assert.Equal((10L, DiskFormat.Qcow2, "data"), (disk.Size.MiB, disk.Format, disk.Description));
        Assert.Equal("xvdb", world.Host.Guest(id).Disks[1].Vdev);

        world.Host.Guest(id).AllowsUnplug = false;
        var refused = await world.EndedAsync(world.Disks.DeleteAsync(id, disk.Id, null, Token));
        Assert.Equal((OperationState.Failed, PengxErrorCode.HypervisorFailed), (refused.State, refused.Error));
        await world.AssertWholeAsync();
        Assert.Equal(2, world.Host.Guest(id).Disks.Count);

        world.Host.Guest(id).AllowsUnplug = true;
        await world.DoneAsync(world.Disks.DeleteAsync(id, disk.Id, null, Token));
        Assert.Single(world.Host.Guest(id).Disks);
        Assert.Single(world.Storage.Volumes(storlink));
        await Assert.ThrowsAsync<NotFoundException>(() => world.Disks.GetAsync(id, disk.Id, Token));
        await world.AssertWholeAsync();
    }

    [Fact]
    public async Task Device_names_stay_when_a_disk_before_them_goes()
    {
        await using var world = await World.StartedAsync();
        var storlink = await world.AddStorlinkAsync();
        var id = await world.AddMachineAsync(storlink, change: request => request with { ExtraDiskSizeMiB = 10 });
        await world.DoneAsync(world.Machines.StartAsync(id, null, Token));
        await world.DoneAsync(world.Disks.CreateAsync(id, new CreateDisk { SizeMiB = 10, Storlink = storlink }, null, Token));
        await world.DoneAsync(world.Disks.DeleteAsync(id, (await world.Disks.ListAsync(id, Token))[1].Id, null, Token));
        await world.DoneAsync(world.Disks.CreateAsync(id, new CreateDisk { SizeMiB = 10, Storlink = storlink }, null, Token));
        Assert.Equal(["xvda", "xvdb", "xvdd"], world.Host.Guest(id).Disks.Select(disk => disk.Vdev).Order());
        await world.AssertWholeAsync();
    }

    [Fact]
    public async Task Disk_that_cannot_be_plugged_is_not_left_behind()
    {
        await using var world = await World.StartedAsync();
        var storlink = await world.AddStorlinkAsync();
        var id = await world.AddMachineAsync(storlink);
        await world.DoneAsync(world.Machines.StartAsync(id, null, Token));
        var before = await world.PictureAsync();
        world.Host.FailNext(SimulatedVerb.PlugDisk, new HypervisorException("no free slot"));
        Assert.Equal(OperationState.Failed, (await world.EndedAsync(world.Disks.CreateAsync(id, new CreateDisk { SizeMiB = 10, Storlink = storlink }, null, Token))).State);
        Assert.Equal(before, await world.PictureAsync());
        await Assert.ThrowsAsync<InvalidFieldException>(() => world.Disks.CreateAsync(id, new CreateDisk { SizeMiB = 0, Storlink = storlink }, null, Token));
        var boot = (await world.Disks.ListAsync(id, Token))[0].Id;
        await Assert.ThrowsAsync<WrongStateException>(() => world.Disks.DeleteAsync(id, boot, null, Token));
        var other = await world.AddMachineAsync(storlink, "other");
        await Assert.ThrowsAsync<NotFoundException>(() => world.Disks.DeleteAsync(other, boot, null, Token));
    }

    [Fact]
    public async Task Deleted_interface_stays_with_the_running_guest_until_it_is_powered_off()
    {
        await using var world = await World.StartedAsync();
        var id = await world.AddMachineAsync(await world.AddStorlinkAsync());
        await world.DoneAsync(world.Machines.StartAsync(id, null, Token));
        var nic = Assert.Single(await world.Interfaces.ListAsync(id, Token));
        await world.DoneAsync(world.Interfaces.DeleteAsync(id, nic.Id, null, Token));
        Assert.Empty(await world.Interfaces.ListAsync(id, Token));
        Assert.Empty((await world.Machines.GetAsync(id, Token)).Interfaces);
        Assert.Single(world.Host.Guest(id).Nics);
        Assert.NotNull(await world.ReadAsync(session => session.VmInterfaces.FindByMacAsync(nic.Mac, Token)));
        await Assert.ThrowsAsync<NotFoundException>(() => world.Interfaces.DeleteAsync(id, nic.Id, null, Token));
        await world.AssertWholeAsync();

        // The guest's own shutdown is a power-off, too: reconciliation frees the address.
        world.Host.Guest(id).ShutDown();
        await World.EventuallyAsync(async () => await world.ReadAsync(session => session.VmInterfaces.FindByMacAsync(nic.Mac, Token)) is null);
        await World.EventuallyAsync(async () => (await world.ReadAsync(session => session.VirtualMachines.FindAsync(id, Token)))!.State == VmState.Shutdown);
        await world.DoneAsync(world.Machines.StartAsync(id, null, Token));
        Assert.Empty(world.Host.Guest(id).Nics);
        await world.AssertWholeAsync();
    }

    [Fact]
    public async Task Interface_is_plugged_into_a_running_guest_and_its_address_is_noted()
    {
        await using var world = await World.StartedAsync();
        var id = await world.AddMachineAsync(await world.AddStorlinkAsync());
        await world.DoneAsync(world.Machines.StartAsync(id, null, Token));
        await world.DoneAsync(world.Interfaces.CreateAsync(id, new CreateInterface { Switch = "3" }, null, Token));
        var nic = (await world.Interfaces.ListAsync(id, Token))[1];
        Assert.Equal(("eth1", "xenbr3"), (nic.Name, nic.Switch));
        Assert.Contains(world.Host.Guest(id).Nics, plugged => plugged.Mac == nic.Mac);
        await world.DoneAsync(world.Interfaces.UpdateAsync(id, nic.Id, new UpdateInterface { IpAddress = "192.168.0.1" }, null, Token));
        Assert.Equal("192.168.0.1", (await world.Interfaces.GetAsync(id, nic.Id, Token)).IpAddress!.ToString());
        await Assert.ThrowsAsync<InvalidFieldException>(() => world.Interfaces.UpdateAsync(id, nic.Id, new UpdateInterface { IpAddress = "192.168.1" }, null, Token));
        await Assert.ThrowsAsync<InvalidFieldException>(() => world.Interfaces.CreateAsync(id, new CreateInterface { Switch = "a b" }, null, Token));
        await world.AssertWholeAsync();
    }
}

namespace Pengx.Storage.Tests;

/// <summary>On a tree that stands for sysfs: two ports of this host see one target.</summary>
public sealed class FibreChannelLayersTests : IDisposable
{
    private const string Target = "0x5006016000000001";

    private readonly string _sys = Directory.CreateTempSubdirectory("pengx-fc-").FullName;

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    private FibreChannelLayers Layers => new(new ProcessRunner(), new() { Sys = _sys, DeviceTimeout = TimeSpan.FromSeconds(10) }, Path.Combine(_sys, "leases"));

    /// <summary>For what will not become so.</summary>
    private FibreChannelLayers ShortLayers => new(new ProcessRunner(), new() { Sys = _sys, DeviceTimeout = TimeSpan.FromSeconds(2) }, Path.Combine(_sys, "leases"));

    public void Dispose() => Directory.Delete(_sys, recursive: true);

    [Fact]
    public async Task One_unit_is_scanned_for_on_every_port_that_sees_the_target()
    {
        var unseen = await Assert.ThrowsAsync<UnavailableException>(() => Layers.PlanAsync(Order(StorageVerb.Create), Token));
        Assert.Contains("it has none", unseen.Message, StringComparison.Ordinal);
        Lay("class/fc_host/host3/port_name", "0x2100");
        Lay("class/fc_host/host3/port_state", "Linkdown");
        Assert.Contains("host3 (0x2100) is Linkdown", (await Assert.ThrowsAsync<UnavailableException>(() => Layers.PlanAsync(Order(StorageVerb.Create), Token))).Message, StringComparison.Ordinal);
        LayPorts();
        Assert.Null(await Layers.InspectAsync(Order(StorageVerb.Create).Layer, Token));
        var plan = await Layers.PlanAsync(Order(StorageVerb.Create), Token);
        Assert.Equal([$"write '0 2 5' into {_sys}/class/scsi_host/host3/scan", $"write '0 2 5' into {_sys}/class/scsi_host/host4/scan"], plan.Steps.Select(step => step.Action.ToString()));

        // What the kernel would do when it is told to look.
        using var first = Answer(3, "sdpx");
        using var second = Answer(4, "sdpy");
        var state = (await Layers.ExecuteAsync(Order(StorageVerb.Create), cancellationToken: Token))!;
        Assert.Equal(("/dev/sdpx", true, DataSize.FromMiB(50), "naa.6001405aaaa"), (state.Name, state.Attached, state.Layer.Size, state.Layer.Uuid));
        Assert.Empty(state.Warnings);
        Assert.Empty((await Layers.PlanAsync(Order(StorageVerb.Attach), Token)).Steps);
        Assert.Equal("0 2 5", await File.ReadAllTextAsync(Path.Combine(_sys, "class/scsi_host/host4/scan"), Token));
    }

    [Fact]
    public async Task A_number_that_belongs_to_another_unit_now_is_noticed()
    {
        LayPorts();
        LayPath(3, "sdpx");
        var layer = (await Layers.InspectAsync(Order(StorageVerb.Create).Layer, Token))!.Layer;
        Assert.Contains((await Layers.InspectAsync(layer, Token))!.Warnings, warning => warning.StartsWith("host4 sees the target", StringComparison.Ordinal));
        LayPath(3, "sdpx", "naa.6001405bbbb");
        var state = (await Layers.InspectAsync(layer, Token))!;
        Assert.False(state.Attached);
        Assert.Contains(state.Warnings, warning => warning.Contains("another unit has got its number", StringComparison.Ordinal));

        // And it is neither used nor let go.
        foreach (var verb in (StorageVerb[])[StorageVerb.Attach, StorageVerb.Delete, StorageVerb.Resize])
        {
            var refused = await Assert.ThrowsAsync<StorageException>(() => Layers.PlanAsync(new() { Verb = verb, Layer = layer }, Token));
            Assert.Contains("/dev/sdpx must be naa.6001405aaaa, but it is naa.6001405bbbb", refused.Message, StringComparison.Ordinal);
        }

        // A port that sees it only when it is told to look says so, too.
        using var second = Answer(4, "sdpy", "naa.6001405bbbb");
        LayPath(3, "sdpx");
        var scanned = await Assert.ThrowsAsync<StoragePlanFailedException>(() => ShortLayers.ExecuteAsync(new() { Verb = StorageVerb.Attach, Layer = layer }, cancellationToken: Token));
        Assert.Contains("/dev/sdpy must be naa.6001405aaaa", scanned.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Multipath_is_the_device_and_goes_before_its_paths()
    {
        LayPorts();
        LayPath(3, "sdpx");
        LayPath(4, "sdpy");
        Lay("block/sdpx/holders/dm-7", "");
        LayMap();
        Assert.Equal("/dev/mapper/vmstore", (await Layers.InspectAsync(Order(StorageVerb.Create).Layer, Token))!.Name);
        var plan = await Layers.PlanAsync(Order(StorageVerb.Detach), Token);
        Assert.Equal(
            ["multipath -f vmstore", $"write 1 into {_sys}/class/scsi_device/3:0:2:5/device/delete", $"write 1 into {_sys}/class/scsi_device/4:0:2:5/device/delete"],
            plan.Steps.Select(step => step.Action.ToString()));

        // A path that is still held is not dropped.
        var held = await plan.Steps[1].Before[0].VerifyAsync(Token);
        Assert.Equal("dm-7 is", held);
        LayPath(3, "sdpx", "naa.6001405bbbb");
        Assert.Equal("it is naa.6001405bbbb now", await plan.Steps[1].Before[0].VerifyAsync(Token));
    }

    [Theory]
    [InlineData(StorageVerb.Detach)]
    [InlineData(StorageVerb.Delete)]
    public async Task A_mount_and_a_map_without_any_path_are_left_and_not_waited_for(StorageVerb verb)
    {
        var point = Path.Combine(_sys, "mnt");
        var layer = Order(verb).Layer with { Name = "/dev/mapper/vmstore", Uuid = "naa.6001405aaaa", MountPoint = point };
        StorageOrder order = new() { Verb = verb, Layer = layer };
        await using var mount = await NamedMount.MountAsync("/dev/mapper/vmstore", point);
        LayMap();
        var waits = "queue_if_no_path";
        WatchingRunner runner = new();
        runner.Before = command =>
        {
            switch (command.FileName)
            {
                case "umount":
                    return null;
                case "multipath":
                    Directory.Delete(Path.Combine(_sys, "block/dm-7"), recursive: true);
                    break;
            }

            return new(command, 0, command.Arguments[0] == "table" ? $"0 102400 multipath 1 {waits} 1 alua 0 0\n" : "", "");
        };
        FibreChannelLayers layers = new(runner, new() { Sys = _sys }, Path.Combine(_sys, "leases"));

        // As long as it would wait for a path, so would the unmount.
        var failed = await Assert.ThrowsAsync<StoragePlanFailedException>(() => layers.ExecuteAsync(order, cancellationToken: Token));
        Assert.Contains("it is set to wait", failed.Message, StringComparison.Ordinal);
        Assert.True(mount.IsThere);
        waits = "retain_attached_hw_handler";
        runner.Commands.Clear();
        Assert.Contains("what was not written into it yet is lost", Assert.Single((await layers.PlanAsync(order, Token)).Warnings), StringComparison.Ordinal);
        Assert.Null(await layers.ExecuteAsync(order, cancellationToken: Token));
        Assert.Equal(["dmsetup message vmstore 0 fail_if_no_path", "dmsetup table vmstore", $"umount -- {point}", "multipath -f vmstore"], runner.Commands);
        Assert.False(mount.IsThere);
        Assert.Empty((await layers.PlanAsync(order, Token)).Steps);

        // A map that only has the name is another unit's.
        LayMap("mpath-36001405bbbb");
        Assert.Empty((await layers.PlanAsync(order, Token)).Steps);
        Assert.Equal("multipath -f vmstore", (await layers.PlanAsync(order with { Layer = layer with { Uuid = null } }, Token)).Steps[^1].Action.ToString());
    }

    [Fact]
    public async Task A_unit_that_has_grown_is_taken_over_by_its_paths_and_their_map()
    {
        LayPorts();
        var order = Order(StorageVerb.Resize);
        Assert.Equal($"Unit 5 of FC target {Target} is not attached; attach it first.", (await Assert.ThrowsAsync<WrongStateException>(() => Layers.PlanAsync(order, Token))).Message);
        LayPath(3, "sdpx");
        Assert.Equal([$"write 1 into {_sys}/class/scsi_device/3:0:2:5/device/rescan"], (await Layers.PlanAsync(order, Token)).Steps.Select(step => step.Action.ToString()));
        Lay("block/sdpx/holders/dm-7", "");
        LayMap();
        Lay("block/dm-7/size", "51200");
        Assert.Equal(DataSize.FromMiB(25), (await Layers.InspectAsync(order.Layer, Token))!.Layer.Size);
        var grow = (await Layers.PlanAsync(order, Token)).Steps[^1];
        Assert.Equal("multipathd resize map vmstore", grow.Action.ToString());
        Assert.StartsWith("it has 25 MiB, and /dev/sdpx has 50 MiB", await grow.After.VerifyAsync(Token), StringComparison.Ordinal);

        WatchingRunner runner = new()
        {
            Before = command =>
            {
                Lay("block/dm-7/size", "102400");
                return new(command, 0, "ok\n", "");
            },
        };
        FibreChannelLayers layers = new(runner, new() { Sys = _sys }, Path.Combine(_sys, "leases"));
        Assert.Equal(DataSize.FromMiB(50), (await layers.ExecuteAsync(order, cancellationToken: Token))!.Layer.Size);
        Assert.Equal("1", await File.ReadAllTextAsync(Path.Combine(_sys, "class/scsi_device/3:0:2:5/device/rescan"), Token));
    }

    /// <summary>Makes a path appear once its host is told to look; one write is several changes of the file.</summary>
    private FileSystemWatcher Answer(int host, string name, string wwid = "naa.6001405aaaa")
    {
        FileSystemWatcher watcher = new(Path.Combine(_sys, $"class/scsi_host/host{host}"), "scan");
        var answered = 0;
        watcher.Changed += (_, _) =>
        {
            if (Interlocked.Exchange(ref answered, 1) == 0)
            {
                LayPath(host, name, wwid);
            }
        };
        watcher.EnableRaisingEvents = true;
        return watcher;
    }

    private void LayPorts()
    {
        foreach (var host in (int[])[3, 4])
        {
            Lay($"class/fc_remote_ports/rport-{host}:0-1/port_name", Target);
            Lay($"class/fc_remote_ports/rport-{host}:0-1/scsi_target_id", "2");
            Lay($"class/scsi_host/host{host}/scan", "");
        }
    }

    private void LayMap(string uuid = "mpath-36001405aaaa")
    {
        Lay("block/dm-7/dm/uuid", uuid);
        Lay("block/dm-7/dm/name", "vmstore");
    }

    private void LayPath(int host, string name, string wwid = "naa.6001405aaaa")
    {
        Lay($"block/{name}/size", "102400");
        Lay($"class/scsi_device/{host}:0:2:5/device/wwid", wwid);
        Lay($"class/scsi_device/{host}:0:2:5/device/state", "running");
        Directory.CreateDirectory(Path.Combine(_sys, $"class/scsi_device/{host}:0:2:5/device/block/{name}"));
    }

    private void Lay(string file, string text)
    {
        var path = Path.Combine(_sys, file);
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        File.WriteAllText(path, text);
    }

    private static StorageOrder Order(StorageVerb verb) => new() { Verb = verb, Layer = new() { Id = 1, Pm = PmId.New(), Category = StorageCategory.FibreChannel, Target = Target, Lun = 5 } };
}

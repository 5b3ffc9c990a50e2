namespace Pengx.Storage.Tests;

public sealed class LvmLayersTests : IAsyncLifetime
{
    private LvmTestHost? _host;
    private LvmLayers? _layers;

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    private LvmTestHost Host => _host!;

    private LvmLayers Layers => _layers!;

    public async ValueTask InitializeAsync()
    {
        _host = await LvmTestHost.CreateAsync(128, devices: 3, withGroup: false);
        _layers = new(Host.Runner, Host.Options);
    }

    public async ValueTask DisposeAsync()
    {
        if (_host is not null)
        {
            await _host.DisposeAsync();
        }
    }

    [Fact]
    public async Task A_plan_tells_the_exact_commands_and_changes_nothing()
    {
        var (device, identity) = (Host.Devices[0], new DeviceGuard().Inspect(Host.Devices[0]).Identity);
        var plan = await Layers.PlanAsync(Pv(StorageVerb.Create, device), Token);

        Assert.Equal(
            $"""
            Create a physical volume on {device} ({identity}, 128 MiB)
            1. Make a physical volume of {device} (destructive)
               before: {device} is still {identity} with 128 MiB
               before: nothing on this host uses {device}
               before: {device} is blank
               run:    lvm pvcreate --driverloaded n --yes {device}
               after:  LVM reports a physical volume on {device}
               undo:   lvm pvremove --driverloaded n --yes {device}
            """,
            plan.ToString());
        Assert.Null(await Layers.InspectAsync(Pv(StorageVerb.Create, device).Layer, Token));
    }

    [Fact]
    public async Task From_devices_to_a_mounted_volume_and_back()
    {
        List<string> uuids = [];
        foreach (var device in Host.Devices.Take(2))
        {
            var made = (await Layers.ExecuteAsync(Pv(StorageVerb.Create, device), cancellationToken: Token))!;
            Assert.Equal((device, true, DataSize.FromMiB(128)), (made.Name, made.Attached, made.Layer.Size));
            Assert.Empty((await Layers.PlanAsync(Pv(StorageVerb.Create, device), Token)).Steps);
            uuids.Add(made.Layer.Uuid!);
        }

        var group = (await Layers.ExecuteAsync(Vg(StorageVerb.Create, uuids), cancellationToken: Token))!;
        Assert.Equal((Host.Group, 0, true), (group.Name, group.Layer.LogicalVolumeCount, group.Attached));
        Assert.Equal(uuids.Order(), group.Layer.PhysicalVolumeIds.Order());
        Assert.Empty((await Layers.PlanAsync(Vg(StorageVerb.Create, uuids), Token)).Steps);

        var directory = Directory.CreateTempSubdirectory("pengx-mount-").FullName;
        try
        {
            var order = Lv(StorageVerb.Create, group.Layer.Uuid!, 32) with { FileSystem = "ext4" };
            order = order with { Layer = order.Layer with { MountPoint = directory } };
            var plan = await Layers.PlanAsync(order, Token);
            var volume = (await Layers.ExecuteAsync(order, plan, Token))!;
            Assert.Equal(($"{Host.Group}/data", true, DataSize.FromMiB(32)), (volume.Name, volume.Attached, volume.Layer.Size));
            await File.WriteAllTextAsync(Path.Combine(directory, "file"), "content", Token);
            Assert.Empty((await Layers.PlanAsync(order, Token)).Steps);

            // In use: nothing is removed beneath it.
            await Assert.ThrowsAsync<InUseException>(() => Layers.PlanAsync(Vg(StorageVerb.Delete, []), Token));
            await using (File.OpenRead(Path.Combine(directory, "file")))
            {
                var busy = await Assert.ThrowsAsync<StoragePlanFailedException>(() => Layers.ExecuteAsync(order with { Verb = StorageVerb.Detach }, cancellationToken: Token));
                Assert.Contains("busy", busy.Message, StringComparison.Ordinal);
            }

            var detached = (await Layers.ExecuteAsync(order with { Verb = StorageVerb.Detach }, cancellationToken: Token))!;
            Assert.False(detached.Attached);
            Assert.Empty(Directory.GetFileSystemEntries(directory));
            await Layers.ExecuteAsync(order with { Verb = StorageVerb.Attach }, cancellationToken: Token);
            Assert.Equal("content", await File.ReadAllTextAsync(Path.Combine(directory, "file"), Token));

            Assert.Null(await Layers.ExecuteAsync(order with { Verb = StorageVerb.Delete }, cancellationToken: Token));
            Assert.Empty((await Layers.PlanAsync(order with { Verb = StorageVerb.Delete }, Token)).Steps);
            Assert.Empty(Directory.GetFileSystemEntries(directory));
        }
        finally
        {
            await new ProcessRunner().RunAsync(new() { FileName = "umount", Arguments = ["--quiet", directory] }, Token);
            Directory.Delete(directory);
        }

        await Assert.ThrowsAsync<InUseException>(() => Layers.PlanAsync(Pv(StorageVerb.Delete, Host.Devices[0]), Token));
        Assert.Null(await Layers.ExecuteAsync(Vg(StorageVerb.Delete, []), cancellationToken: Token));
        Assert.Null(await Layers.ExecuteAsync(Pv(StorageVerb.Delete, Host.Devices[0]), cancellationToken: Token));
        Assert.Null(await Layers.ExecuteAsync(Pv(StorageVerb.Delete, Host.Devices[0]), cancellationToken: Token));
    }

    [Fact]
    public async Task A_device_that_holds_something_needs_it_to_be_named()
    {
        await LoopDevice.RunAsync("mkfs.ext4", "-q", Host.Devices[0]);
        var refused = await Assert.ThrowsAsync<StorageException>(() => Layers.ExecuteAsync(Pv(StorageVerb.Create, Host.Devices[0]), cancellationToken: Token));
        var signature = refused.Message.Split('\'')[1];
        Assert.StartsWith("ext4 ", signature, StringComparison.Ordinal);

        var consented = Pv(StorageVerb.Create, Host.Devices[0]) with { Consent = new(signature) };
        Assert.Equal(2, (await Layers.PlanAsync(consented, Token)).Steps.Count);
        Assert.NotNull(await Layers.ExecuteAsync(consented, cancellationToken: Token));
    }

    [Fact]
    public async Task A_physical_volume_is_nothing_to_format()
    {
        var made = (await Layers.ExecuteAsync(Pv(StorageVerb.Create, Host.Devices[0]), cancellationToken: Token))!;
        var probe = await new FormatGuard(Host.Runner).ProbeAsync(new DeviceGuard().Inspect(Host.Devices[0]), Token);
        Assert.Equal((DeviceContent.Known, $"LVM2_member {made.Layer.Uuid}"), (probe.Content, probe.Text));
    }

    [Fact]
    public async Task What_came_onto_the_device_after_the_plan_was_shown_is_not_overwritten()
    {
        var order = Pv(StorageVerb.Create, Host.Devices[0]);
        var plan = await Layers.PlanAsync(order, Token);
        await LoopDevice.RunAsync("mkfs.ext4", "-q", Host.Devices[0]);

        // The plan itself, carried out late.
        var failure = await Assert.ThrowsAsync<StoragePlanFailedException>(() => new StoragePlanExecutor(Host.Runner).ExecuteAsync(plan, Token));
        Assert.Contains("ext4", failure.Message, StringComparison.Ordinal);
        Assert.Contains("ext4", (await LoopDevice.RunAsync("wipefs", "--json", "--no-act", Host.Devices[0])).Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_plan_that_would_be_another_now_is_not_carried_out()
    {
        await MakeGroupAsync(2);
        var order = Vg(StorageVerb.Resize, [Host.Devices[0]]);
        var shown = await Layers.PlanAsync(order, Token);
        Assert.Single(shown.Steps);
        await Host.LvmAsync("pvcreate", "--yes", Host.Devices[2]);
        await Host.LvmAsync("vgextend", Host.Group, Host.Devices[2]);

        var failure = await Assert.ThrowsAsync<ConcurrencyException>(() => Layers.ExecuteAsync(order, shown, Token));
        Assert.Contains(Host.Devices[2], failure.Message, StringComparison.Ordinal);
        Assert.Equal(3, (await Host.ReportAsync())!.PhysicalVolumes.Count);
    }

    [Fact]
    public async Task A_volume_group_takes_devices_in_and_lets_unused_ones_go()
    {
        await MakeGroupAsync(1);
        await Layers.ExecuteAsync(Pv(StorageVerb.Create, Host.Devices[1]), cancellationToken: Token);
        var grown = (await Layers.ExecuteAsync(Vg(StorageVerb.Resize, Host.Devices.Take(2)), cancellationToken: Token))!;
        Assert.Equal(2, grown.Layer.PhysicalVolumeIds.Count);

        await Host.LvmAsync("lvcreate", "--yes", "-an", "-Zn", "-Wn", "-n", "x", "-L", "8m", Host.Group, Host.Devices[1]);
        Assert.Contains(Host.Devices[1], (await Assert.ThrowsAsync<InUseException>(() => Layers.PlanAsync(Vg(StorageVerb.Resize, [Host.Devices[0]]), Token))).Message, StringComparison.Ordinal);
        await Host.LvmAsync("lvremove", "--force", $"{Host.Group}/x");
        Assert.Single((await Layers.ExecuteAsync(Vg(StorageVerb.Resize, [Host.Devices[0]]), cancellationToken: Token))!.Layer.PhysicalVolumeIds);
    }

    [Fact]
    public async Task A_physical_volume_takes_over_the_size_of_its_device()
    {
        await MakeGroupAsync(1);
        Assert.Empty((await Layers.PlanAsync(Pv(StorageVerb.Resize, Host.Devices[0]), Token)).Steps);
        await using (var stream = File.OpenWrite(LoopDevice.BackingOf(Host.Devices[0])!))
        {
            stream.SetLength(192L << 20);
        }

        await LoopDevice.RunAsync("losetup", "--set-capacity", Host.Devices[0]);
        var grown = (await Layers.ExecuteAsync(Pv(StorageVerb.Resize, Host.Devices[0]), cancellationToken: Token))!;
        Assert.InRange(grown.Layer.Size.MiB, 185, 192);
    }

    [Fact]
    public async Task A_logical_volume_grows_and_its_new_part_is_zero()
    {
        await MakeGroupAsync(1);
        await Layers.ExecuteAsync(Lv(StorageVerb.Create, Host.Group, 16), cancellationToken: Token);
        var grown = (await Layers.ExecuteAsync(Lv(StorageVerb.Resize, Host.Group, 30), cancellationToken: Token))!;

        Assert.Equal((DataSize.FromMiB(32), true), (grown.Layer.Size, grown.Attached));
        Assert.False(await new VolumeWipe(Host.Runner, Host.Options).FindDataAsync($"/dev/{Host.Group}/data", 0, 32L << 20, Token));
        Assert.Empty((await Layers.PlanAsync(Lv(StorageVerb.Resize, Host.Group, 32), Token)).Steps);
        Assert.Contains("smaller", (await Assert.ThrowsAsync<InvalidFieldException>(() => Layers.PlanAsync(Lv(StorageVerb.Resize, Host.Group, 16), Token))).Message, StringComparison.Ordinal);
        await Layers.ExecuteAsync(Lv(StorageVerb.Delete, Host.Group, 0), cancellationToken: Token);
    }

    [Fact]
    public async Task A_growing_that_was_interrupted_is_finished_by_ordering_it_again()
    {
        await MakeGroupAsync(1);
        await Layers.ExecuteAsync(Lv(StorageVerb.Create, Host.Group, 8), cancellationToken: Token);
        await Layers.ExecuteAsync(Lv(StorageVerb.Detach, Host.Group, 0), cancellationToken: Token);

        // As a crash right after the extending leaves it, with old data in the new part.
        await Host.LvmAsync("lvchange", "--addtag", $"pengx.grow.{8 << 20}", $"{Host.Group}/data");
        await Host.LvmAsync("lvextend", "--alloc", "contiguous", "-L", "16m", $"{Host.Group}/data");
        var group = (await Host.ReportAsync())!;
        var path = await new LvmHost(Host.Runner, Host.Options).Activation.ActivateAsync(group, group.Find("data")!, Token);
        await using (var stream = new FileStream(path, FileMode.Open, FileAccess.Write, FileShare.ReadWrite))
        {
            stream.Position = 8 << 20;
            await stream.WriteAsync(Enumerable.Repeat((byte)7, 8 << 20).ToArray(), Token);
            stream.Flush(flushToDisk: true);
        }

        await Layers.ExecuteAsync(Lv(StorageVerb.Resize, Host.Group, 16), cancellationToken: Token);
        Assert.False(await new VolumeWipe(Host.Runner, Host.Options).FindDataAsync(path, 0, 16 << 20, Token));
        Assert.Empty((await Layers.PlanAsync(Lv(StorageVerb.Resize, Host.Group, 16), Token)).Steps);
    }

    [Fact]
    public async Task The_plan_of_a_new_volume_marks_it_until_it_is_whole()
    {
        await MakeGroupAsync(1);
        var order = Mounted(Lv(StorageVerb.Create, Host.Group, 32), "/nonexistent/pengx");
        var steps = (await Layers.PlanAsync(order, Token)).Steps;

        Assert.Contains("--addtag pengx --addtag pengx.grow.0 ", steps[1].Action.ToString(), StringComparison.Ordinal);
        Assert.Equal(
            [
                "Make the directory /nonexistent/pengx",
                $"Make volume {Host.Group}/data of 32 MiB",
                $"Activate {Host.Group}/data",
                $"Zero /dev/{Host.Group}/data from byte 0 on, so that no old data shows",
                $"Make an ext4 file system on /dev/{Host.Group}/data",
                $"Mark {Host.Group}/data as grown",
                $"Mount /dev/{Host.Group}/data at /nonexistent/pengx",
            ],
            steps.Select(step => step.Description));
    }

    [Theory]
    [InlineData(1, false)]
    [InlineData(2, false)]
    [InlineData(3, false)]
    [InlineData(1, true)]
    [InlineData(2, true)]
    [InlineData(3, true)]
    [InlineData(4, true)]
    [InlineData(5, true)]
    public async Task A_making_that_was_interrupted_is_finished_by_ordering_it_again(int after, bool mounted)
    {
        await MakeGroupAsync(1);
        var point = Directory.CreateTempSubdirectory("pengx-mount-").FullName;
        try
        {
            var order = Lv(StorageVerb.Create, Host.Group, 16);
            order = mounted ? Mounted(order, point) : order;
            var plan = await Layers.PlanAsync(order, Token);
            await new StoragePlanExecutor(Host.Runner).ExecuteAsync(plan with { Steps = [.. plan.Steps.Take(mounted ? after + 1 : after)] }, Token);

            // Until it was zeroed, the volume shows what another has left there.
            var group = (await Host.ReportAsync())!;
            var path = await new LvmHost(Host.Runner, Host.Options).Activation.ActivateAsync(group, group.Find("data")!, Token);
            if (after < 3)
            {
                await using FileStream stream = new(path, FileMode.Open, FileAccess.Write, FileShare.ReadWrite);
                await stream.WriteAsync(Enumerable.Repeat((byte)7, 16 << 20).ToArray(), Token);
                stream.Flush(flushToDisk: true);
            }

            Assert.True((await Layers.ExecuteAsync(order, cancellationToken: Token))!.Attached);
            Assert.Equal(-1, (await File.ReadAllBytesAsync(path, Token)).AsSpan().IndexOf(Enumerable.Repeat((byte)7, 512).ToArray()));
            Assert.Equal(mounted, await new VolumeWipe(Host.Runner, Host.Options).FindDataAsync(path, 0, 16 << 20, Token));
            Assert.Equal(["pengx"], (await Host.ReportAsync())!.Find("data")!.Tags);
            Assert.Empty((await Layers.PlanAsync(order, Token)).Steps);

            // What is whole is attached by another order, and keeps what it holds.
            if (mounted)
            {
                await File.WriteAllTextAsync(Path.Combine(point, "file"), "content", Token);
                await Layers.ExecuteAsync(order with { Verb = StorageVerb.Detach }, cancellationToken: Token);
                await Layers.ExecuteAsync(order, cancellationToken: Token);
                Assert.Equal("content", await File.ReadAllTextAsync(Path.Combine(point, "file"), Token));
            }
        }
        finally
        {
            await new ProcessRunner().RunAsync(new() { FileName = "umount", Arguments = ["--quiet", point] }, Token);
            Directory.Delete(point);
        }
    }

    [Fact]
    public async Task A_shared_volume_group_is_changed_by_its_one_writer_alone()
    {
        await MakeGroupAsync(2);
        await Layers.ExecuteAsync(Lv(StorageVerb.Create, Host.Group, 8), cancellationToken: Token);
        await Host.LvmAsync("vgchange", "--addtag", "pengx.writer.host1", Host.Group);
        await using (var stream = File.OpenWrite(LoopDevice.BackingOf(Host.Devices[0])!))
        {
            stream.SetLength(192L << 20);
        }

        await LoopDevice.RunAsync("losetup", "--set-capacity", Host.Devices[0]);
        LvmLayers other = new(Host.Runner, new()
        {
            Activation = Host.Options.Activation,
            SystemDirectory = Host.Options.SystemDirectory,
            LeaseDirectory = Host.Options.LeaseDirectory,
            HostName = "host2",
        });
        async Task RefusesAsync(LvmLayers layers, StorageOrder order, string writer)
        {
            var refused = await Assert.ThrowsAsync<StorageException>(() => layers.ExecuteAsync(order, cancellationToken: Token));
            Assert.Contains($"The volume group {Host.Group} is changed by host {writer} alone", refused.Message, StringComparison.Ordinal);
        }

        foreach (var order in new[]
        {
            Lv(StorageVerb.Create, Host.Group, 8) with { Name = "more" },
            Lv(StorageVerb.Resize, Host.Group, 16),
            Lv(StorageVerb.Delete, Host.Group, 0),
            Vg(StorageVerb.Resize, [Host.Devices[0]]),
            Vg(StorageVerb.Delete, []),
            Pv(StorageVerb.Resize, Host.Devices[0]),
        })
        {
            await RefusesAsync(other, order, "host1");
        }

        // It may use what is there: that changes nothing, unless there is something to finish.
        Assert.False((await other.ExecuteAsync(Lv(StorageVerb.Detach, Host.Group, 0), cancellationToken: Token))!.Attached);
        Assert.True((await other.ExecuteAsync(Lv(StorageVerb.Create, Host.Group, 8), cancellationToken: Token))!.Attached);
        await Host.LvmAsync("lvchange", "--addtag", "pengx.grow.0", $"{Host.Group}/data");
        await RefusesAsync(other, Lv(StorageVerb.Attach, Host.Group, 0), "host1");

        // Two writers are none.
        await Host.LvmAsync("vgchange", "--addtag", "pengx.writer.host2", Host.Group);
        await RefusesAsync(Layers, Lv(StorageVerb.Delete, Host.Group, 0), "host2");
        await Host.LvmAsync("vgchange", "--deltag", "pengx.writer.host2", Host.Group);
        await Layers.ExecuteAsync(Lv(StorageVerb.Resize, Host.Group, 16), cancellationToken: Token);
        Assert.Null(await Layers.ExecuteAsync(Lv(StorageVerb.Delete, Host.Group, 0), cancellationToken: Token));
        Assert.Null(await Layers.ExecuteAsync(Vg(StorageVerb.Delete, []), cancellationToken: Token));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_failure_takes_the_volume_and_its_mount_point_back(bool wasThere)
    {
        await MakeGroupAsync(1);
        const UnixFileMode mode = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;
        var parent = Directory.CreateTempSubdirectory("pengx-mount-").FullName;
        var point = Path.Combine(parent, "data");
        try
        {
            if (wasThere)
            {
                Directory.CreateDirectory(point, mode);
            }

            WatchingRunner runner = new() { Before = command => command.FileName == "mount" ? new(command, 32, "", "mount: no such luck") : null };
            var failure = await Assert.ThrowsAsync<StoragePlanFailedException>(
                () => new LvmLayers(runner, Host.Options).ExecuteAsync(Mounted(Lv(StorageVerb.Create, Host.Group, 16), point), cancellationToken: Token));

            Assert.Contains("no such luck", failure.Message, StringComparison.Ordinal);
            Assert.Empty(failure.Outcome.NotUndone);
            Assert.Empty((await Host.ReportAsync())!.LogicalVolumes);
            Assert.Empty(Host.Loops());
            Assert.Equal(wasThere ? mode : (UnixFileMode?)null, Directory.Exists(point) ? File.GetUnixFileMode(point) : (UnixFileMode?)null);
        }
        finally
        {
            Directory.Delete(parent, recursive: true);
        }
    }

    [Fact]
    public async Task A_mount_point_that_cannot_be_used_is_told_before_anything_is_made()
    {
        await MakeGroupAsync(1);
        var point = Directory.CreateTempSubdirectory("pengx-mount-").FullName;
        try
        {
            await File.WriteAllTextAsync(Path.Combine(point, "file"), "content", Token);
            WatchingRunner runner = new();
            var failure = await Assert.ThrowsAsync<StoragePlanFailedException>(
                () => new LvmLayers(runner, Host.Options).ExecuteAsync(Mounted(Lv(StorageVerb.Create, Host.Group, 16), point), cancellationToken: Token));

            Assert.Contains("there is something in it", failure.Message, StringComparison.Ordinal);
            Assert.DoesNotContain(runner.Commands, command => command.Contains("lvcreate", StringComparison.Ordinal));
            Assert.NotEqual(UnixFileMode.None, File.GetUnixFileMode(point));
        }
        finally
        {
            Directory.Delete(point, recursive: true);
        }
    }

    /// <summary>After a reboot the volume is not active: what is written then must not go into the directory beneath.</summary>
    [Fact]
    public async Task A_mount_point_is_closed_while_its_volume_is_not_mounted()
    {
        await MakeGroupAsync(1);
        var point = Directory.CreateTempSubdirectory("pengx-mount-").FullName;
        try
        {
            var order = Mounted(Lv(StorageVerb.Create, Host.Group, 16), point);
            await Layers.ExecuteAsync(order, cancellationToken: Token);
            await IsClosedOnceDetachedAsync();

            // One of before, that was left open.
            File.SetUnixFileMode(point, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
            await Layers.ExecuteAsync(order with { Verb = StorageVerb.Attach }, cancellationToken: Token);
            await IsClosedOnceDetachedAsync();

            async Task IsClosedOnceDetachedAsync()
            {
                LocalStorage storage = new(Host.Runner);
                var link = TemporaryStorlink.For(point);
                await storage.CheckAsync(link, Token);
                await Layers.ExecuteAsync(order with { Verb = StorageVerb.Detach }, cancellationToken: Token);
                var refused = await Assert.ThrowsAsync<StorageException>(() => storage.CreateAsync(
                    link, new() { Disk = DiskId.New(), Format = DiskFormat.Raw, Size = DataSize.FromMiB(1) }, cancellationToken: Token));
                Assert.Contains($"nothing is mounted at {point}", refused.Message, StringComparison.Ordinal);
            }
        }
        finally
        {
            await new ProcessRunner().RunAsync(new() { FileName = "umount", Arguments = ["--quiet", point] }, CancellationToken.None);
            Directory.Delete(point);
        }
    }

    /// <summary>A kill between extending and growing, and a growing while it is not mounted, leave a file system smaller than its volume.</summary>
    [Fact]
    public async Task A_file_system_that_was_left_behind_grows_when_the_size_is_ordered_again()
    {
        await using var host = await LvmTestHost.CreateAsync(1024);
        LvmLayers layers = new(host.Runner, host.Options);
        var point = Directory.CreateTempSubdirectory("pengx-mount-").FullName;
        try
        {
            var order = Mounted(Lv(StorageVerb.Create, host.Group, 320), point) with { FileSystem = "xfs" };
            StorageOrder To(StorageVerb verb, long megabytes) => order with { Verb = verb, Layer = order.Layer with { Size = DataSize.FromMiB(megabytes) } };
            await layers.ExecuteAsync(order, cancellationToken: Token);
            Assert.Empty((await layers.PlanAsync(To(StorageVerb.Resize, 320), Token)).Steps);
            var first = new DriveInfo(point).TotalSize;

            // Killed right after the extending.
            await layers.ExecuteAsync(To(StorageVerb.Detach, 320), cancellationToken: Token);
            await host.LvmAsync("lvextend", "--alloc", "contiguous", "-L", "352m", $"{host.Group}/data");
            await layers.ExecuteAsync(To(StorageVerb.Attach, 352), cancellationToken: Token);
            Assert.Equal(first, new DriveInfo(point).TotalSize);
            await GrowsAsync(352);

            // Grown while it was not mounted.
            await layers.ExecuteAsync(To(StorageVerb.Detach, 352), cancellationToken: Token);
            Assert.Contains("grows only while it is mounted", Assert.Single((await layers.PlanAsync(To(StorageVerb.Resize, 384), Token)).Warnings), StringComparison.Ordinal);
            Assert.False((await layers.ExecuteAsync(To(StorageVerb.Resize, 384), cancellationToken: Token))!.Attached);
            await layers.ExecuteAsync(To(StorageVerb.Attach, 384), cancellationToken: Token);
            await GrowsAsync(384);

            async Task GrowsAsync(long megabytes)
            {
                var step = Assert.Single((await layers.PlanAsync(To(StorageVerb.Resize, megabytes), Token)).Steps);
                Assert.Equal($"xfs_growfs {point}", step.Action.ToString());
                Assert.True(((ToolAction)step.Action).Command.Timeout > TimeSpan.FromMinutes(10));
                await layers.ExecuteAsync(To(StorageVerb.Resize, megabytes), cancellationToken: Token);
                Assert.Equal(DataSize.FromMiB(megabytes - 320).Bytes, new DriveInfo(point).TotalSize - first);
                Assert.Empty((await layers.PlanAsync(To(StorageVerb.Resize, megabytes), Token)).Steps);
            }
        }
        finally
        {
            await new ProcessRunner().RunAsync(new() { FileName = "umount", Arguments = ["--quiet", point] }, CancellationToken.None);
            Directory.Delete(point);
        }
    }

    [Fact]
    public async Task A_file_system_that_did_not_grow_by_a_sixth_is_noticed()
    {
        await MakeGroupAsync(1);
        var point = Directory.CreateTempSubdirectory("pengx-mount-").FullName;
        try
        {
            var order = Mounted(Lv(StorageVerb.Create, Host.Group, 40), point);
            await Layers.ExecuteAsync(order, cancellationToken: Token);
            await Layers.ExecuteAsync(order with { Verb = StorageVerb.Detach }, cancellationToken: Token);
            await Host.LvmAsync("lvextend", "--alloc", "contiguous", "-L", "48m", $"{Host.Group}/data");
            await Layers.ExecuteAsync(order with { Verb = StorageVerb.Attach }, cancellationToken: Token);

            // A tool that says it did.
            WatchingRunner runner = new() { Before = command => command.FileName == "resize2fs" ? new(command, 0, "", "") : null };
            order = order with { Verb = StorageVerb.Resize, Layer = order.Layer with { Size = DataSize.FromMiB(48) } };
            var failure = await Assert.ThrowsAsync<StoragePlanFailedException>(() => new LvmLayers(runner, Host.Options).ExecuteAsync(order, cancellationToken: Token));
            Assert.Contains($"the file system at {point} fills /dev/{Host.Group}/data, but it has 40 MiB of 48 MiB", failure.Message, StringComparison.Ordinal);
        }
        finally
        {
            await new ProcessRunner().RunAsync(new() { FileName = "umount", Arguments = ["--quiet", point] }, CancellationToken.None);
            Directory.Delete(point);
        }
    }

    [Fact]
    public async Task The_volumes_of_disks_are_left_alone()
    {
        await MakeGroupAsync(1);
        var disk = DiskId.New();
        await new LvmStorage(Host.Runner, Host.Options).CreateAsync(Host.Storlink, new() { Disk = disk, Format = DiskFormat.Raw, Size = DataSize.FromMiB(8) }, cancellationToken: Token);
        var order = Lv(StorageVerb.Delete, Host.Group, 0) with { Name = disk.ToString() };

        Assert.Contains(disk.ToString(), (await Assert.ThrowsAsync<InUseException>(() => Layers.PlanAsync(order, Token))).Message, StringComparison.Ordinal);
        await Assert.ThrowsAsync<InUseException>(() => Layers.PlanAsync(Vg(StorageVerb.Delete, []), Token));
        await Assert.ThrowsAsync<InvalidFieldException>(() => Layers.PlanAsync(order with { Verb = StorageVerb.Create, Name = DiskId.New().ToString() }, Token));
    }

    [Fact]
    public async Task What_cannot_be_is_refused_with_the_field()
    {
        await MakeGroupAsync(1);
        async Task RefusesAsync(string field, StorageOrder order) =>
            Assert.Equal(field, (await Assert.ThrowsAsync<InvalidFieldException>(() => Layers.PlanAsync(order, Token))).Field);

        await RefusesAsync("name", Lv(StorageVerb.Create, Host.Group, 8) with { Name = "-x" });
        await RefusesAsync("name", Vg(StorageVerb.Create, [Host.Devices[0]]) with { Name = null });
        await RefusesAsync("size", Lv(StorageVerb.Create, Host.Group, 0));
        await RefusesAsync("vg_id", Lv(StorageVerb.Create, "nosuch", 8));
        await RefusesAsync("pv_ids", Vg(StorageVerb.Create, ["/dev/nosuch"]) with { Name = "other" });
        await RefusesAsync("pv_ids", Vg(StorageVerb.Create, []) with { Name = "other" });
        await RefusesAsync("device_id", Pv(StorageVerb.Create, null));
        await RefusesAsync("category", new() { Verb = StorageVerb.Create, Layer = new() { Id = 1, Pm = PmId.New(), Category = StorageCategory.Nfs } });
        await Assert.ThrowsAsync<InUseException>(() => Layers.PlanAsync(Vg(StorageVerb.Create, [Host.Devices[0]]) with { Name = "other" }, Token));
        await Assert.ThrowsAsync<InsufficientResourceException>(() => Layers.PlanAsync(Lv(StorageVerb.Create, Host.Group, 4096), Token));
        await Assert.ThrowsAsync<StorageException>(() => Layers.PlanAsync(Pv(StorageVerb.Create, "/dev/null"), Token));
    }

    [Fact]
    public async Task A_missing_device_is_told_and_stops_changes()
    {
        await MakeGroupAsync(2);
        await LoopDevice.RunAsync("losetup", "--detach", Host.Devices[1]);
        var state = (await Layers.InspectAsync(Vg(StorageVerb.Attach, []).Layer with { Uuid = (await Host.ReportAsync())!.Uuid }, Token))!;

        Assert.False(state.Attached);
        Assert.Contains(state.Warnings, warning => warning.Contains("missing", StringComparison.Ordinal));
        await Assert.ThrowsAsync<UnavailableException>(() => Layers.PlanAsync(Lv(StorageVerb.Create, Host.Group, 8), Token));
        await Assert.ThrowsAsync<UnavailableException>(() => new LvmStorage(Host.Runner, Host.Options).CheckAsync(Host.Storlink, Token));
    }

    private static StorageOrder Pv(StorageVerb verb, string? device) =>
        new() { Verb = verb, Layer = new() { Id = 1, Pm = PmId.New(), Category = StorageCategory.PhysicalVolume, DeviceId = device } };

    private static StorageOrder Lv(StorageVerb verb, string group, long megabytes) => new()
    {
        Verb = verb,
        Name = "data",
        Layer = new() { Id = 3, Pm = PmId.New(), Category = StorageCategory.LogicalVolume, VolumeGroupId = group, Size = DataSize.FromMiB(megabytes) },
    };

    private static StorageOrder Mounted(StorageOrder order, string point) => order with { FileSystem = "ext4", Layer = order.Layer with { MountPoint = point } };

    private StorageOrder Vg(StorageVerb verb, IEnumerable<string> members) => new()
    {
        Verb = verb,
        Name = Host.Group,
        Layer = new() { Id = 2, Pm = PmId.New(), Category = StorageCategory.VolumeGroup, PhysicalVolumeIds = [.. members] },
    };

    private async Task MakeGroupAsync(int devices)
    {
        await Host.LvmAsync("pvcreate", ["--yes", .. Host.Devices.Take(devices)]);
        await Host.LvmAsync("vgcreate", [Host.Group, .. Host.Devices.Take(devices)]);
    }
}

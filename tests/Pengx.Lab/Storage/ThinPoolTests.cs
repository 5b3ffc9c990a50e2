using Pengx.Storage;
using Pengx.Storage.Tests;

namespace Pengx.Lab;

/// <summary>LVM's layers and a thin pool that runs full, on the kernel's device-mapper.</summary>
public sealed class ThinPoolTests : IAsyncLifetime
{
    private LvmTestHost? _host;

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    private LvmTestHost Host => _host!;

    /// <inheritdoc/>
    public async ValueTask InitializeAsync()
    {
        await LabKernel.LoadAsync("loop", "dm-mod", "dm-thin-pool");
        _host = await LvmTestHost.CreateAsync(768, devices: 2, withGroup: false);
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        if (_host is not null)
        {
            await _host.DisposeAsync();
        }
    }

    /// <summary>From devices to a mounted volume that grows while it is used, and back to nothing.</summary>
    [Fact]
    public async Task Layers_are_built_grown_while_mounted_and_taken_down()
    {
        LvmLayers layers = new(Host.Runner, Host.Options);
        List<string> uuids = [];
        foreach (var device in Host.Devices)
        {
            uuids.Add((await layers.ExecuteAsync(Order(StorageVerb.Create, StorageCategory.PhysicalVolume) with { Layer = Layer(StorageCategory.PhysicalVolume) with { DeviceId = device } }, cancellationToken: Token))!.Layer.Uuid!);
        }

        var groups = Order(StorageVerb.Create, StorageCategory.VolumeGroup) with { Name = Host.Group, Layer = Layer(StorageCategory.VolumeGroup) with { PhysicalVolumeIds = uuids } };
        Assert.True((await layers.ExecuteAsync(groups, cancellationToken: Token))!.Attached);
        var point = Directory.CreateTempSubdirectory("pengx-mount-").FullName;
        try
        {
            foreach (var type in new[] { "ext4", "xfs" })
            {
                // XFS wants 300 MiB at least.
                var volume = Volume(StorageVerb.Create, "data", 320) with { FileSystem = type };
                volume = volume with { Layer = volume.Layer with { MountPoint = point } };
                var made = (await layers.ExecuteAsync(volume, await layers.PlanAsync(volume, Token), Token))!;
                Assert.Equal((true, DataSize.FromMiB(320)), (made.Attached, made.Layer.Size));
                Assert.StartsWith("dm:LVM-", new DeviceGuard().Inspect($"/dev/{Host.Group}/data").Identity.ToString(), StringComparison.Ordinal);
                var file = Path.Combine(point, "file");
                await File.WriteAllTextAsync(file, "content", Token);
                Assert.Empty((await layers.PlanAsync(volume, Token)).Steps);

                // Grown under a file that is open, and never taken from under it.
                await using (File.OpenRead(file))
                {
                    var grown = volume with { Verb = StorageVerb.Resize, Layer = volume.Layer with { Size = DataSize.FromMiB(640) } };
                    Assert.Equal(DataSize.FromMiB(640), (await layers.ExecuteAsync(grown, cancellationToken: Token))!.Layer.Size);
                    Assert.InRange(new DriveInfo(point).TotalSize, 480L << 20, 640L << 20);
                    var busy = await Assert.ThrowsAsync<StoragePlanFailedException>(() => layers.ExecuteAsync(volume with { Verb = StorageVerb.Detach }, cancellationToken: Token));
                    Assert.Contains("busy", busy.Message, StringComparison.Ordinal);
                }

                Assert.False((await layers.ExecuteAsync(volume with { Verb = StorageVerb.Detach }, cancellationToken: Token))!.Attached);
                Assert.False(File.Exists($"/dev/{Host.Group}/data"));
                await layers.ExecuteAsync(volume with { Verb = StorageVerb.Attach }, cancellationToken: Token);
                Assert.Equal("content", await File.ReadAllTextAsync(file, Token));
                Assert.Null(await layers.ExecuteAsync(volume with { Verb = StorageVerb.Delete }, cancellationToken: Token));
                Assert.Empty(Directory.GetFileSystemEntries(point));
            }
        }
        finally
        {
            await LabHost.RunAsync("umount", "--quiet", point);
            Directory.Delete(point);
        }

        Assert.Null(await layers.ExecuteAsync(groups with { Verb = StorageVerb.Delete }, cancellationToken: Token));
        foreach (var uuid in uuids)
        {
            Assert.Null(await layers.ExecuteAsync(Order(StorageVerb.Delete, StorageCategory.PhysicalVolume) with { Layer = Layer(StorageCategory.PhysicalVolume) with { Uuid = uuid } }, cancellationToken: Token));
        }

        foreach (var device in Host.Devices)
        {
            Assert.Null(await new FormatGuard(Host.Runner).HoldsNothing(new DeviceGuard().Inspect(device)).VerifyAsync(Token));
        }
    }

    /// <summary>A full pool fails writes at once, takes no new disks, says so, and works again when it was extended.</summary>
    [Fact]
    public async Task A_full_pool_fails_writes_and_says_so()
    {
        await Host.LvmAsync("pvcreate", "--yes", Host.Devices[0]);
        await Host.LvmAsync("vgcreate", Host.Group, Host.Devices[0]);
        LvmLayers layers = new(Host.Runner, Host.Options);
        LvmStorage storage = new(Host.Runner, Host.Options);
        var pool = Volume(StorageVerb.Create, "pool", 64) with { Kind = LogicalVolumeKind.ThinPool };
        Assert.Empty((await layers.ExecuteAsync(pool, cancellationToken: Token))!.Warnings);

        // More was promised than there is.
        var spec = new VolumeSpec { Disk = DiskId.New(), Format = DiskFormat.Raw, Size = DataSize.FromMiB(48) };
        var second = spec with { Disk = DiskId.New() };
        await storage.CreateAsync(Host.Storlink, spec, cancellationToken: Token);
        await storage.CreateAsync(Host.Storlink, second, cancellationToken: Token);
        var path = (await storage.AttachAsync(Host.Storlink, spec.Disk, spec.Format, Token)).ToString()!;
        var other = (await storage.AttachAsync(Host.Storlink, second.Disk, second.Format, Token)).ToString()!;
        await LabKernel.FillAsync(path, 0, 48 << 20, 0x5a);
        var started = TimeProvider.System.GetTimestamp();
        var full = await LabHost.RunAsync("dd", "if=/dev/zero", $"of={other}", "bs=1M", "count=48", "oflag=direct");
        Assert.NotEqual(0, full.ExitCode);
        Assert.InRange(TimeProvider.System.GetElapsedTime(started), TimeSpan.Zero, TimeSpan.FromMinutes(1));

        // What was there before is whole.
        Assert.True(await LabKernel.IsFilledAsync(path, 0, 48 << 20, 0x5a));
        var warnings = (await layers.InspectAsync(pool.Layer with { Uuid = null }, Token))?.Warnings ?? (await layers.ExecuteAsync(pool, cancellationToken: Token))!.Warnings;
        Assert.Contains(warnings, warning => warning.Contains("watermark", StringComparison.Ordinal));
        var third = spec with { Disk = DiskId.New() };
        var refused = await Assert.ThrowsAnyAsync<PengxException>(() => storage.CreateAsync(Host.Storlink, third, cancellationToken: Token));
        Assert.Contains("pool", refused.Message, StringComparison.Ordinal);
        Assert.Null(await storage.FindAsync(Host.Storlink, third.Disk, third.Format, Token));

        // Extended, all of it works again.
        var grown = pool with { Verb = StorageVerb.Resize, Layer = pool.Layer with { Size = DataSize.FromMiB(256) } };
        Assert.Empty((await layers.ExecuteAsync(grown, cancellationToken: Token))!.Warnings);
        await LabKernel.FillAsync(other, 0, 48 << 20, 0x22);
        Assert.True(await LabKernel.IsFilledAsync(other, 0, 48 << 20, 0x22));
        Assert.True(await LabKernel.IsFilledAsync(path, 0, 48 << 20, 0x5a));
        await storage.CreateAsync(Host.Storlink, third, cancellationToken: Token);
        foreach (var disk in new[] { spec, second, third })
        {
            await storage.DeleteAsync(Host.Storlink, disk.Disk, Token);
        }

        await layers.ExecuteAsync(grown with { Verb = StorageVerb.Delete }, cancellationToken: Token);
        Assert.Empty((await Host.LvmAsync("lvs", "--noheadings", "-o", "lv_name", Host.Group)).Output.Trim());
    }

    /// <summary>What a source does not hold takes nothing of the pool, whether it is a hole there or stored zeros.</summary>
    [Fact]
    public async Task A_copy_takes_of_a_pool_what_its_source_holds()
    {
        await Host.LvmAsync("pvcreate", "--yes", Host.Devices[0]);
        await Host.LvmAsync("vgcreate", Host.Group, Host.Devices[0]);
        await new LvmLayers(Host.Runner, Host.Options).ExecuteAsync(Volume(StorageVerb.Create, "pool", 320) with { Kind = LogicalVolumeKind.ThinPool }, cancellationToken: Token);
        LvmStorage storage = new(Host.Runner, Host.Options);
        var folder = LabKernel.Folder();
        try
        {
            var raw = Path.Combine(folder, "source.raw");
            await LabHost.OutputAsync("truncate", "--size", "256M", raw);
            await LabKernel.FillAsync(raw, 100 << 20, 4 << 20, 0x5a);
            await LabKernel.FillAsync(raw, 200 << 20, 8 << 20, 0);
            foreach (var format in new[] { DiskFormat.Raw, DiskFormat.Qcow2 })
            {
                var source = new DiskLayer(new FileLocation(raw), DiskFormat.Raw);
                if (format == DiskFormat.Qcow2)
                {
                    source = new(new FileLocation(Path.Combine(folder, "source.qcow2")), format);
                    await LabHost.OutputAsync("qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, source.Location.ToString()!);
                }

                var spec = new VolumeSpec { Disk = DiskId.New(), Format = DiskFormat.Raw, Size = DataSize.FromMiB(256), Source = source };
                await storage.CreateAsync(Host.Storlink, spec, cancellationToken: Token);
                var path = (await storage.AttachAsync(Host.Storlink, spec.Disk, spec.Format, Token)).ToString()!;

                // The kernel tells it of active volumes only, in hundredths of a percent.
                Assert.InRange((await storage.FindAsync(Host.Storlink, spec.Disk, spec.Format, Token))!.Allocated.Bytes, 3L << 20, 6L << 20);
                await LabHost.OutputAsync("qemu-img", "compare", "-f", "raw", "-F", "raw", raw, path);
                await storage.DetachAsync(Host.Storlink, spec.Disk, Token);
                await storage.DeleteAsync(Host.Storlink, spec.Disk, Token);
            }
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private StorageOrder Volume(StorageVerb verb, string name, long megabytes) =>
        Order(verb, StorageCategory.LogicalVolume) with { Name = name, Layer = Layer(StorageCategory.LogicalVolume) with { VolumeGroupId = Host.Group, Size = DataSize.FromMiB(megabytes) } };

    private static StorageOrder Order(StorageVerb verb, StorageCategory category) => new() { Verb = verb, Layer = Layer(category) };

    private static StorageLayer Layer(StorageCategory category) => new() { Id = 1, Pm = PmId.New(), Category = category };
}

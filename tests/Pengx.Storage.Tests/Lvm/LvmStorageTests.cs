using System.Globalization;
using System.Security.Cryptography;
using Pengx.Testing;

namespace Pengx.Storage.Tests;

/// <summary>What the contract does not know of: space given back, interruptions, foreign and shared volume groups.</summary>
public sealed class LvmStorageTests : IAsyncLifetime
{
    private const int MiB = 1 << 20;

    private LvmTestHost? _host;
    private LvmStorage? _storage;

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    private LvmTestHost Host => _host!;

    private LvmStorage Storage => _storage!;

    private Storlink Storlink => Host.Storlink;

    public async ValueTask InitializeAsync()
    {
        _host = await LvmTestHost.CreateAsync(256);
        _storage = new(Host.Runner, Host.Options);
    }

    public async ValueTask DisposeAsync()
    {
        if (_host is not null)
        {
            await _host.DisposeAsync();
        }
    }

    [Fact]
    public async Task A_new_raw_volume_shows_nothing_of_what_lay_in_its_space()
    {
        // All space of the group holds somebody's data, as after another's lvremove.
        await Host.LvmAsync("lvcreate", "--yes", "-an", "-Zn", "-Wn", "-n", "old", "-l", "100%FREE", Host.Group);
        await FillAsync("old");
        await Host.LvmAsync("lvremove", "--force", $"{Host.Group}/old");

        var disk = DiskId.New();
        await Storage.CreateAsync(Storlink, Spec(disk, 16), cancellationToken: Token);
        Assert.True(await IsZeroAsync(disk, 0, 16 * MiB));

        // Neither when it grows, nor behind the end of a copy.
        await Storage.DetachAsync(Storlink, disk, Token);
        await Storage.GrowAsync(Storlink, disk, DiskFormat.Raw, DataSize.FromMiB(32), Token);
        Assert.True(await IsZeroAsync(disk, 0, 32 * MiB));
        var copy = DiskId.New();
        await Storage.CreateAsync(Storlink, Spec(copy, 40) with { Source = await LayerAsync(disk) }, cancellationToken: Token);
        Assert.True(await IsZeroAsync(copy, 0, 40 * MiB));
    }

    [Fact]
    public async Task Space_that_is_given_back_holds_nothing()
    {
        var disk = DiskId.New();
        await Storage.CreateAsync(Storlink, Spec(disk, 16), cancellationToken: Token);
        var layer = await LayerAsync(disk);
        await using (var stream = new FileStream(layer.Location.ToString()!, FileMode.Open, FileAccess.Write, FileShare.ReadWrite))
        {
            await stream.WriteAsync(RandomNumberGenerator.GetBytes(16 * MiB), Token);
            stream.Flush(flushToDisk: true);
        }

        await Storage.DetachAsync(Storlink, disk, Token);
        await Storage.DeleteAsync(Storlink, disk, Token);

        // All of the group's space, which was nobody's before.
        await Host.LvmAsync("lvcreate", "--yes", "-an", "-Zn", "-Wn", "-n", "all", "-l", "100%FREE", Host.Group);
        var group = (await Host.ReportAsync())!;
        var path = await new LvmHost(Host.Runner, Host.Options).Activation.ActivateAsync(group, group.Find("all")!, Token);
        Assert.False(await new VolumeWipe(Host.Runner, Host.Options).FindDataAsync(path, 0, group.Find("all")!.Size, Token));
    }

    [Fact]
    public async Task A_half_made_or_half_removed_volume_is_listed_as_such_and_taken_up()
    {
        foreach (var prefix in new[] { "part", "del" })
        {
            var disk = DiskId.New();
            await Host.LvmAsync("lvcreate", "--yes", "-an", "-Zn", "-Wn", "-n", $"{prefix}-{disk}", "-L", "8m", Host.Group);
            var entry = Assert.Single(await ListAsync());
            Assert.Equal(new VolumeEntry(disk, $"{prefix}-{disk}", Complete: false), entry);
            Assert.Null(await Storage.FindAsync(Storlink, disk, DiskFormat.Raw, Token));

            await Storage.CreateAsync(Storlink, Spec(disk, 8), cancellationToken: Token);
            Assert.Equal(new VolumeEntry(disk, disk.ToString(), Complete: true), Assert.Single(await ListAsync()));
            await Host.LvmAsync("lvcreate", "--yes", "-an", "-Zn", "-Wn", "-n", $"{prefix}-{disk}", "-L", "8m", Host.Group);
            await Storage.DeleteAsync(Storlink, disk, Token);
            Assert.Empty(await ListAsync());
        }
    }

    [Fact]
    public async Task An_interrupted_growing_is_zeroed_before_anybody_reads_it()
    {
        var disk = DiskId.New();
        await Storage.CreateAsync(Storlink, Spec(disk, 8), cancellationToken: Token);

        // As a crash between the extending and the zeroing leaves it: old data in the new part.
        await Host.LvmAsync("lvchange", "--addtag", $"pengx.grow.{8 * MiB}", $"{Host.Group}/{disk}");
        await Host.LvmAsync("lvextend", [.. Host.HasDeviceMapper ? Array.Empty<string>() : ["--alloc", "contiguous"], "-L", "16m", $"{Host.Group}/{disk}"]);
        await FillAsync(disk.ToString(), 8 * MiB);

        Assert.True(await IsZeroAsync(disk, 0, 16 * MiB));
        Assert.DoesNotContain((await Host.ReportAsync())!.Find(disk.ToString())!.Tags, tag => tag.StartsWith("pengx.grow", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_failure_in_the_middle_leaves_nothing()
    {
        // The tool that fills the volume is missing: everything before it has happened.
        LvmStorage broken = new(Host.Runner, Host.Options, new() { QemuImg = "/usr/bin/false" });
        var disk = DiskId.New();
        DiskLayer source = new(new FileLocation(await ImageAsync()), DiskFormat.Raw);
        await Assert.ThrowsAsync<ProcessFailedException>(() => broken.CreateAsync(Storlink, Spec(disk, 8) with { Source = source }, cancellationToken: Token));

        Assert.Empty(await ListAsync());
        Assert.Empty(Host.HasDeviceMapper ? [] : Host.Loops());
        Assert.False(Directory.Exists($"/dev/{Host.Group}"));
    }

    [Fact]
    public async Task Sizes_are_rounded_up_to_extents_and_told()
    {
        var disk = DiskId.New();
        var volume = await Storage.CreateAsync(Storlink, Spec(disk, 0) with { Size = new(5 * MiB + 512) }, cancellationToken: Token);
        Assert.Equal((DataSize.FromMiB(8), DataSize.FromMiB(8)), (volume.Size, volume.Allocated));
    }

    [Fact]
    public async Task A_qcow2_volume_can_take_all_that_its_guest_writes()
    {
        var disk = DiskId.New();
        var volume = await Storage.CreateAsync(Storlink, Spec(disk, 32, DiskFormat.Qcow2), cancellationToken: Token);
        Assert.Equal(DataSize.FromMiB(32), volume.Size);
        Assert.True(volume.Allocated > volume.Size);

        var layer = await LayerAsync(disk, DiskFormat.Qcow2);
        await LoopDevice.RunAsync("qemu-io", "-f", "qcow2", "-c", "write -P 7 0 32M", layer.Location.ToString()!);
        Assert.Equal("No errors were found on the image.", (await LoopDevice.RunAsync("qemu-img", "check", "-f", "qcow2", layer.Location.ToString()!)).Output.Split('\n')[0]);
    }

    [Fact]
    public async Task Too_little_space_is_told_with_the_figures()
    {
        await Host.LvmAsync("lvcreate", "--yes", "-an", "-Zn", "-Wn", "-n", "other", "-l", "75%VG", Host.Group);
        var free = (await Storage.MeasureAsync(Storlink, Token)).Free;
        var failure = await Assert.ThrowsAsync<InsufficientResourceException>(() => Storage.CreateAsync(Storlink, Spec(DiskId.New(), 128), cancellationToken: Token));

        Assert.Contains(string.Create(CultureInfo.InvariantCulture, $"{free.MiB} MiB free"), failure.Message, StringComparison.Ordinal);
        Assert.Contains("128 MiB", failure.Message, StringComparison.Ordinal);
        Assert.Empty(await ListAsync());
    }

    [Fact]
    public async Task A_recorded_format_that_the_volume_does_not_have_is_refused()
    {
        var disk = DiskId.New();
        await Storage.CreateAsync(Storlink, Spec(disk, 8), cancellationToken: Token);
        foreach (var act in new Func<Task>[]
        {
            () => Storage.FindAsync(Storlink, disk, DiskFormat.Qcow2, Token),
            () => Storage.AttachAsync(Storlink, disk, DiskFormat.Qcow2, Token),
            () => Storage.GrowAsync(Storlink, disk, DiskFormat.Qcow2, DataSize.FromMiB(16), Token),
            () => Storage.CreateAsync(Storlink, Spec(disk, 8, DiskFormat.Qcow2), cancellationToken: Token),
        })
        {
            Assert.Contains("tagged as raw", (await Assert.ThrowsAsync<StorageException>(act)).Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Attaching_an_overlay_attaches_what_is_beneath()
    {
        var (below, above) = (DiskId.New(), DiskId.New());
        await Storage.CreateAsync(Storlink, Spec(below, 8), cancellationToken: Token);
        await Storage.CreateAsync(Storlink, Spec(above, 8, DiskFormat.Qcow2) with { Backing = await LayerAsync(below) }, cancellationToken: Token);
        await Storage.DetachAsync(Storlink, below, Token);
        Assert.False(File.Exists($"/dev/{Host.Group}/{below}"));

        var layer = await LayerAsync(above, DiskFormat.Qcow2);
        Assert.Equal($"/dev/{Host.Group}/{above}", layer.Location.ToString());
        await LoopDevice.RunAsync("qemu-io", "-f", "qcow2", "-c", "read -P 0 0 8M", layer.Location.ToString()!);
    }

    [Fact]
    public async Task Detaching_takes_the_device_away_unless_something_uses_it()
    {
        var disk = DiskId.New();
        await Storage.CreateAsync(Storlink, Spec(disk, 16), cancellationToken: Token);
        var path = (await LayerAsync(disk)).Location.ToString()!;
        await LoopDevice.RunAsync("mkfs.ext4", "-q", path);
        var directory = Directory.CreateTempSubdirectory("pengx-mount-").FullName;
        await LoopDevice.RunAsync("mount", path, directory);
        try
        {
            Assert.Contains(directory, (await Assert.ThrowsAsync<InUseException>(() => Storage.DetachAsync(Storlink, disk, Token))).Message, StringComparison.Ordinal);
            await Assert.ThrowsAsync<InUseException>(() => Storage.DeleteAsync(Storlink, disk, Token));
        }
        finally
        {
            await LoopDevice.RunAsync("umount", directory);
            Directory.Delete(directory);
        }

        await Storage.DetachAsync(Storlink, disk, Token);
        Assert.False(File.Exists(path));
        Assert.Empty(Host.HasDeviceMapper ? [] : Host.Loops());
    }

    [Fact]
    public async Task Another_hosts_volume_group_is_not_touched()
    {
        var disk = DiskId.New();
        await Storage.CreateAsync(Storlink, Spec(disk, 8), cancellationToken: Token);
        await Host.LvmAsync("vgchange", "--yes", "--systemid", "host2", Host.Group);
        foreach (var act in new Func<Task>[]
        {
            () => Storage.CheckAsync(Storlink, Token),
            () => Storage.CreateAsync(Storlink, Spec(DiskId.New(), 8), cancellationToken: Token),
            () => Storage.AttachAsync(Storlink, disk, DiskFormat.Raw, Token),
            () => Storage.DeleteAsync(Storlink, disk, Token),
        })
        {
            Assert.Contains("host2", (await Assert.ThrowsAsync<StorageException>(act)).Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task A_shared_volume_group_has_one_writer_and_many_users()
    {
        var disk = DiskId.New();
        var shared = Storlink with { Shared = true };
        var refused = await Assert.ThrowsAsync<StorageException>(() => Storage.CreateAsync(shared, Spec(disk, 8), cancellationToken: Token));
        Assert.Contains($"vgchange --addtag pengx.writer.host1 {Host.Group}", refused.Message, StringComparison.Ordinal);
        Assert.Empty(await ListAsync());

        await Host.LvmAsync("vgchange", "--addtag", "pengx.writer.host1", Host.Group);
        await Storage.CreateAsync(shared, Spec(disk, 8), cancellationToken: Token);
        LvmStorage other = new(Host.Runner, Copy(Host.Options, "host2"));
        await Assert.ThrowsAsync<StorageException>(() => other.DeleteAsync(shared, disk, Token));
        await other.CheckAsync(shared, Token);
        await other.AttachAsync(shared, disk, DiskFormat.Raw, Token);
        await other.DetachAsync(shared, disk, Token);
        await Storage.DeleteAsync(shared, disk, Token);
    }

    [Fact]
    public async Task A_disk_that_another_process_works_on_is_left_alone()
    {
        var disk = DiskId.New();
        LvmOptions impatient = Copy(Host.Options, "host1");
        impatient.LockTimeout = TimeSpan.FromMilliseconds(100);
        LvmStorage storage = new(Host.Runner, impatient);
        using (await new DiskLeases(Host.Options.LeaseDirectory).AcquireAsync(disk.ToString(), TimeSpan.FromSeconds(1), Token))
        {
            var failure = await Assert.ThrowsAsync<InUseException>(() => storage.CreateAsync(Storlink, Spec(disk, 8), cancellationToken: Token));
            Assert.Contains(Environment.ProcessId.ToString(CultureInfo.InvariantCulture), failure.Message, StringComparison.Ordinal);
        }

        await storage.CreateAsync(Storlink, Spec(disk, 8), cancellationToken: Token);
    }

    [Fact]
    public async Task An_image_that_was_laid_there_by_hand_is_judged()
    {
        var (raw, overlay) = (DiskId.New(), DiskId.New());
        await Host.LvmAsync("lvcreate", "--yes", "-an", "-Zn", "-Wn", "-n", raw.ToString(), "-L", "8m", Host.Group);
        Assert.Equal(DataSize.FromMiB(8), (await Storage.InspectImportAsync(Storlink, raw, DiskFormat.Raw, Token)).Size);
        await Assert.ThrowsAsync<StorageException>(() => Storage.InspectImportAsync(Storlink, raw, DiskFormat.Qcow2, Token));

        await Storage.CreateAsync(Storlink, Spec(overlay, 8, DiskFormat.Qcow2) with { Backing = await LayerAsync(raw) }, cancellationToken: Token);
        Assert.Contains("overlay", (await Assert.ThrowsAsync<StorageException>(() => Storage.InspectImportAsync(Storlink, overlay, DiskFormat.Qcow2, Token))).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("/srv/images")]
    [InlineData("/dev")]
    [InlineData("/dev/a/b")]
    [InlineData("/dev/..")]
    [InlineData("vg")]
    [InlineData("/dev/-a")]
    public async Task A_link_that_is_no_volume_group_is_refused(string link)
    {
        var failure = await Assert.ThrowsAsync<StorageException>(() => Storage.CheckAsync(TemporaryStorlink.For(link, level: StorlinkLevel.Block), Token));
        Assert.Contains(link, failure.Message, StringComparison.Ordinal);
        Assert.Contains("nosuch", (await Assert.ThrowsAsync<StorageException>(() => Storage.CheckAsync(TemporaryStorlink.For("/dev/nosuch", level: StorlinkLevel.Block), Token))).Message, StringComparison.Ordinal);
    }

    private static VolumeSpec Spec(DiskId disk, long megabytes, DiskFormat format = DiskFormat.Raw) => new() { Disk = disk, Format = format, Size = DataSize.FromMiB(megabytes) };

    private static LvmOptions Copy(LvmOptions options, string hostName) => new()
    {
        Activation = options.Activation,
        SystemDirectory = options.SystemDirectory,
        LeaseDirectory = options.LeaseDirectory,
        HostName = hostName,
    };

    private async Task<string> ImageAsync()
    {
        var path = Path.Combine(Host.Options.LeaseDirectory, "image");
        Directory.CreateDirectory(Host.Options.LeaseDirectory);
        await File.WriteAllBytesAsync(path, new byte[MiB], Token);
        return path;
    }

    private async Task<DiskLayer> LayerAsync(DiskId disk, DiskFormat format = DiskFormat.Raw) => new(await Storage.AttachAsync(Storlink, disk, format, Token), format);

    private async Task<bool> IsZeroAsync(DiskId disk, long offset, long length)
    {
        var layer = await LayerAsync(disk);
        return !await new VolumeWipe(Host.Runner, Host.Options).FindDataAsync(layer.Location.ToString()!, offset, length, Token);
    }

    /// <summary>Writes data that is not zero into a volume, beside the backend.</summary>
    private async Task FillAsync(string name, long from = 0)
    {
        var group = (await Host.ReportAsync())!;
        var volume = group.Find(name)!;
        var activation = new LvmHost(Host.Runner, Host.Options).Activation;
        var path = await activation.ActivateAsync(group, volume, Token);
        await using (var stream = new FileStream(path, FileMode.Open, FileAccess.Write, FileShare.ReadWrite))
        {
            stream.Position = from;
            var data = Enumerable.Repeat((byte)0xa5, 4 * MiB).ToArray();
            for (var at = from; at < volume.Size; at += data.Length)
            {
                await stream.WriteAsync(data, Token);
            }

            stream.Flush(flushToDisk: true);
        }

        await activation.DeactivateAsync(group, volume, Token);
    }

    private async Task<List<VolumeEntry>> ListAsync()
    {
        List<VolumeEntry> entries = [];
        await foreach (var entry in Storage.ListAsync(Storlink, Token))
        {
            entries.Add(entry);
        }

        return entries;
    }
}

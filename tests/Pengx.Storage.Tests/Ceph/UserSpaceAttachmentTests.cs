using System.Globalization;
using Pengx.Testing;

namespace Pengx.Storage.Tests;

/// <summary>RBD images as loop devices, by a real storage daemon, on a real cluster.</summary>
public sealed class UserSpaceAttachmentTests : IAsyncLifetime
{
    private readonly CephCluster _cluster;
    private readonly RbdBench _bench;
    private readonly ProcessRunner _runner = new();

    public UserSpaceAttachmentTests(CephCluster cluster)
    {
        _cluster = cluster;
        _bench = new(cluster, CephCluster.DevicePool);
        _bench.Options.Attach = CephAttachMode.UserSpace;
    }

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    private RbdStorage Storage => _bench.Storage;

    private Storlink Storlink => _bench.Storlink;

    public async ValueTask InitializeAsync()
    {
        await _cluster.RequireAsync();
        Requires.That(Environment.IsPrivilegedProcess, "root", "attaching in user space needs root");
        Requires.That(File.Exists("/dev/fuse") && File.Exists("/dev/loop-control"), "fuse", "there is no /dev/fuse or no /dev/loop-control");
        Requires.Tool("qemu-storage-daemon", "qemu");
    }

    public async ValueTask DisposeAsync()
    {
        await _bench.DisposeAsync();
        DirectoryInfo names = new($"/dev/rbd/{CephCluster.DevicePool}");
        if (names.Exists)
        {
            names.Delete();
        }
    }

    [Fact]
    public async Task A_disk_is_a_block_device_until_it_is_detached_and_what_was_flushed_is_in_the_image()
    {
        var spec = new VolumeSpec { Disk = DiskId.New(), Format = DiskFormat.Raw, Size = DataSize.FromMiB(8) };
        await Storage.CreateAsync(Storlink, spec, cancellationToken: Token);
        var device = Assert.IsType<BlockLocation>(await Storage.AttachAsync(Storlink, spec.Disk, DiskFormat.Raw, Token)).Path;
        Assert.Equal($"/dev/rbd/{CephCluster.DevicePool}/{spec.Disk}", device);
        Assert.Equal(new BlockLocation(device), await Storage.AttachAsync(Storlink, spec.Disk, DiskFormat.Raw, Token));
        await using (FileStream stream = new(device, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite))
        {
            Assert.Equal(spec.Size.Bytes / 512, long.Parse(await File.ReadAllTextAsync($"/sys/block/{Path.GetFileName(Target(device))}/size", Token), CultureInfo.InvariantCulture));
            stream.Position = 65536;
            await stream.WriteAsync(Enumerable.Repeat((byte)0x5a, 4096).ToArray(), Token);
            stream.Flush(flushToDisk: true);
        }

        // Another backend, as after a restart of the service, finds it; a second way to it is refused.
        var again = RbdBench.Create(_bench.Options);
        Assert.Equal(new BlockLocation(device), await again.AttachAsync(Storlink, spec.Disk, DiskFormat.Raw, Token));
        var options = _cluster.Options(_bench.PathOf("elsewhere"));
        options.Attach = CephAttachMode.UserSpace;
        var refused = await Assert.ThrowsAsync<InUseException>(() => RbdBench.Create(options).AttachAsync(Storlink, spec.Disk, DiskFormat.Raw, Token));
        Assert.Contains("writer", refused.Message, StringComparison.Ordinal);
        await Assert.ThrowsAsync<InUseException>(() => Storage.GrowAsync(Storlink, spec.Disk, DiskFormat.Raw, DataSize.FromMiB(16), Token));

        await Storage.DetachAsync(Storlink, spec.Disk, Token);
        await Storage.DetachAsync(Storlink, spec.Disk, Token);
        await AssertNothingAttachedAsync(spec.Disk);
        Assert.Empty(await Storage.ListUsersAsync(Storlink, spec.Disk, Token));
        options.Attach = CephAttachMode.Qemu;
        DiskLayer layer = new(await RbdBench.Create(options).AttachAsync(Storlink, spec.Disk, DiskFormat.Raw, Token), DiskFormat.Raw);
        var read = await _runner.RunAsync(new() { FileName = "qemu-io", Arguments = ["-f", "raw", "-r", "-c", "read -P 0x5a 65536 4096", ImageTool.NameOf(layer)] }, Token);
        Assert.DoesNotContain("verification failed", read.EnsureSuccess().Output, StringComparison.OrdinalIgnoreCase);
    }

    [Fact]
    public async Task A_device_that_is_open_is_not_taken_away_unnoticed()
    {
        var spec = new VolumeSpec { Disk = DiskId.New(), Format = DiskFormat.Raw, Size = DataSize.FromMiB(8) };
        await Storage.CreateAsync(Storlink, spec, cancellationToken: Token);
        var device = ((BlockLocation)await Storage.AttachAsync(Storlink, spec.Disk, DiskFormat.Raw, Token)).Path;
        await using (FileStream stream = new(device, FileMode.Open, FileAccess.Read, FileShare.ReadWrite))
        {
            var refused = await Assert.ThrowsAsync<InUseException>(() => Storage.DetachAsync(Storlink, spec.Disk, Token));
            Assert.Contains(Target(device), refused.Message, StringComparison.Ordinal);
            Assert.NotEmpty(await Storage.ListUsersAsync(Storlink, spec.Disk, Token));
        }

        await Storage.DetachAsync(Storlink, spec.Disk, Token);
        await AssertNothingAttachedAsync(spec.Disk);
    }

    [Fact]
    public async Task A_daemon_that_crashed_is_cleared_away_and_the_disk_attached_anew()
    {
        var spec = new VolumeSpec { Disk = DiskId.New(), Format = DiskFormat.Raw, Size = DataSize.FromMiB(8) };
        await Storage.CreateAsync(Storlink, spec, cancellationToken: Token);
        await Storage.AttachAsync(Storlink, spec.Disk, DiskFormat.Raw, Token);
        var pid = int.Parse(await File.ReadAllTextAsync(Path.Combine(_bench.Options.RunDirectory, spec.Disk.ToString(), "daemon.pid"), Token), CultureInfo.InvariantCulture);
        using (var daemon = System.Diagnostics.Process.GetProcessById(pid))
        {
            daemon.Kill();
            await daemon.WaitForExitAsync(Token);
        }

        var device = ((BlockLocation)await Storage.AttachAsync(Storlink, spec.Disk, DiskFormat.Raw, Token)).Path;
        await using (FileStream stream = new(device, FileMode.Open, FileAccess.Read, FileShare.ReadWrite))
        {
            Assert.Equal(4096, await stream.ReadAtLeastAsync(new byte[4096], 4096, cancellationToken: Token));
        }

        await Storage.DetachAsync(Storlink, spec.Disk, Token);
        await AssertNothingAttachedAsync(spec.Disk);
    }

    [Fact]
    public async Task What_cannot_be_attached_leaves_nothing()
    {
        var spec = new VolumeSpec { Disk = DiskId.New(), Format = DiskFormat.Raw, Size = DataSize.FromMiB(8) };
        await Storage.CreateAsync(Storlink, spec, cancellationToken: Token);
        var options = _bench.Options;
        options.Losetup = "false"; // a program that always fails
        await Assert.ThrowsAsync<StorageException>(() => RbdBench.Create(options).AttachAsync(Storlink, spec.Disk, DiskFormat.Raw, Token));
        await AssertNothingAttachedAsync(spec.Disk);
    }

    [Fact]
    public async Task A_chain_of_overlays_is_devices_that_are_called_the_same_after_every_attaching()
    {
        var chains = new ImageChains(_runner);
        List<(VolumeSpec Spec, DiskLayer Layer)> made = [];
        foreach (var format in new[] { DiskFormat.Raw, DiskFormat.Qcow2, DiskFormat.Qcow2 })
        {
            var spec = new VolumeSpec { Disk = DiskId.New(), Format = format, Size = DataSize.FromMiB(8), Backing = made.LastOrDefault().Layer };
            await Storage.CreateAsync(Storlink, spec, cancellationToken: Token);
            made.Add((spec, new(await Storage.AttachAsync(Storlink, spec.Disk, format, Token), format)));
            await IoAsync(made[^1].Layer, $"write -P {made.Count} {made.Count - 1}M 1M");
        }

        DiskLayer[] layers = [.. made.Select(one => one.Layer).Reverse()];
        Assert.Equal(layers, await chains.ReadAsync(layers[0], Token));
        await DetachAsync();

        // Others come first, so that every number is another one.
        var other = new VolumeSpec { Disk = DiskId.New(), Format = DiskFormat.Raw, Size = DataSize.FromMiB(8) };
        await Storage.CreateAsync(Storlink, other, cancellationToken: Token);
        await Storage.AttachAsync(Storlink, other.Disk, DiskFormat.Raw, Token);

        // Attaching the top attaches what it lies on.
        Assert.Equal(layers[0].Location, await Storage.AttachAsync(Storlink, made[^1].Spec.Disk, DiskFormat.Qcow2, Token));
        Assert.Equal(layers, await chains.ReadAsync(layers[0], Token));
        for (var index = 1; index <= 3; index++)
        {
            Assert.DoesNotContain("verification failed", (await IoAsync(layers[0], $"read -P {index} {index - 1}M 1M")).Output, StringComparison.OrdinalIgnoreCase);
        }

        await chains.CommitAsync(layers, cancellationToken: Token);
        for (var index = 1; index <= 3; index++)
        {
            Assert.DoesNotContain("verification failed", (await IoAsync(layers[2], $"read -P {index} {index - 1}M 1M")).Output, StringComparison.OrdinalIgnoreCase);
        }

        await DetachAsync();
        foreach (var (spec, _) in made)
        {
            Assert.NotNull(await Storage.FindAsync(Storlink, spec.Disk, spec.Format, Token));
            await AssertNothingAttachedAsync(spec.Disk);
        }

        async Task DetachAsync()
        {
            foreach (var (spec, _) in made)
            {
                await Storage.DetachAsync(Storlink, spec.Disk, Token);
            }
        }
    }

    private async Task<ProcessResult> IoAsync(DiskLayer layer, string command) => (await _runner.RunAsync(
        new() { FileName = "qemu-io", Arguments = ["-f", layer.Format.Name, "-c", command, ImageTool.NameOf(layer)] }, Token)).EnsureSuccess();

    private static string Target(string device) => File.ResolveLinkTarget(device, returnFinalTarget: true)!.FullName;

    private async Task AssertNothingAttachedAsync(DiskId disk)
    {
        Assert.Null(new FileInfo($"/dev/rbd/{CephCluster.DevicePool}/{disk}").LinkTarget);
        Assert.False(Directory.Exists(Path.Combine(_bench.Options.RunDirectory, disk.ToString())));
        Assert.DoesNotContain(disk.ToString(), await File.ReadAllTextAsync("/proc/self/mountinfo", Token), StringComparison.Ordinal);
        Assert.DoesNotContain(RunningPrograms.CommandLines(), line => line.Contains($"image={disk}", StringComparison.Ordinal));
        Assert.DoesNotContain(disk.ToString(), (await _runner.RunAsync(new() { FileName = "losetup", Arguments = ["--list", "--noheadings", "--output", "BACK-FILE"] }, Token)).Output, StringComparison.Ordinal);
    }
}

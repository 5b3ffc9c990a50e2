using Pengx.Testing;

namespace Pengx.Storage.Tests;

public sealed class DeviceGuardTests
{
    private const long MiB = 1L << 20;

    private readonly DeviceGuard _guard = new();

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_name_that_belongs_to_another_device_now_is_noticed()
    {
        await using var first = await LoopDevice.CreateAsync(16 * MiB, Token, "/dev/loop199");
        var chosen = first.Device;
        _guard.Demand(chosen);
        Assert.Null(await _guard.IsStill(chosen).VerifyAsync(Token));

        // The same name, the same size and even the same file, attached anew.
        await LoopDevice.RunAsync("losetup", "--detach", first.Path);
        await LoopDevice.RunAsync("losetup", first.Path, first.File);

        var refused = Assert.Throws<StorageException>(() => _guard.Demand(chosen));
        Assert.Contains(chosen.Identity.ToString(), refused.Message, StringComparison.Ordinal);
        Assert.NotNull(await _guard.IsStill(chosen).VerifyAsync(Token));
    }

    [Fact]
    public async Task A_size_that_changed_is_noticed()
    {
        await using var loop = await LoopDevice.CreateAsync(16 * MiB, Token);
        var chosen = loop.Device;
        await using (var stream = File.OpenWrite(loop.File))
        {
            stream.SetLength(32 * MiB);
        }

        await LoopDevice.RunAsync("losetup", "--set-capacity", loop.Path);
        Assert.Contains("32 MiB", Assert.Throws<StorageException>(() => _guard.Demand(chosen)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_mounted_device_is_in_use()
    {
        await using var loop = await LoopDevice.CreateAsync(16 * MiB, Token);
        Assert.Null(await _guard.IsUnused(loop.Device).VerifyAsync(Token));
        await LoopDevice.RunAsync("mkfs.ext4", "-q", loop.Path);
        var directory = Directory.CreateTempSubdirectory("pengx-mount-").FullName;
        await LoopDevice.RunAsync("mount", loop.Path, directory);
        try
        {
            Assert.Contains(directory, Assert.Single(loop.Device.Users), StringComparison.Ordinal);
            Assert.Contains(directory, await _guard.IsUnused(loop.Device).VerifyAsync(Token), StringComparison.Ordinal);
        }
        finally
        {
            await LoopDevice.RunAsync("umount", directory);
            Directory.Delete(directory);
        }
    }

    [Theory]
    [InlineData("/dev/../etc/passwd")]
    [InlineData("/etc/passwd")]
    [InlineData("sda")]
    [InlineData("/dev/null")]
    [InlineData("/dev")]
    public void Only_block_devices_are_looked_at(string path) => Assert.Throws<StorageException>(() => _guard.Find(path));

    [Fact]
    public void A_missing_device_is_told()
    {
        Assert.Null(_guard.Find("/dev/pengx/none"));
        Assert.Contains("/dev/pengx/none", Assert.Throws<StorageException>(() => _guard.Inspect("/dev/pengx/none")).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_lun_is_known_by_its_wwid_and_partitions_by_their_disk()
    {
        // What the kernel tells of a LUN, under the number of a device that exists here.
        await using var loop = await LoopDevice.CreateAsync(16 * MiB, Token);
        var number = (await File.ReadAllTextAsync($"/sys/class/block/{Path.GetFileName(loop.Path)}/dev", Token)).Trim();
        var sys = Directory.CreateTempSubdirectory("pengx-sys-").FullName;
        try
        {
            var disk = Directory.CreateDirectory(Path.Combine(sys, "devices/host6/block/sdb")).FullName;
            await WriteAsync(disk, "device/wwid", "naa.60014051234567890000000000000001");
            await WriteAsync(disk, "size", "32768");
            await WriteAsync(disk, "ro", "1");
            await WriteAsync(disk, "diskseq", "12");
            await WriteAsync(disk, "holders/dm-3/x", "");
            await WriteAsync(disk, "sdb1/partition", "1");
            await WriteAsync(disk, "sdb1/size", "2048");
            Directory.CreateDirectory(Path.Combine(sys, "dev/block"));
            var link = Path.Combine(sys, "dev/block", number);
            Directory.CreateSymbolicLink(link, disk);

            var found = new DeviceGuard(sys).Inspect(loop.Path);
            Assert.Equal("wwid:naa.60014051234567890000000000000001", found.Identity.ToString());
            Assert.Equal(("sdb", DataSize.FromMiB(16), true), (found.Name, found.Size, found.ReadOnly));
            Assert.Equal(["the device dm-3"], found.Users);
            Assert.True(found.Identity.IsLasting);

            Directory.Delete(link);
            Directory.CreateSymbolicLink(link, Path.Combine(disk, "sdb1"));
            Assert.Equal("wwid:naa.60014051234567890000000000000001-part1", new DeviceGuard(sys).Inspect(loop.Path).Identity.ToString());
        }
        finally
        {
            Directory.Delete(sys, recursive: true);
        }
    }

    [Fact]
    public void An_identity_is_read_back()
    {
        Assert.Equal(new("wwid", "naa.6:1"), DeviceIdentity.Parse("wwid:naa.6:1"));
        Assert.Throws<FormatException>(() => DeviceIdentity.Parse("naa"));
        Assert.Throws<FormatException>(() => DeviceIdentity.Parse("wwid:"));
    }

    private static async Task WriteAsync(string directory, string file, string text)
    {
        var path = Path.Combine(directory, file);
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        await File.WriteAllTextAsync(path, text + "\n", Token);
    }
}

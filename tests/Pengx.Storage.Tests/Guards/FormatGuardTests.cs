using System.Security.Cryptography;

namespace Pengx.Storage.Tests;

public sealed class FormatGuardTests
{
    private const long MiB = 1L << 20;

    // Larger than what is read whole.
    private const long Large = 512 * MiB;

    private readonly FormatGuard _guard = new(new ProcessRunner());

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(16 * MiB)]
    [InlineData(Large)]
    public async Task Zeros_are_proven_blank(long size)
    {
        await using var loop = await LoopDevice.CreateAsync(size, Token);

        Assert.Equal(DeviceContent.Blank, (await _guard.ProbeAsync(loop.Device, Token)).Content);
        Assert.Equal(DeviceContent.Blank, (await _guard.DemandFormattableAsync(loop.Device, null, Token)).Content);
    }

    [Theory]
    [InlineData("ext4", "mkfs.ext4", "-q")]
    [InlineData("xfs", "mkfs.xfs", "-q")]
    [InlineData("swap", "mkswap")]
    public async Task What_is_known_is_shown_and_needs_to_be_named(string type, string program, params string[] arguments)
    {
        await using var loop = await LoopDevice.CreateAsync(Large, Token);
        await LoopDevice.RunAsync(program, [.. arguments, loop.Path]);
        var probe = await _guard.ProbeAsync(loop.Device, Token);
        Assert.Equal(DeviceContent.Known, probe.Content);
        Assert.StartsWith(type, probe.Text, StringComparison.Ordinal);

        var refused = await Assert.ThrowsAsync<StorageException>(() => _guard.DemandFormattableAsync(loop.Device, null, Token));
        Assert.Contains(probe.Text, refused.Message, StringComparison.Ordinal);
        await Assert.ThrowsAsync<StorageException>(() => _guard.DemandFormattableAsync(loop.Device, new(type + " of yesterday"), Token));
        Assert.Equal(probe, await _guard.DemandFormattableAsync(loop.Device, new(probe.Text), Token));
    }

    [Fact]
    public async Task A_file_system_whose_first_megabyte_is_gone_is_not_blank()
    {
        await using var loop = await LoopDevice.CreateAsync(Large, Token);
        await LoopDevice.RunAsync("mkfs.ext4", "-q", loop.Path);
        await loop.WriteAsync(0, new byte[MiB]);

        // The tool that looks for signatures finds none any more.
        Assert.DoesNotContain("ext4", (await LoopDevice.RunAsync("wipefs", "--json", "--no-act", loop.Path)).Output, StringComparison.Ordinal);
        await AssertNobodyCanTellAsync(loop);
    }

    [Fact]
    public async Task Data_of_which_nobody_knows_what_it_is_is_not_blank()
    {
        await using var loop = await LoopDevice.CreateAsync(16 * MiB, Token);
        await loop.WriteAsync(0, RandomNumberGenerator.GetBytes((int)(16 * MiB)));

        await AssertNobodyCanTellAsync(loop);
    }

    [Theory]
    [InlineData(0)]
    [InlineData((256 * MiB) + 4096)]
    [InlineData(Large - 512)]
    public async Task One_sector_of_data_at_a_place_that_is_read_is_found(long offset)
    {
        await using var loop = await LoopDevice.CreateAsync(Large, Token);
        await loop.WriteAsync(offset, [.. Enumerable.Repeat((byte)1, 512)]);

        await AssertNobodyCanTellAsync(loop);
    }

    [Fact]
    public async Task What_cannot_be_read_is_not_blank()
    {
        await using var loop = await LoopDevice.CreateAsync(16 * MiB, Token);

        // The device keeps its size, and reads behind the file's end fail.
        await using (var stream = File.OpenWrite(loop.File))
        {
            stream.SetLength(8 * MiB);
        }

        var probe = await _guard.ProbeAsync(loop.Device, Token);
        Assert.Equal(DeviceContent.Unknown, probe.Content);
        Assert.Contains("error", probe.Text, StringComparison.OrdinalIgnoreCase);
        await Assert.ThrowsAsync<StorageException>(() => _guard.DemandFormattableAsync(loop.Device, new(probe.Text), Token));
    }

    [Fact]
    public async Task A_device_that_became_another_one_is_not_blank()
    {
        await using var loop = await LoopDevice.CreateAsync(16 * MiB, Token);
        var chosen = loop.Device with { Identity = new("wwid", "naa.6001405") };

        var probe = await _guard.ProbeAsync(chosen, Token);
        Assert.Equal(DeviceContent.Unknown, probe.Content);
        Assert.Contains("wwid:naa.6001405", probe.Text, StringComparison.Ordinal);
    }

    private async Task AssertNobodyCanTellAsync(LoopDevice loop)
    {
        var probe = await _guard.ProbeAsync(loop.Device, Token);
        Assert.Equal(DeviceContent.Unknown, probe.Content);

        // Consent is for signatures; what nobody can name, nobody can consent to.
        var refused = await Assert.ThrowsAsync<StorageException>(() => _guard.DemandFormattableAsync(loop.Device, new(probe.Text), Token));
        Assert.Contains("nobody can tell", refused.Message, StringComparison.Ordinal);
    }
}

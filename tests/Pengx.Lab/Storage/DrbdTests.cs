using System.Net;
using Pengx.Storage;
using Pengx.Storage.Tests;

namespace Pengx.Lab;

/// <summary>DRBD 8.4 as Linux itself has it: alone on this host, and mirrored to the other one where there are two.</summary>
public sealed class DrbdTests : IAsyncLifetime
{
    private const string Resource = "pengxlab";
    private const int Minor = 7;

    private readonly ProcessRunner _runner = new();
    private string _directory = "";
    private LoopDevice? _disk;

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    private static string Device => $"/dev/drbd{Minor}";

    private string File => Path.Combine(_directory, $"{Resource}.res");

    /// <inheritdoc/>
    public async ValueTask InitializeAsync()
    {
        await LabKernel.LoadAsync("loop", "drbd");
        _directory = LabKernel.Folder();
        _disk = await LoopDevice.CreateAsync(64 << 20, Token);
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await _runner.RunAsync(new() { FileName = "drbdsetup", Arguments = ["down", Resource], Timeout = LabHost.Patience });
        if (_disk is not null)
        {
            await _disk.DisposeAsync();
        }

        if (_directory.Length > 0)
        {
            Directory.Delete(_directory, recursive: true);
        }
    }

    /// <summary>Made, promoted by consent only, used, demoted, taken down, removed.</summary>
    [Fact]
    public async Task A_resource_is_made_promoted_by_consent_used_and_removed()
    {
        var layers = Layers();
        var order = Order(StorageVerb.Create, IPAddress.Parse("10.99.0.2"));
        var three = await Assert.ThrowsAsync<InvalidFieldException>(() => layers.PlanAsync(order with { Layer = order.Layer with { DrbdPeerIps = [IPAddress.Parse("10.99.0.2"), IPAddress.Parse("10.99.0.3")] } }, Token));
        Assert.Contains("8.4", three.Message, StringComparison.Ordinal);

        var state = (await layers.ExecuteAsync(order, cancellationToken: Token))!;
        Assert.Equal((Device, false), (state.Name, state.Attached));
        Assert.Contains(state.Warnings, warning => warning.Contains("Inconsistent", StringComparison.Ordinal));
        Assert.Contains(state.Warnings, warning => warning.Contains("Connecting towards", StringComparison.Ordinal));
        Assert.Empty((await layers.PlanAsync(order, Token)).Steps);

        // Nobody's data is up to date: whose shall be is asked.
        var refused = await Assert.ThrowsAsync<StoragePlanFailedException>(() => layers.ExecuteAsync(order with { Verb = StorageVerb.Attach }, cancellationToken: Token));
        Assert.Contains(DrbdLayers.FirstSource, refused.Message, StringComparison.Ordinal);
        state = (await layers.ExecuteAsync(order with { Verb = StorageVerb.Attach, Consent = new(DrbdLayers.FirstSource) }, cancellationToken: Token))!;
        Assert.True(state.Attached);
        Assert.InRange(state.Layer.Size.Bytes, 63L << 20, 64L << 20);
        await LabHost.OutputAsync("mkfs.ext4", "-q", Device);
        var point = Directory.CreateDirectory(Path.Combine(_directory, "mount")).FullName;
        await LabHost.OutputAsync("mount", Device, point);
        try
        {
            // In use: it is not taken away.
            var busy = await Assert.ThrowsAsync<StoragePlanFailedException>(() => layers.ExecuteAsync(order with { Verb = StorageVerb.Detach }, cancellationToken: Token));
            Assert.Contains(point, busy.Message, StringComparison.Ordinal);
            await System.IO.File.WriteAllTextAsync(Path.Combine(point, "file"), "content", Token);
        }
        finally
        {
            await LabHost.OutputAsync("umount", point);
        }

        // Down, and up again with what was written.
        Assert.False((await layers.ExecuteAsync(order with { Verb = StorageVerb.Detach }, cancellationToken: Token))!.Attached);
        Assert.Empty((await layers.PlanAsync(order with { Verb = StorageVerb.Detach }, Token)).Steps);
        Assert.True((await layers.ExecuteAsync(order with { Verb = StorageVerb.Attach }, cancellationToken: Token))!.Attached);
        Assert.Contains("ext4", (await LabHost.OutputAsync("blkid", "-p", Device)), StringComparison.Ordinal);

        // The disk grows beneath it.
        await using (FileStream backing = new(_disk!.File, FileMode.Open))
        {
            backing.SetLength(96 << 20);
        }

        await LabHost.OutputAsync("losetup", "--set-capacity", _disk.Path);
        Assert.Null(await layers.ExecuteAsync(order with { Verb = StorageVerb.Delete }, cancellationToken: Token));
        Assert.False(System.IO.File.Exists(File));
        Assert.DoesNotContain("drbd", (await LabHost.RunAsync("wipefs", "--no-act", _disk.Path)).Output, StringComparison.Ordinal);
        Assert.DoesNotContain($" {Minor}: cs:", await System.IO.File.ReadAllTextAsync("/proc/drbd", Token), StringComparison.Ordinal);
    }

    private DrbdLayers Layers() => new(_runner, new() { ConfigurationDirectory = _directory }, Path.Combine(_directory, "leases"));

    private StorageOrder Order(StorageVerb verb, IPAddress peer) => new()
    {
        Verb = verb,
        Layer = new()
        {
            Id = 1,
            Pm = PmId.New(),
            Category = StorageCategory.Drbd,
            DrbdResourceName = Resource,
            DrbdDisk = _disk!.Path,
            DrbdMinor = Minor,
            DrbdIp = IPAddress.Parse("10.99.0.1"),
            DrbdPeerIps = [peer],
        },
    };
}

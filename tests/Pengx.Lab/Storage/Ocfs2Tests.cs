using System.Net;
using Pengx.Storage;
using Pengx.Storage.Tests;

namespace Pengx.Lab;

/// <summary>OCFS2 with the kernel's o2cb: one node, a device of its own.</summary>
public sealed class Ocfs2Tests : IAsyncLifetime
{
    private const string Configuration = "/etc/ocfs2/cluster.conf";
    private const string Cluster = "pengxlab";

    private readonly ProcessRunner _runner = new();
    private string _directory = "";
    private LoopDevice? _disk;

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    private string Point => Path.Combine(_directory, "mount");

    /// <inheritdoc/>
    public async ValueTask InitializeAsync()
    {
        await LabKernel.LoadAsync("loop", "ocfs2");
        _directory = LabKernel.Folder();
        _disk = await LoopDevice.CreateAsync(2560L << 20, Token);
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        foreach (var (program, arguments) in new (string, string[])[] { ("umount", ["--quiet", Point]), ("o2cb", ["unregister-cluster", Cluster]), ("o2cb", ["remove-cluster", Cluster]) })
        {
            await _runner.RunAsync(new() { FileName = program, Arguments = arguments, Timeout = LabHost.Patience });
        }

        if (_disk is not null)
        {
            await _disk.DisposeAsync();
        }

        if (_directory.Length > 0)
        {
            Directory.Delete(_directory, recursive: true);
        }
    }

    /// <summary>Cluster written and brought online, formatted, mounted, used, left; what is on it stays for other nodes.</summary>
    [Fact]
    public async Task A_volume_is_formatted_mounted_used_and_left()
    {
        Ocfs2Layers layers = new(_runner, new() { Cluster = Cluster, ConfigurationFile = Configuration }, Path.Combine(_directory, "leases"));
        StorageOrder order = new()
        {
            Verb = StorageVerb.Create,
            Layer = new() { Id = 1, Pm = PmId.New(), Category = StorageCategory.Ocfs2, DeviceId = _disk!.Path, MountPoint = Point },
            Nodes = [new() { Id = 1, Storage = 1, Pm = PmId.New(), Number = 0, PeerName = Environment.MachineName, PeerIp = IPAddress.Parse("10.99.0.1") }],
        };
        var state = (await layers.ExecuteAsync(order, cancellationToken: Token))!;
        Assert.True(state.Attached);
        Assert.InRange(state.Layer.Size.Bytes, 2L << 30, 2560L << 20);
        Assert.Empty((await layers.PlanAsync(order, Token)).Steps);
        Assert.Contains(Environment.MachineName, await LabHost.OutputAsync("mounted.ocfs2", "-f", _disk.Path), StringComparison.Ordinal);
        await File.WriteAllTextAsync(Path.Combine(Point, "file"), "content", Token);
        await using (File.OpenRead(Path.Combine(Point, "file")))
        {
            var busy = await Assert.ThrowsAsync<StoragePlanFailedException>(() => layers.ExecuteAsync(order with { Verb = StorageVerb.Detach }, cancellationToken: Token));
            Assert.Contains("busy", busy.Message, StringComparison.Ordinal);
        }

        Assert.False((await layers.ExecuteAsync(order with { Verb = StorageVerb.Detach }, cancellationToken: Token))!.Attached);

        // Another node that orders it finds it made already.
        var again = await layers.PlanAsync(order, Token);
        Assert.DoesNotContain(again.Steps, step => step.NoReturn);
        Assert.Contains("used as it is", Assert.Single(again.Warnings), StringComparison.Ordinal);
        Assert.True((await layers.ExecuteAsync(order, cancellationToken: Token))!.Attached);
        Assert.Equal("content", await File.ReadAllTextAsync(Path.Combine(Point, "file"), Token));
        await layers.ExecuteAsync(order with { Verb = StorageVerb.Delete }, cancellationToken: Token);
        Assert.DoesNotContain(Point, await File.ReadAllTextAsync("/proc/self/mountinfo", Token), StringComparison.Ordinal);
        Assert.Contains("ocfs2", await LabHost.OutputAsync("blkid", "-p", _disk.Path), StringComparison.Ordinal);
    }
}

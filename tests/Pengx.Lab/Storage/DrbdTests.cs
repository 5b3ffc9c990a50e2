using System.Net;
using Pengx.Storage;
using Pengx.Storage.Tests;

namespace Pengx.Lab;

/// <summary>DRBD 8.4 as Linux itself has it: alone on this host, and mirrored to the other one where there are two.</summary>
public sealed class DrbdTests : IAsyncLifetime
{
    internal const string Resource = "pengxlab";
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

    /// <summary>Mirrored to the other host: what is written here is there, each may be the primary in turn, and hosts that changed their
    /// data without each other are told of and left to a person.</summary>
    [Fact]
    public async Task A_resource_is_mirrored_handed_over_and_a_split_brain_is_left_to_a_person()
    {
        var second = LabHost.RequireSecondHost();
        await using Peer peer = new(second, _disk!.Path);
        var layers = Layers();
        var order = Order(StorageVerb.Create, IPAddress.Parse(second));
        await layers.ExecuteAsync(order, cancellationToken: Token);

        // The other host's own service would write the same with the names the other way round.
        var there = (await peer.RunAsync("uname", "-n")).Trim();
        var own = await System.IO.File.ReadAllTextAsync(File, Token);
        await peer.BringUpAsync(own.Replace($"\"peer-{second}\"", $"\"{there}\"", StringComparison.Ordinal).Replace($"\"{Environment.MachineName}\"", "\"peer-10.99.0.1\"", StringComparison.Ordinal));

        // This host's data becomes everybody's.
        await layers.ExecuteAsync(order with { Verb = StorageVerb.Attach, Consent = new(DrbdLayers.FirstSource) }, cancellationToken: Token);
        await LabKernel.FillAsync(Device, 1 << 20, 65536, 0x5a);
        await UntilInSyncAsync();
        Assert.Equal("UpToDate/UpToDate", (await peer.RunAsync("drbdadm", "-c", Peer.File, "dstate", Resource)).Trim());

        // Handed over: here it goes down and comes back as secondary, there it is read and written.
        await LabHost.OutputAsync("drbdadm", "-c", File, "secondary", Resource);
        await peer.RunAsync("drbdadm", "-c", Peer.File, "primary", Resource);
        Assert.Contains("64 KiB", await peer.RunAsync("qemu-io", "-f", "raw", "-t", "none", "-c", "'read -P 0x5a 1M 64k'", "-c", "'write -P 0x11 2M 64k'", "-c", "flush", Device), StringComparison.Ordinal);
        var refused = await Assert.ThrowsAsync<StoragePlanFailedException>(() => layers.ExecuteAsync(order with { Verb = StorageVerb.Attach }, cancellationToken: Token));
        Assert.Contains("primary", refused.Message, StringComparison.OrdinalIgnoreCase);
        await peer.RunAsync("drbdadm", "-c", Peer.File, "secondary", Resource);
        Assert.True((await layers.ExecuteAsync(order with { Verb = StorageVerb.Attach }, cancellationToken: Token))!.Attached);
        Assert.True(await LabKernel.IsFilledAsync(Device, 2 << 20, 65536, 0x11));

        // The wire is cut, and both change their data.
        await peer.RunAsync("drbdadm", "-c", Peer.File, "disconnect", Resource);
        await LabKernel.FillAsync(Device, 3 << 20, 65536, 0x22);
        await peer.RunAsync("drbdadm", "-c", Peer.File, "primary", "--force", Resource);
        await peer.RunAsync("qemu-io", "-f", "raw", "-t", "none", "-c", "'write -P 0x33 3M 64k'", "-c", "flush", Device);
        await peer.RunAsync("drbdadm", "-c", Peer.File, "connect", Resource);
        var state = await LabHost.UntilAsync("split brain", async () => (await layers.InspectAsync(order.Layer, Token))!, found => found.Warnings.Any(warning => warning.Contains("split brain", StringComparison.Ordinal)));
        Assert.True(state.Attached);
        var split = await Assert.ThrowsAsync<WrongStateException>(() => layers.PlanAsync(order with { Verb = StorageVerb.Attach }, Token));
        Assert.Contains("--discard-my-data", split.Message, StringComparison.Ordinal);
        Assert.True(await LabKernel.IsFilledAsync(Device, 3 << 20, 65536, 0x22));

        // A person decides, in the words of that message: the other host's change is lost, and both are one again.
        await peer.RunAsync("drbdadm", "-c", Peer.File, "secondary", Resource);
        await LabHost.RunAsync("drbdadm", "-c", File, "disconnect", Resource);
        await peer.RunAsync("sh", "-c", $"'drbdadm -c {Peer.File} disconnect {Resource} || true'");
        await peer.RunAsync("drbdadm", "-c", Peer.File, "--", "--discard-my-data", "connect", Resource);
        await LabHost.OutputAsync("drbdadm", "-c", File, "connect", Resource);
        await UntilInSyncAsync();
        Assert.Empty((await layers.PlanAsync(order with { Verb = StorageVerb.Attach }, Token)).Steps);
        Assert.True(await LabKernel.IsFilledAsync(Device, 3 << 20, 65536, 0x22));
        Assert.Null(await layers.ExecuteAsync(order with { Verb = StorageVerb.Delete }, cancellationToken: Token));

        Task UntilInSyncAsync() => LabHost.UntilAsync("both in sync", () => LabHost.OutputAsync("drbdadm", "-c", File, "dstate", Resource), disks => disks.Trim() == "UpToDate/UpToDate");
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

/// <summary>The other host's side of the resource, by DRBD's own tools.</summary>
internal sealed class Peer(string host, string device) : IAsyncDisposable
{
    public const string File = "/run/pengxlab.res";

    private const string Backing = "/run/pengxlab.img";

    public Task<string> RunAsync(params string[] command) => LabHost.OutputAsync("ssh", ["-o", "BatchMode=yes", host, .. command]);

    public async Task BringUpAsync(string text)
    {
        await RunAsync("modprobe", "-a", "loop", "drbd");
        await RunAsync("truncate", "-s", "64M", Backing);
        await RunAsync("losetup", device, Backing);
        var written = Path.GetTempFileName();
        await System.IO.File.WriteAllTextAsync(written, text, TestContext.Current.CancellationToken);
        await LabHost.OutputAsync("scp", "-q", "-o", "BatchMode=yes", written, $"{host}:{File}");
        System.IO.File.Delete(written);
        await RunAsync("drbdadm", "-c", File, "create-md", "--force", DrbdTests.Resource);
        await RunAsync("drbdadm", "-c", File, "up", DrbdTests.Resource);
    }

    public async ValueTask DisposeAsync()
    {
        await LabHost.RunAsync("ssh", "-o", "BatchMode=yes", host, "drbdsetup", "down", DrbdTests.Resource);
        await LabHost.RunAsync("ssh", "-o", "BatchMode=yes", host, "losetup", "--detach", device);
        await LabHost.RunAsync("ssh", "-o", "BatchMode=yes", host, "rm", "-f", File, Backing);
    }
}

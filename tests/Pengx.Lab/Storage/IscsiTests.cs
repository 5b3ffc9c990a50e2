using System.Net;
using Pengx.Storage;
using Pengx.Storage.Tests;

namespace Pengx.Lab;

/// <summary>iSCSI with the kernel's initiator, against a target on this host.</summary>
public sealed class IscsiTests : IAsyncLifetime
{
    private const string Secret = "correct-horse-battery";

    // The program and udev take their time here; a target that is gone is to be told soon all the same.
    private static readonly IscsiOptions s_options = new() { Timeout = TimeSpan.FromMinutes(2), DeviceTimeout = TimeSpan.FromMinutes(2), RecoveryTimeout = TimeSpan.FromSeconds(5) };

    // Without a limit of ours a write would wait two minutes, and an idle machine takes seconds for all of it.
    private static readonly TimeSpan s_bound = TimeSpan.FromSeconds(110);

    private readonly List<TgtTarget> _targets = [];
    private string _directory = "";
    private IAsyncDisposable? _initiator;

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    private string Leases => Path.Combine(_directory, "leases");

    /// <inheritdoc/>
    public async ValueTask InitializeAsync()
    {
        await LabKernel.LoadAsync("iscsi_tcp", "sd_mod");
        _initiator = await LabKernel.StartAsync("iscsid");
        _directory = LabKernel.Folder();
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        if (_targets is [var target, ..])
        {
            ProcessRunner runner = new();
            foreach (var arguments in (string[][])[["--logout"], ["-o", "delete"]])
            {
                await runner.RunAsync(new() { FileName = "iscsiadm", Arguments = ["-m", "node", "-T", target.Name, .. arguments], Timeout = TimeSpan.FromSeconds(60) });
            }
        }

        foreach (var started in _targets)
        {
            await started.DisposeAsync();
        }

        if (_initiator is not null)
        {
            await _initiator.DisposeAsync();
        }

        if (_directory.Length > 0)
        {
            Directory.Delete(_directory, recursive: true);
        }
    }

    /// <summary>Found, logged in to with CHAP, used, grown, mounted, left: nothing stays.</summary>
    [Fact]
    public async Task A_unit_is_found_used_grown_and_left()
    {
        var target = await StartAsync();
        await target.SetUnitAsync(2, 16 << 20);
        await target.DemandChapAsync("host1", Secret);
        IscsiLayers layers = new(new ProcessRunner(), s_options, Leases);
        Assert.Contains(await layers.DiscoverAsync(IPAddress.Loopback, target.Port, Token), found => found.Name == target.Name);
        Assert.False(Directory.Exists($"/etc/iscsi/nodes/{target.Name}"));

        // A wrong secret: told by the initiator's words, nothing left.
        var secret = Path.Combine(_directory, "secret");
        await File.WriteAllTextAsync(secret, "not-the-right-one", Token);
        var order = Order(target) with { ChapSecretFile = secret };
        order = order with { Layer = order.Layer with { ChapUser = "host1" } };
        var refused = await Assert.ThrowsAsync<StoragePlanFailedException>(() => layers.ExecuteAsync(order, cancellationToken: Token));
        Assert.Contains("authorization", refused.Message, StringComparison.OrdinalIgnoreCase);
        Assert.Null(await layers.InspectAsync(order.Layer, Token));
        Assert.False(Directory.Exists($"/etc/iscsi/nodes/{target.Name}"));

        // The right one: that unit is there, and no other.
        await File.WriteAllTextAsync(secret, Secret, Token);
        var state = (await layers.ExecuteAsync(order, cancellationToken: Token))!;
        Assert.Equal((true, DataSize.FromMiB(64)), (state.Attached, state.Layer.Size));
        Assert.Empty(state.Warnings);
        Assert.Empty((await layers.PlanAsync(order, Token)).Steps);
        await LabHost.UntilAsync("by-path", () => Task.FromResult(File.Exists(state.Name)), there => there);
        Assert.Equal([state.Name], Directory.EnumerateFiles("/dev/disk/by-path", $"*{target.Name}*"));
        Assert.DoesNotContain(Secret, await LabHost.OutputAsync("journalctl", "--no-pager", "-u", "iscsid"), StringComparison.Ordinal);
        await LabKernel.FillAsync(state.Name, 1 << 20, 1 << 20, 0x5a);
        Assert.True(await LabKernel.IsFilledAsync(target.ImageOf(1), 1 << 20, 1 << 20, 0x5a));

        // Grown at the target, taken over here.
        await target.SetUnitAsync(1, 96 << 20);
        Assert.Equal(DataSize.FromMiB(96), (await layers.ExecuteAsync(order with { Verb = StorageVerb.Resize }, cancellationToken: Token))!.Layer.Size);
        Assert.True(await LabKernel.IsFilledAsync(state.Name, 1 << 20, 1 << 20, 0x5a));

        // Mounted in the same order as it is attached, and not left while it is in use.
        await LabHost.OutputAsync("mkfs.ext4", "-q", "-F", state.Name);
        await layers.ExecuteAsync(order with { Verb = StorageVerb.Detach }, cancellationToken: Token);
        Assert.False((await layers.InspectAsync(order.Layer, Token))!.Attached);
        var point = Path.Combine(_directory, "mount");
        var mounted = order with { Verb = StorageVerb.Attach, Layer = order.Layer with { MountPoint = point, FileSystem = "ext4" } };
        Assert.True((await layers.ExecuteAsync(mounted, cancellationToken: Token))!.Attached);
        await using (File.Create(Path.Combine(point, "file")))
        {
            var busy = await Assert.ThrowsAsync<StoragePlanFailedException>(() => layers.ExecuteAsync(mounted with { Verb = StorageVerb.Detach }, cancellationToken: Token));
            Assert.Contains("busy", busy.Message, StringComparison.Ordinal);
        }

        Assert.True((await layers.InspectAsync(mounted.Layer, Token))!.Attached);
        Assert.Null(await layers.ExecuteAsync(mounted with { Verb = StorageVerb.Delete }, cancellationToken: Token));
        Assert.Empty(Directory.EnumerateFileSystemEntries(point));
        Assert.False(File.Exists(state.Name));
        Assert.False(Directory.Exists($"/etc/iscsi/nodes/{target.Name}"));
        Assert.NotEqual(0, (await LabHost.RunAsync("iscsiadm", "-m", "session")).ExitCode);
    }

    /// <summary>The target is killed while something is written: the write fails in time, the layer says why, and both work again
    /// when the target is back; and what is gone for good can still be left.</summary>
    [Fact]
    public async Task A_target_killed_during_a_write_fails_it_in_time_and_comes_back()
    {
        var target = await StartAsync();
        IscsiLayers layers = new(new ProcessRunner(), s_options, Leases);
        var order = Order(target);
        var state = (await layers.ExecuteAsync(order, cancellationToken: Token))!;
        await LabHost.UntilAsync("by-path", () => Task.FromResult(File.Exists(state.Name)), there => there);
        await LabKernel.FillAsync(state.Name, 0, 1 << 20, 0x11);

        // Far more than is written before the target is gone.
        var writer = LabHost.RunAsync("dd", "if=/dev/zero", $"of={state.Name}", "bs=64k", "seek=32", "oflag=direct,nonblock", "conv=notrunc");
        await LabHost.UntilAsync("first write", () => LabKernel.IsFilledAsync(target.ImageOf(1), 2 << 20, 65536, 0), filled => filled);
        await target.KillAsync();
        var started = TimeProvider.System.GetTimestamp();
        var warned = await LabHost.UntilAsync("warning", async () => (await layers.InspectAsync(order.Layer, Token))!.Warnings, warnings => warnings.Count > 0);
        Assert.Contains("does not answer", warned[0], StringComparison.Ordinal);
        var written = await writer;
        Assert.NotEqual(0, written.ExitCode);
        Assert.Contains("error", written.Error, StringComparison.OrdinalIgnoreCase);
        Assert.InRange(TimeProvider.System.GetElapsedTime(started), TimeSpan.Zero, s_bound);
        await Assert.ThrowsAsync<UnavailableException>(() => layers.DiscoverAsync(IPAddress.Loopback, target.Port, Token));

        // Back: the session is taken up again by itself.
        var again = await StartAsync(target);
        await LabHost.UntilAsync("session", async () => (await layers.InspectAsync(order.Layer, Token))!.Warnings.Count, count => count == 0);
        Assert.True(await LabKernel.IsFilledAsync(state.Name, 0, 1 << 20, 0x11));
        await LabKernel.FillAsync(state.Name, 2 << 20, 1 << 20, 0x33);
        Assert.True(await LabKernel.IsFilledAsync(again.ImageOf(1), 2 << 20, 1 << 20, 0x33));

        // Gone for good: it can be left, in time, and nothing stays.
        await again.KillAsync();
        started = TimeProvider.System.GetTimestamp();
        Assert.Null(await layers.ExecuteAsync(order with { Verb = StorageVerb.Delete }, cancellationToken: Token));
        Assert.InRange(TimeProvider.System.GetElapsedTime(started), TimeSpan.Zero, s_bound);
        Assert.False(Directory.Exists($"/etc/iscsi/nodes/{target.Name}"));
        Assert.NotEqual(0, (await LabHost.RunAsync("iscsiadm", "-m", "session")).ExitCode);
    }

    private async Task<TgtTarget> StartAsync(TgtTarget? again = null)
    {
        var target = await TgtTarget.StartAsync(_directory, again?.Port, again?.Name);
        _targets.Add(target);
        return target;
    }

    private static StorageOrder Order(TgtTarget target) => new()
    {
        Verb = StorageVerb.Create,
        Layer = new() { Id = 1, Pm = PmId.New(), Category = StorageCategory.Iscsi, TargetIp = IPAddress.Loopback, TargetPort = target.Port, Target = target.Name, Lun = 1 },
    };
}

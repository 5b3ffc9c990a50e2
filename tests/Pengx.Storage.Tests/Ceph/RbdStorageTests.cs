using System.Diagnostics;
using Microsoft.Extensions.DependencyInjection;
using Pengx.Testing;

namespace Pengx.Storage.Tests;

/// <summary>What only the RBD backend has to get right, on a real cluster.</summary>
public sealed class RbdStorageTests : IAsyncLifetime
{
    private static readonly DataSize s_small = DataSize.FromMiB(8);

    private readonly CephCluster _cluster;
    private readonly RbdBench _bench;
    private readonly ProcessRunner _runner = new();

    public RbdStorageTests(CephCluster cluster)
    {
        _cluster = cluster;
        _bench = new(cluster, CephCluster.StoragePool);
    }

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    private RbdStorage Storage => _bench.Storage;

    private Storlink Storlink => _bench.Storlink;

    public async ValueTask InitializeAsync() => await _cluster.RequireAsync();

    public ValueTask DisposeAsync() => _bench.DisposeAsync();

    [Fact]
    public async Task The_image_has_the_disks_name_its_exact_size_and_the_lock_that_fences()
    {
        var spec = Spec() with { Size = new((3 * 512) + DataSize.FromMiB(1).Bytes) };
        await Storage.CreateAsync(Storlink, spec, cancellationToken: Token);

        var info = await RbdAsync("info", "--image", spec.Disk.ToString(), "--format", "json");
        Assert.Contains($"\"size\":{spec.Size.Bytes},", info, StringComparison.Ordinal);
        Assert.Contains("exclusive-lock", info, StringComparison.Ordinal);
        var location = Assert.IsType<RbdLocation>(await Storage.AttachAsync(Storlink, spec.Disk, DiskFormat.Raw, Token));
        Assert.Equal((CephCluster.StoragePool, spec.Disk.ToString(), CephCluster.User), (location.Pool, location.Image, location.User));
        Assert.Contains(_cluster.Keyring, await File.ReadAllTextAsync(location.ConfigurationFile!, Token), StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_pools_size_is_what_can_be_written_into_it_and_its_quota_counts()
    {
        var before = await Storage.MeasureAsync(Storlink, Token);
        Assert.InRange(before.Size.MiB, 3 * 1024, 4 * 1024);
        await _cluster.AdminAsync("ceph", "osd", "pool", "set-quota", CephCluster.StoragePool, "max_bytes", "104857600");
        try
        {
            Assert.InRange((await Storage.MeasureAsync(Storlink, Token)).Free.Bytes, 1, 104857600);
            var refused = await Assert.ThrowsAsync<InsufficientResourceException>(() => Storage.CreateAsync(Storlink, Spec() with { Size = DataSize.FromMiB(200) }, cancellationToken: Token));
            Assert.Contains("100 MiB", refused.Message, StringComparison.Ordinal);
        }
        finally
        {
            await _cluster.AdminAsync("ceph", "osd", "pool", "set-quota", CephCluster.StoragePool, "max_bytes", "0");
        }
    }

    [Fact]
    public async Task What_has_another_name_than_a_pool_is_refused_by_field()
    {
        foreach (var name in new[] { "", "-p", "rbd/image", "rbd/../x", "rbd@snap", "a b", ".hidden", "pool\nx", "pool:conf=/etc/passwd" })
        {
            var refused = await Assert.ThrowsAsync<InvalidFieldException>(() => Storage.CheckAsync(Storlink with { Link = name }, Token));
            Assert.Equal("link", refused.Field);
        }

        await Assert.ThrowsAsync<StorageException>(() => Storage.CheckAsync(Storlink with { Level = StorlinkLevel.File, Link = "/tmp" }, Token));
    }

    [Fact]
    public async Task A_pool_that_is_not_there_or_not_allowed_is_told_and_is_never_an_empty_one()
    {
        var nowhere = Storlink with { Link = "nosuchpool" };
        var missing = await Assert.ThrowsAsync<StorageException>(() => Storage.CheckAsync(nowhere, Token));
        Assert.Contains("nosuchpool", missing.Message, StringComparison.Ordinal);
        await Assert.ThrowsAsync<StorageException>(() => Storage.FindAsync(nowhere, DiskId.New(), DiskFormat.Raw, Token));
        await Assert.ThrowsAsync<StorageException>(() => Storage.DeleteAsync(nowhere, DiskId.New(), Token));
        await Assert.ThrowsAsync<StorageException>(() => Storage.MeasureAsync(nowhere, Token));

        // A key of another user's.
        var wrong = _bench.PathOf("wrong.keyring");
        await _cluster.AdminAsync("ceph-authtool", "-C", wrong, "-g", "-n", $"client.{CephCluster.User}");
        var options = _bench.Options;
        options.Keyring = wrong;
        options.StateDirectory = _bench.PathOf("wrong");
        var denied = await Assert.ThrowsAsync<StorageException>(() => RbdBench.Create(options).FindAsync(Storlink, DiskId.New(), DiskFormat.Raw, Token));
        Assert.Contains("key is wrong", denied.Message, StringComparison.Ordinal);
        await Assert.ThrowsAsync<StorageException>(() => RbdBench.Create(options).MeasureAsync(Storlink, Token));

        // No key at all.
        options.Keyring = _bench.PathOf("none.keyring");
        var absent = await Assert.ThrowsAsync<StorageException>(() => RbdBench.Create(options).FindAsync(Storlink, DiskId.New(), DiskFormat.Raw, Token));
        Assert.Contains("keyring", absent.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Strangers_images_are_left_alone_and_not_listed()
    {
        string[] strangers = ["-x", "golden", $"{DiskId.New()}-old", DiskId.New().ToString().ToUpperInvariant(), $".{DiskId.New()}"];
        try
        {
            foreach (var name in strangers)
            {
                await RbdAsync("create", "--size", "1M", $"--image={name}");
            }

            await Storage.CheckAsync(Storlink, Token);
            Assert.Empty(await _bench.ListAsync(Token));
        }
        finally
        {
            foreach (var name in strangers)
            {
                await RbdAsync("rm", "--no-progress", $"--image={name}");
            }
        }
    }

    [Fact]
    public async Task What_an_interrupted_call_left_is_listed_as_incomplete_and_goes_with_the_next_call()
    {
        var spec = Spec();
        await RbdAsync("create", "--size", "4M", "--image", $".{spec.Disk}.part-0123456789ab");
        await RbdAsync("create", "--size", "4M", "--image", spec.Disk.ToString());
        await RbdAsync("trash", "mv", "--image", spec.Disk.ToString());
        Assert.Equal([false, false], (await _bench.ListAsync(Token)).Select(entry => entry.Complete));
        Assert.Null(await Storage.FindAsync(Storlink, spec.Disk, DiskFormat.Raw, Token));

        await Storage.CreateAsync(Storlink, spec, cancellationToken: Token);
        Assert.True(Assert.Single(await _bench.ListAsync(Token)).Complete);
        await RbdAsync("trash", "mv", "--image", spec.Disk.ToString());
        await Storage.DeleteAsync(Storlink, spec.Disk, Token);
        Assert.Empty(await _bench.ListAsync(Token));
    }

    [Fact]
    public async Task A_clone_shows_what_is_beneath_keeps_it_from_going_and_can_be_made_to_stand_alone()
    {
        var below = Spec();
        await Storage.CreateAsync(Storlink, below, cancellationToken: Token);
        var backing = await LayerAsync(below.Disk);
        await WriteAsync(backing, 0, 131072, 0x33);
        var spec = Spec() with { Backing = backing, Size = DataSize.FromMiB(16) };
        var volume = await Storage.CreateAsync(Storlink, spec, cancellationToken: Token);
        var clone = await LayerAsync(spec.Disk);
        await WriteAsync(clone, 0, 65536, 0x44);

        Assert.Equal(DataSize.FromMiB(16), volume.Size);
        Assert.True(volume.Allocated < DataSize.FromMiB(4), volume.ToString());
        await AssertContentAsync(clone, 0, 65536, 0x44);
        await AssertContentAsync(clone, 65536, 65536, 0x33);
        await AssertContentAsync(clone, s_small.Bytes, s_small.Bytes, 0);
        await AssertContentAsync(backing, 0, 131072, 0x33);

        var refused = await Assert.ThrowsAsync<InUseException>(() => Storage.DeleteAsync(Storlink, below.Disk, Token));
        Assert.Contains(spec.Disk.ToString(), refused.Message, StringComparison.Ordinal);
        Assert.Equal(2, (await _bench.ListAsync(Token)).Count(entry => entry.Complete));

        Assert.True(Storage.TryGetFeature<IVolumeSnapshots>(out var snapshots));
        await snapshots.FlattenAsync(Storlink, spec.Disk, Token);
        await snapshots.FlattenAsync(Storlink, spec.Disk, Token);
        await Storage.DeleteAsync(Storlink, below.Disk, Token);
        await AssertContentAsync(clone, 65536, 65536, 0x33);

        // By its name as well as by its location; and not of one that is not there.
        Assert.True(Storage.TryGetFeature<IVolumeClone>(out var clones));
        Assert.True(await clones.CanCloneAsync(Storlink, spec.Disk, Token));
        Assert.False(await clones.CanCloneAsync(Storlink, below.Disk, Token));
        await Assert.ThrowsAsync<StorageException>(() => clones.CloneAsync(Storlink, below.Disk, Spec(), Token));
        var second = Spec() with { Size = DataSize.FromMiB(16) };
        await clones.CloneAsync(Storlink, spec.Disk, second, Token);
        await AssertContentAsync(await LayerAsync(second.Disk), 65536, 65536, 0x33);
        await Storage.DeleteAsync(Storlink, second.Disk, Token);

        // A snapshot that a crash left before there was a clone does not keep its disk for ever.
        await RbdAsync("snap", "create", "--no-progress", "--image", spec.Disk.ToString(), "--snap", $"pengx-clone-{DiskId.New()}");
        await Storage.DeleteAsync(Storlink, spec.Disk, Token);
        Assert.Empty(await _bench.ListAsync(Token));
    }

    [Fact]
    public async Task A_snapshot_keeps_the_content_and_gives_it_back()
    {
        var spec = Spec();
        await Storage.CreateAsync(Storlink, spec, cancellationToken: Token);
        var layer = await LayerAsync(spec.Disk);
        await WriteAsync(layer, 0, 65536, 0x11);
        Assert.True(Storage.TryGetFeature<IVolumeSnapshots>(out var snapshots));
        SnapshotId id = SnapshotId.New();
        await snapshots.SnapshotAsync(Storlink, spec.Disk, id, Token);
        await snapshots.SnapshotAsync(Storlink, spec.Disk, id, Token);
        await WriteAsync(layer, 0, 65536, 0x22);
        Assert.Equal([id], await snapshots.ListSnapshotsAsync(Storlink, spec.Disk, Token));

        var refused = await Assert.ThrowsAsync<InUseException>(() => Storage.DeleteAsync(Storlink, spec.Disk, Token));
        Assert.Contains(id.ToString(), refused.Message, StringComparison.Ordinal);
        Assert.True(Assert.Single(await _bench.ListAsync(Token)).Complete);

        await snapshots.RevertAsync(Storlink, spec.Disk, id, Token);
        await AssertContentAsync(layer, 0, 65536, 0x11);
        await snapshots.DeleteSnapshotAsync(Storlink, spec.Disk, id, Token);
        await snapshots.DeleteSnapshotAsync(Storlink, spec.Disk, id, Token);
        await Storage.DeleteAsync(Storlink, spec.Disk, Token);
    }

    [Fact]
    public async Task A_writer_of_another_host_keeps_the_disk_to_itself_and_is_named()
    {
        var spec = Spec();
        await Storage.CreateAsync(Storlink, spec, cancellationToken: Token);
        var layer = await LayerAsync(spec.Disk);

        // As another host's backend sees it, which has not got the writer's address.
        RbdStorage other = new(_runner, _bench.Options) { IsOwnAddress = static _ => false };
        await WhileOpenAsync(layer, async () =>
        {
            var refused = await Assert.ThrowsAsync<InUseException>(() => other.AttachAsync(Storlink, spec.Disk, DiskFormat.Raw, Token));
            Assert.True(other.TryGetFeature<IVolumeUsers>(out var users));
            var user = Assert.Single(await users.ListUsersAsync(Storlink, spec.Disk, Token));
            Assert.False(user.IsLocal);
            Assert.StartsWith("client.", user.Name, StringComparison.Ordinal);
            Assert.Contains(user.Name, refused.Message, StringComparison.Ordinal);
            Assert.Contains("at 127.0.0.1:", refused.Message, StringComparison.Ordinal);
            Assert.Equal(layer.Location, await users.AttachForMigrationAsync(Storlink, spec.Disk, DiskFormat.Raw, Token));

            // For this host it is the guest itself, as far as can be told from here.
            Assert.Equal(layer.Location, await Storage.AttachAsync(Storlink, spec.Disk, DiskFormat.Raw, Token));
            Assert.True(Assert.Single(await Storage.ListUsersAsync(Storlink, spec.Disk, Token)).IsLocal);

            // A copy of what somebody writes would be torn.
            var copy = Spec() with { Source = layer };
            await Assert.ThrowsAsync<InUseException>(() => Storage.CreateAsync(Storlink, copy, cancellationToken: Token));
        });
    }

    [Fact]
    public async Task An_image_that_is_opened_on_its_way_to_the_trash_comes_back()
    {
        var spec = Spec();
        await Storage.CreateAsync(Storlink, spec, cancellationToken: Token);
        await WhileOpenAsync(await LayerAsync(spec.Disk), async () =>
        {
            await RbdAsync("trash", "mv", "--image", spec.Disk.ToString());
            await Assert.ThrowsAsync<InUseException>(() => Storage.DeleteAsync(Storlink, spec.Disk, Token));
            Assert.True(Assert.Single(await _bench.ListAsync(Token)).Complete);
        });
    }

    [Fact]
    public async Task A_cancelled_copy_leaves_nothing_at_once()
    {
        // Less than the cluster takes a dead client for alive: waiting for that would not do.
        _bench.Options.WatchExpiry = TimeSpan.FromSeconds(1);
        var source = _bench.PathOf("source.raw");
        await RunAsync("qemu-img", "create", "-q", "-f", "raw", source, "256M");
        await RunAsync("qemu-io", "-f", "raw", "-c", "write -P 9 0 256M", source);
        using var cancel = CancellationTokenSource.CreateLinkedTokenSource(Token);
        var copy = Spec() with { Size = DataSize.FromMiB(256), Source = new(new FileLocation(source), DiskFormat.Raw) };
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => Storage.CreateAsync(Storlink, copy, new Trigger(cancel.Cancel), cancel.Token));

        Assert.Empty(await _bench.ListAsync(Token));
    }

    [Fact]
    public async Task An_image_laid_there_by_hand_is_judged_before_it_is_taken()
    {
        var disk = DiskId.New();
        await Assert.ThrowsAsync<StorageException>(() => Storage.InspectImportAsync(Storlink, disk, DiskFormat.Raw, Token));
        await RbdAsync("create", "--size", "1000B", "--image", disk.ToString());
        var odd = await Assert.ThrowsAsync<StorageException>(() => Storage.InspectImportAsync(Storlink, disk, DiskFormat.Raw, Token));
        Assert.Contains("1000 bytes", odd.Message, StringComparison.Ordinal);
        await RbdAsync("resize", "--no-progress", "--size", "1024B", "--image", disk.ToString());
        Assert.Equal(new(1024), (await Storage.InspectImportAsync(Storlink, disk, DiskFormat.Raw, Token)).Size);
    }

    [Fact]
    public async Task It_is_registered_and_no_secret_is_in_any_argument()
    {
        Recorder recorder = new(_runner);
        ServiceCollection services = new();
        services.AddSingleton<IProcessRunner>(recorder);
        services.AddPengx().AddCephStorage(options =>
        {
            var ours = _bench.Options;
            options.ConfigurationFile = ours.ConfigurationFile;
            options.Keyring = ours.Keyring;
            options.User = ours.User;
            options.StateDirectory = ours.StateDirectory;
        });
        await using var provider = services.BuildServiceProvider();
        var storage = Assert.IsType<RbdStorage>(Assert.Single(provider.GetServices<IStorageBackend>()));
        var spec = Spec();
        await storage.CreateAsync(Storlink, spec, cancellationToken: Token);
        await storage.DeleteAsync(Storlink, spec.Disk, Token);

        var key = (await File.ReadAllTextAsync(_cluster.Keyring, Token)).Split("key = ")[1].Split('\n')[0].Trim();
        Assert.True(key.Length > 20);
        Assert.NotEmpty(recorder.Commands);
        Assert.All(recorder.Commands, command =>
        {
            Assert.DoesNotContain(command.Arguments, argument => argument.Contains(key, StringComparison.Ordinal));
            Assert.NotEqual(Timeout.InfiniteTimeSpan, command.Timeout);
        });
    }

    [Fact]
    public async Task A_kernel_without_the_driver_is_told_and_nothing_is_left()
    {
        Assert.SkipWhen(Directory.Exists("/sys/bus/rbd"), "This kernel has the RBD driver.");
        var options = _bench.Options;
        options.Attach = CephAttachMode.Kernel;
        var storage = RbdBench.Create(options);
        var spec = Spec();
        await storage.CreateAsync(Storlink, spec, cancellationToken: Token);
        var failure = await Assert.ThrowsAsync<UnavailableException>(() => storage.AttachAsync(Storlink, spec.Disk, DiskFormat.Raw, Token));
        Assert.Contains("module rbd", failure.Message, StringComparison.Ordinal);
        await storage.DetachAsync(Storlink, spec.Disk, Token);
        await storage.DeleteAsync(Storlink, spec.Disk, Token);
    }

    private static VolumeSpec Spec() => new() { Disk = DiskId.New(), Format = DiskFormat.Raw, Size = s_small };

    private async Task<DiskLayer> LayerAsync(DiskId disk) => new(await Storage.AttachAsync(Storlink, disk, DiskFormat.Raw, Token), DiskFormat.Raw);

    private async Task<string> RbdAsync(string verb, params string[] arguments)
    {
        // Verbs of two words come as two.
        string[] line = verb is "trash" or "snap" ? [verb, arguments[0], "--pool", CephCluster.StoragePool, .. arguments[1..]] : [verb, "--pool", CephCluster.StoragePool, .. arguments];
        return (await _cluster.AdminAsync("rbd", line)).Output;
    }

    private Task<ProcessResult> WriteAsync(DiskLayer layer, long offset, long length, byte value) =>
        RunAsync("qemu-io", "-f", "raw", "-c", $"write -P {value} {offset} {length}", ImageTool.NameOf(layer));

    private async Task AssertContentAsync(DiskLayer layer, long offset, long length, byte value)
    {
        var result = await RunAsync("qemu-io", "-f", "raw", "-r", "-c", $"read -P {value} {offset} {length}", ImageTool.NameOf(layer));
        Assert.DoesNotContain("verification failed", result.Output, StringComparison.OrdinalIgnoreCase);
    }

    private async Task WhileOpenAsync(DiskLayer layer, Func<Task> work)
    {
        using var close = CancellationTokenSource.CreateLinkedTokenSource(Token);
        TaskCompletionSource opened = new(TaskCreationOptions.RunContinuationsAsynchronously);
        var holder = _runner.RunAsync(
            new()
            {
                FileName = "qemu-io",

                // The dump is larger than the tool's output buffer, so its first lines come while the image stays open.
                Arguments = ["-f", "raw", "-c", "read -v 0 16384", "-c", "sleep 50000", ImageTool.NameOf(layer)],
                OnOutputLine = _ => opened.TrySetResult(),
            },
            close.Token);
        try
        {
            await Task.WhenAny(opened.Task, holder);
            Assert.False(holder.IsCompleted);
            await work();
        }
        finally
        {
            await close.CancelAsync();
            await ((Task)holder).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private async Task<ProcessResult> RunAsync(string program, params string[] arguments)
    {
        Requires.Tool(program, "qemu");
        return (await _runner.RunAsync(new() { FileName = program, Arguments = arguments }, Token)).EnsureSuccess();
    }

    private sealed class Trigger(Action action) : IProgress<ByteProgress>
    {
        public void Report(ByteProgress value) => action();
    }

    private sealed class Recorder(IProcessRunner inner) : IProcessRunner
    {
        public List<ProcessCommand> Commands { get; } = [];

        public Task<ProcessResult> RunAsync(ProcessCommand command, CancellationToken cancellationToken = default)
        {
            Commands.Add(command);
            return inner.RunAsync(command, cancellationToken);
        }
    }
}

using Pengx.Storage;

namespace Pengx.Lab;

/// <summary>NFS with the kernel's client and the kernel's server, both on this host.</summary>
public sealed class NfsTests : IAsyncLifetime
{
    private const string Limits = "/etc/nfs.conf.d/pengx-lab.conf";

    private string _directory = "";
    private IAsyncDisposable? _server;

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    private string Export => Path.Combine(_directory, "export");

    private string Point => Path.Combine(_directory, "mount");

    private string Leases => Path.Combine(_directory, "leases");

    /// <inheritdoc/>
    public async ValueTask InitializeAsync()
    {
        await LabKernel.LoadAsync("nfsd", "nfs");
        _directory = LabKernel.Folder();
        Directory.CreateDirectory(Export);

        // A server that came back waits this long for its clients.
        Directory.CreateDirectory(Path.GetDirectoryName(Limits)!);
        await File.WriteAllTextAsync(Limits, "[nfsd]\ngrace-time=10\nlease-time=10\n", Token);
        _server = await LabKernel.StartAsync("nfs-server");
        await ShareAsync();
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        ProcessRunner runner = new();
        Task<ProcessResult> Run(string program, params string[] arguments) => runner.RunAsync(new() { FileName = program, Arguments = arguments, Timeout = TimeSpan.FromSeconds(60) });
        if (_server is not null)
        {
            await Run("umount", "--force", "--lazy", Point);
            await Run("exportfs", "-u", $"127.0.0.1:{Export}");
            await _server.DisposeAsync();
        }

        File.Delete(Limits);
        if (_directory.Length > 0)
        {
            Directory.Delete(_directory, recursive: true);
        }
    }

    /// <summary>Mounted, measured, used, unmounted.</summary>
    [Fact]
    public async Task An_export_is_mounted_used_and_left()
    {
        NfsLayers layers = new(new ProcessRunner(), leaseDirectory: Leases);
        var nothing = Order(StorageVerb.Create) with { Layer = Order(StorageVerb.Create).Layer with { Target = "127.0.0.1:/nothing-here" } };
        var refused = await Assert.ThrowsAsync<StoragePlanFailedException>(() => layers.ExecuteAsync(nothing, cancellationToken: Token));
        Assert.Contains("No such file or directory", refused.Message, StringComparison.Ordinal);
        Assert.False(Directory.Exists(Point));

        var state = (await layers.ExecuteAsync(Order(StorageVerb.Create), cancellationToken: Token))!;
        Assert.True(state.Attached);

        // The client counts in units of what it writes at once.
        Assert.InRange(state.Layer.Size.Bytes - new DriveInfo(Export).TotalSize, 0, 1 << 20);
        Assert.InRange(state.Layer.Free.Bytes, 1, state.Layer.Size.Bytes);
        Assert.Empty((await layers.PlanAsync(Order(StorageVerb.Create), Token)).Steps);
        await File.WriteAllTextAsync(Path.Combine(Point, "file"), "content", Token);
        Assert.Equal("content", await File.ReadAllTextAsync(Path.Combine(Export, "file"), Token));
        await using (File.OpenRead(Path.Combine(Point, "file")))
        {
            var busy = await Assert.ThrowsAsync<StoragePlanFailedException>(() => layers.ExecuteAsync(Order(StorageVerb.Detach), cancellationToken: Token));
            Assert.Contains("busy", busy.Message, StringComparison.Ordinal);
        }

        Assert.False((await layers.ExecuteAsync(Order(StorageVerb.Detach), cancellationToken: Token))!.Attached);
        Assert.Null(await layers.ExecuteAsync(Order(StorageVerb.Delete), cancellationToken: Token));
        Assert.False(Directory.Exists(Point));
        Assert.True(File.Exists(Path.Combine(Export, "file")));
    }

    /// <summary>The contract of disks as files holds on a mount of the kernel's.</summary>
    [Fact]
    public async Task A_disk_on_the_mount_is_made_copied_grown_and_removed()
    {
        NfsLayers layers = new(new ProcessRunner(), leaseDirectory: Leases);
        await layers.ExecuteAsync(Order(StorageVerb.Create), cancellationToken: Token);
        LocalStorage storage = new(new ProcessRunner());
        var link = Pengx.Storage.Tests.TemporaryStorlink.For(Point, StorlinkType.Nfs);
        await storage.CheckAsync(link, Token);
        foreach (var format in new[] { DiskFormat.Raw, DiskFormat.Qcow2 })
        {
            VolumeSpec spec = new() { Disk = DiskId.New(), Format = format, Size = DataSize.FromMiB(8) };
            await storage.CreateAsync(link, spec, cancellationToken: Token);
            var path = (await storage.AttachAsync(link, spec.Disk, format, Token)).ToString()!;
            await LabHost.OutputAsync("qemu-io", "-f", format.Name, "-c", "write -P 17 0 1M", path);
            var copy = spec with { Disk = DiskId.New(), Source = new(new FileLocation(path), format) };
            await storage.CreateAsync(link, copy, cancellationToken: Token);
            await storage.GrowAsync(link, copy.Disk, format, DataSize.FromMiB(16), Token);
            var copied = (await storage.AttachAsync(link, copy.Disk, format, Token)).ToString()!;
            var read = await LabHost.OutputAsync("qemu-io", "-f", format.Name, "-r", "-c", "read -P 17 0 1M", "-c", "read -P 0 8M 8M", copied);
            Assert.DoesNotContain("failed", read, StringComparison.Ordinal);
            await storage.DeleteAsync(link, spec.Disk, Token);
            await storage.DeleteAsync(link, copy.Disk, Token);
        }

        await layers.ExecuteAsync(Order(StorageVerb.Delete), cancellationToken: Token);
        Assert.DoesNotContain(Directory.EnumerateFileSystemEntries(Export), entry => Path.GetFileName(entry)[0] != '.');
    }

    /// <summary>The server goes away during a write: the layer says so in time, the write ends well when the server is back.</summary>
    [Fact]
    public async Task A_server_that_goes_away_is_told_in_time_and_writes_go_on_when_it_is_back()
    {
        NfsLayers layers = new(new ProcessRunner(), new() { Timeout = TimeSpan.FromSeconds(8) }, Leases);
        await layers.ExecuteAsync(Order(StorageVerb.Create), cancellationToken: Token);
        var file = Path.Combine(Point, "written");
        var writer = LabHost.RunAsync("dd", "if=/dev/zero", $"of={file}", "bs=64k", "count=800", "oflag=direct");
        await LabHost.UntilAsync("first write", () => Task.FromResult(new FileInfo(Path.Combine(Export, "written"))), there => there is { Exists: true, Length: > 0 });
        await LabHost.OutputAsync("rpc.nfsd", "0");
        Assert.False(writer.IsCompleted);
        var started = TimeProvider.System.GetTimestamp();
        var state = (await layers.InspectAsync(Order(StorageVerb.Attach).Layer, Token))!;
        Assert.True(state.Attached);
        Assert.Contains("does not answer", Assert.Single(state.Warnings), StringComparison.Ordinal);
        var plan = await layers.PlanAsync(Order(StorageVerb.Detach), Token);
        Assert.Contains("does not answer", Assert.Single(plan.Warnings), StringComparison.Ordinal);
        Assert.InRange(TimeProvider.System.GetElapsedTime(started), TimeSpan.Zero, TimeSpan.FromSeconds(60));

        await LabHost.OutputAsync("rpc.nfsd", "4");
        Assert.Equal(0, (await writer).ExitCode);
        Assert.Equal(800 * 65536, new FileInfo(Path.Combine(Export, "written")).Length);
        Assert.Empty((await layers.InspectAsync(Order(StorageVerb.Attach).Layer, Token))!.Warnings);

        // It goes away for good: the mount is left all the same.
        await LabHost.OutputAsync("rpc.nfsd", "0");
        started = TimeProvider.System.GetTimestamp();
        await layers.ExecuteAsync(Order(StorageVerb.Detach), cancellationToken: Token);
        Assert.InRange(TimeProvider.System.GetElapsedTime(started), TimeSpan.Zero, TimeSpan.FromSeconds(60));
        Assert.DoesNotContain(Point, await File.ReadAllTextAsync("/proc/self/mountinfo", Token), StringComparison.Ordinal);
        await Assert.ThrowsAsync<UnavailableException>(() => layers.ExecuteAsync(Order(StorageVerb.Attach), cancellationToken: Token));
        await LabHost.OutputAsync("rpc.nfsd", "4");
        Assert.True((await layers.ExecuteAsync(Order(StorageVerb.Attach), cancellationToken: Token))!.Attached);
        Assert.Equal(800 * 65536, new FileInfo(file).Length);
        await layers.ExecuteAsync(Order(StorageVerb.Delete), cancellationToken: Token);
    }

    /// <summary>The exported directory is another one now: the stale mount is told, taken off and mounted anew.</summary>
    [Fact]
    public async Task A_stale_mount_is_told_and_mounted_anew()
    {
        NfsLayers layers = new(new ProcessRunner(), new() { Timeout = TimeSpan.FromSeconds(8) }, Leases);
        await layers.ExecuteAsync(Order(StorageVerb.Create), cancellationToken: Token);
        await LabHost.OutputAsync("exportfs", "-u", $"127.0.0.1:{Export}");
        Directory.Move(Export, $"{Export}.old");
        Directory.CreateDirectory(Export);
        await File.WriteAllTextAsync(Path.Combine(Export, "new"), "content", Token);
        Directory.Delete($"{Export}.old", recursive: true);
        await ShareAsync();

        var state = (await layers.InspectAsync(Order(StorageVerb.Attach).Layer, Token))!;
        Assert.Contains("Stale", Assert.Single(state.Warnings), StringComparison.OrdinalIgnoreCase);
        var plan = await layers.PlanAsync(Order(StorageVerb.Attach), Token);
        Assert.Contains("mounted anew", Assert.Single(plan.Warnings), StringComparison.Ordinal);
        Assert.Empty((await layers.ExecuteAsync(Order(StorageVerb.Attach), cancellationToken: Token))!.Warnings);
        Assert.Equal("content", await File.ReadAllTextAsync(Path.Combine(Point, "new"), Token));
        Assert.Null(await layers.ExecuteAsync(Order(StorageVerb.Delete), cancellationToken: Token));
    }

    private Task<string> ShareAsync() => LabHost.OutputAsync("exportfs", "-o", "rw,sync,no_root_squash,no_subtree_check,insecure,fsid=78", $"127.0.0.1:{Export}");

    private StorageOrder Order(StorageVerb verb) => new()
    {
        Verb = verb,
        Layer = new() { Id = 1, Pm = PmId.New(), Category = StorageCategory.Nfs, Target = $"127.0.0.1:{Export}", MountPoint = Point },
    };
}

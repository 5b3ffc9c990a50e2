using Pengx.Testing;

namespace Pengx.Storage.Tests;

public sealed class LocalLayersTests : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("pengx-local-").FullName;
    private readonly WatchingRunner _runner = new();

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    private LocalLayers Layers => new(_runner, leaseDirectory: Path.Combine(_directory, "leases"));

    private string Point => Path.Combine(_directory, "mnt");

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Fact]
    public async Task A_device_that_got_the_name_of_another_one_is_neither_wiped_nor_mounted()
    {
        await using var own = await LoopDevice.CreateAsync(32 << 20, Token);
        await using var other = await LoopDevice.CreateAsync(32 << 20, Token);
        var (ownUuid, otherUuid) = (Guid.NewGuid().ToString(), Guid.NewGuid().ToString());
        await LoopDevice.RunAsync("mkfs.ext4", "-q", "-U", ownUuid, own.Path);
        await LoopDevice.RunAsync("mkfs.ext4", "-q", "-U", otherUuid, other.Path);
        await (await LoopFileSystem.MountAsync("ext4", DataSize.FromMiB(32))).DisposeAsync();

        // A row of before has no identity: attaching takes it up, looking at what is not mounted does not.
        var order = Order(StorageVerb.Attach, own.Path);
        Assert.Null((await Layers.InspectAsync(order.Layer, Token))!.Layer.Uuid);
        var attached = (await Layers.ExecuteAsync(order, cancellationToken: Token))!;
        Assert.Equal((true, ownUuid), (attached.Attached, attached.Layer.Uuid));
        order = order with { Layer = attached.Layer };
        Assert.Empty((await Layers.PlanAsync(order, Token)).Steps);
        Assert.False((await Layers.ExecuteAsync(order with { Verb = StorageVerb.Detach }, cancellationToken: Token))!.Attached);

        // After a reboot the other disk may have the name.
        var renamed = order with { Layer = order.Layer with { DeviceId = other.Path } };
        foreach (var verb in (StorageVerb[])[StorageVerb.Attach, StorageVerb.Delete, StorageVerb.Resize])
        {
            var refused = await Assert.ThrowsAsync<StorageException>(() => Layers.ExecuteAsync(renamed with { Verb = verb }, cancellationToken: Token));
            Assert.Equal($"{other.Path} is not the device of this layer: it must hold ext4 {ownUuid}, but it holds 'ext4 {otherUuid}'; nothing was changed.", refused.Message);
        }

        // Nor when it gets the name after the plan.
        var plan = await Layers.PlanAsync(order with { Verb = StorageVerb.Delete }, Token);
        await LoopDevice.RunAsync("e2fsck", "-f", "-p", own.Path); // tune2fs changes none that was mounted since its last check
        await LoopDevice.RunAsync("tune2fs", "-f", "-U", Guid.NewGuid().ToString(), own.Path);
        await Assert.ThrowsAsync<StoragePlanFailedException>(() => new StoragePlanExecutor(_runner).ExecuteAsync(plan, Token));
        Assert.DoesNotContain(_runner.Commands, command => command.StartsWith("wipefs --all", StringComparison.Ordinal));
        Assert.Null(await new FormatGuard(_runner).Holds(other.Path, "ext4", otherUuid).VerifyAsync(Token));

        // The right one is deleted, and so once more.
        await LoopDevice.RunAsync("tune2fs", "-f", "-U", ownUuid, own.Path);
        await Layers.ExecuteAsync(order with { Verb = StorageVerb.Delete }, cancellationToken: Token);
        Assert.Null(await new FormatGuard(_runner).HoldsNothing(own.Device).VerifyAsync(Token));
        Assert.Empty((await Layers.PlanAsync(order with { Verb = StorageVerb.Delete }, Token)).Steps);
    }

    [Theory]
    [InlineData("ext4", 32)]
    [InlineData("xfs", 320)]
    public async Task A_creation_that_is_run_anew_knows_the_file_system_that_it_made(string type, int size)
    {
        await (await LoopFileSystem.MountAsync(type, DataSize.FromMiB(size))).DisposeAsync();
        await using var loop = await LoopDevice.CreateAsync((long)size << 20, Token);
        var order = Order(StorageVerb.Create, loop.Path, type) with { FileSystem = type };
        order = order with { Layer = order.Layer with { Uuid = Guid.NewGuid().ToString() } };
        var format = (await Layers.PlanAsync(order, Token)).Steps.Single(step => step.Risk == StorageRisk.Destructive);
        Assert.Contains(order.Layer.Uuid!, format.Action.ToString()!, StringComparison.Ordinal);

        // The service dies right after mkfs: all of the plan that was carried out.
        (await _runner.RunAsync(((ToolAction)format.Action).Command, Token)).EnsureSuccess();
        var stranger = order with { Layer = order.Layer with { Uuid = Guid.NewGuid().ToString() } };
        Assert.Contains("must name it", (await Assert.ThrowsAsync<StorageException>(() => Layers.ExecuteAsync(stranger, cancellationToken: Token))).Message, StringComparison.Ordinal);
        var state = (await Layers.ExecuteAsync(order, cancellationToken: Token))!;
        try
        {
            Assert.Equal((true, order.Layer.Uuid), (state.Attached, state.Layer.Uuid));
            Assert.Single(_runner.Commands, command => command.StartsWith("mkfs", StringComparison.Ordinal));
            Assert.Empty((await Layers.PlanAsync(order, Token)).Steps);
            Assert.Contains("is not the device of this layer", (await Assert.ThrowsAsync<StorageException>(() => Layers.PlanAsync(stranger, Token))).Message, StringComparison.Ordinal);
        }
        finally
        {
            await Layers.ExecuteAsync(order with { Verb = StorageVerb.Detach }, cancellationToken: CancellationToken.None);
        }
    }

    [Theory]
    [InlineData(UnixFileMode.None)]
    [InlineData(UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute)]
    public async Task Nothing_is_destroyed_for_a_directory_that_cannot_be_mounted_on(UnixFileMode mode)
    {
        await using var loop = await LoopDevice.CreateAsync(32 << 20, Token);
        var old = Guid.NewGuid().ToString();
        await LoopDevice.RunAsync("mkfs.ext4", "-q", "-U", old, loop.Path);
        Directory.CreateDirectory(Point, mode);
        await File.WriteAllTextAsync(Path.Combine(Point, "file"), "content", Token);
        var order = Order(StorageVerb.Create, loop.Path) with { FileSystem = "ext4", Consent = new($"ext4 {old}") };
        order = order with { Layer = order.Layer with { Uuid = Guid.NewGuid().ToString() } };
        var failed = await Assert.ThrowsAsync<StoragePlanFailedException>(() => Layers.ExecuteAsync(order, cancellationToken: Token));
        Assert.Contains("there is something in it", failed.Message, StringComparison.Ordinal);
        Assert.Empty(failed.Outcome.Done);
        Assert.Null(await new FormatGuard(_runner).Holds(loop.Path, "ext4", old).VerifyAsync(Token));
        Assert.Equal(mode, File.GetUnixFileMode(Point));

        // Nor where something is mounted.
        await using var other = await NamedMount.MountAsync("tmpfs", Point);
        Assert.Equal($"tmpfs (tmpfs) is mounted at {Point}.", (await Assert.ThrowsAsync<WrongStateException>(() => Layers.PlanAsync(order, Token))).Message);
    }

    [Fact]
    public async Task A_new_file_system_is_taken_back_and_that_of_another_one_is_not()
    {
        await using var loop = await LoopDevice.CreateAsync(32 << 20, Token);
        var order = Order(StorageVerb.Create, loop.Path) with { FileSystem = "ext4" };
        order = order with { Layer = order.Layer with { Uuid = Guid.NewGuid().ToString() } };
        var plan = await Layers.PlanAsync(order, Token);
        var other = Guid.NewGuid().ToString();
        var failed = await ExecuteUntilMountAsync(() => LoopDevice.RunAsync("mkfs.ext4", "-q", "-F", "-U", other, loop.Path));
        Assert.Equal([$"Make the directory {Point}"], failed.Outcome.Undone.Select(step => step.Description));
        Assert.Null(await new FormatGuard(_runner).Holds(loop.Path, "ext4", other).VerifyAsync(Token));

        await LoopDevice.RunAsync("blkdiscard", "-f", loop.Path);
        failed = await ExecuteUntilMountAsync(() => Task.CompletedTask);
        Assert.Contains($"Make an ext4 file system on {loop.Path}", failed.Outcome.Undone.Select(step => step.Description));
        Assert.Null(await new FormatGuard(_runner).HoldsNothing(loop.Device).VerifyAsync(Token));

        Task<StoragePlanFailedException> ExecuteUntilMountAsync(Func<Task> meanwhile)
        {
            NativeAction fails = new("fail", async _ =>
            {
                await meanwhile();
                throw new StorageException("It cannot be mounted.");
            });
            return Assert.ThrowsAsync<StoragePlanFailedException>(() => new StoragePlanExecutor(_runner).ExecuteAsync(plan with { Steps = [.. plan.Steps.SkipLast(1), plan.Steps[^1] with { Action = fails }] }, Token));
        }
    }

    [Theory]
    [InlineData(StorageVerb.Detach)]
    [InlineData(StorageVerb.Delete)]
    public async Task A_mount_whose_device_is_gone_is_left_and_that_of_another_one_is_told(StorageVerb verb)
    {
        const string Gone = "/dev/pengx-gone";
        Assert.Empty((await Layers.PlanAsync(Order(verb, Gone), Token)).Steps);
        await using (var mount = await NamedMount.MountAsync(Gone, Point))
        {
            Assert.Null(await Layers.ExecuteAsync(Order(verb, Gone), cancellationToken: Token));
            Assert.False(mount.IsThere);
        }

        await using var other = await NamedMount.MountAsync("tmpfs", Point);
        var refused = await Assert.ThrowsAsync<WrongStateException>(() => Layers.PlanAsync(Order(verb, Gone), Token));
        Assert.Equal($"tmpfs (tmpfs) is mounted at {Point}.", refused.Message);
        Assert.True(other.IsThere);
    }

    [Fact]
    public async Task What_does_not_answer_is_attached_with_a_warning_and_never_waited_for()
    {
        Directory.CreateDirectory(Point);
        StorageLayer directory = Order(StorageVerb.Attach, "").Layer with { DeviceId = null, FileSystem = null };
        var state = (await Layers.InspectAsync(directory, Token))!;
        Assert.Equal((true, new DataSize(new DriveInfo(Point).TotalSize)), (state.Attached, state.Layer.Size));
        Assert.NotEqual(default, state.Layer.Free);
        Assert.Empty(state.Warnings);
        Assert.Null(await Layers.InspectAsync(directory with { MountPoint = $"{Point}/none" }, Token));

        _runner.Before = command => throw ProcessFailedException.TimedOut(command, "");
        state = (await Layers.InspectAsync(directory, Token))!;
        Assert.True(state.Attached);
        Assert.StartsWith($"{Point} does not answer: ", Assert.Single(state.Warnings), StringComparison.Ordinal);
        await Assert.ThrowsAsync<UnavailableException>(() => Layers.PlanAsync(new() { Verb = StorageVerb.Delete, Layer = directory }, Token));

        // A device that is mounted is asked in the same way.
        await using var mounted = await LoopFileSystem.MountAsync("ext4", DataSize.FromMiB(32));
        var device = directory with { DeviceId = MountTable.FindOf(mounted.Directory, File.ReadLines("/proc/self/mountinfo"))!.Source, MountPoint = mounted.Directory };
        state = (await Layers.InspectAsync(device, Token))!;
        Assert.True(state.Attached);
        Assert.StartsWith($"{mounted.Directory} does not answer: ", Assert.Single(state.Warnings), StringComparison.Ordinal);
        _runner.Before = _ => null;
        state = (await Layers.InspectAsync(device, Token))!;
        Assert.Equal((true, new DataSize(new DriveInfo(mounted.Directory).TotalSize)), (state.Attached, state.Layer.Size));
    }

    private StorageOrder Order(StorageVerb verb, string device, string type = "ext4") => new()
    {
        Verb = verb,
        Layer = new() { Id = 1, Pm = PmId.New(), Category = StorageCategory.Local, DeviceId = device, MountPoint = Point, FileSystem = type },
    };
}

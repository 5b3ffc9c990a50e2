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
        var format = (await Layers.PlanAsync(order, Token)).Steps[0];
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

    private StorageOrder Order(StorageVerb verb, string device, string type = "ext4") => new()
    {
        Verb = verb,
        Layer = new() { Id = 1, Pm = PmId.New(), Category = StorageCategory.Local, DeviceId = device, MountPoint = Point, FileSystem = type },
    };
}

using Microsoft.Extensions.DependencyInjection;
using Moq;

namespace Pengx.Orchestration.Tests;

public sealed class StorageLayersTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public static TheoryData<string, StorageRequest> Refused => new()
    {
        { "category", new() },
        { "mount_point", new() { Category = StorageCategory.Local } },
        { "mount_point", new() { Category = StorageCategory.Local, MountPoint = "/srv/../etc" } },
        { "mount_point", new() { Category = StorageCategory.Local, MountPoint = "/srv/$(id)" } },
        { "filesystem", new() { Category = StorageCategory.Local, MountPoint = "/srv/x", DeviceId = "/dev/sdb", FileSystem = "ntfs" } },
        { "device_id", new() { Category = StorageCategory.PhysicalVolume, DeviceId = "/etc/passwd" } },
        { "device_id", new() { Category = StorageCategory.PhysicalVolume, DeviceId = "/dev/../etc/passwd" } },
        { "device_id", new() { Category = StorageCategory.PhysicalVolume, DeviceId = "99" } },
        { "size", new() { Category = StorageCategory.PhysicalVolume, DeviceId = "/dev/sdb", SizeMiB = 5 } },
        { "name", new() { Category = StorageCategory.VolumeGroup, PhysicalVolumeIds = "/dev/sdb" } },
        { "name", new() { Category = StorageCategory.VolumeGroup, Name = "-vg", PhysicalVolumeIds = "/dev/sdb" } },
        { "pv_ids", new() { Category = StorageCategory.VolumeGroup, Name = "vg" } },
        { "vg_id", new() { Category = StorageCategory.LogicalVolume, Name = "lv", SizeMiB = 5 } },
        { "size", new() { Category = StorageCategory.LogicalVolume, Name = "lv", VolumeGroupId = "vg" } },
        { "target_ip", new() { Category = StorageCategory.Iscsi, Target = "iqn.2026-11.org.example:a" } },
        { "target_ip", new() { Category = StorageCategory.Iscsi, Target = "iqn.2026-11.org.example:a", TargetIp = "san.example.org" } },
        { "target", new() { Category = StorageCategory.Iscsi, TargetIp = "192.0.2.1", Target = "iqn.2026.org.example:a" } },
        { "target", new() { Category = StorageCategory.Iscsi, TargetIp = "192.0.2.1", Target = "iqn.2026-11.org.Example:a" } },
        { "target_port", new() { Category = StorageCategory.Iscsi, TargetIp = "192.0.2.1", Target = "iqn.2026-11.org.example:a", TargetPort = 65536 } },
        { "chap_secret", new() { Category = StorageCategory.Iscsi, TargetIp = "192.0.2.1", Target = "iqn.2026-11.org.example:a", ChapUser = "host" } },
        { "chap_secret", new() { Category = StorageCategory.Iscsi, TargetIp = "192.0.2.1", Target = "iqn.2026-11.org.example:a", ChapUser = "host", ChapSecret = "two\nlines, long" } },
        { "target", new() { Category = StorageCategory.Nfs, MountPoint = "/mnt/x", Target = "/export" } },
        { "target", new() { Category = StorageCategory.Nfs, MountPoint = "/mnt/x", Target = "server:export" } },
        { "target", new() { Category = StorageCategory.Nfs, MountPoint = "/mnt/x", Target = "-o,x:/export" } },
        { "mount_options", new() { Category = StorageCategory.Nfs, MountPoint = "/mnt/x", Target = "server:/export", MountOptions = "exec,suid" } },
        { "target", new() { Category = StorageCategory.FibreChannel, Lun = 1, Target = "50:06" } },
        { "lun", new() { Category = StorageCategory.FibreChannel, Target = "50:06:01:60:3b:20:1f:2e" } },
        { "node", new() { Category = StorageCategory.Ocfs2, DeviceId = "/dev/sdb", MountPoint = "/mnt/o" } },
        { "drbd_peer_ip", new() { Category = StorageCategory.Drbd, DrbdResourceName = "r0", DrbdDisk = "/dev/sdb", DrbdIp = "192.0.2.1", DrbdMinor = 0, DrbdPeerIps = "192.0.2.1" } },
        { "drbd_minor", new() { Category = StorageCategory.Drbd, DrbdResourceName = "r0", DrbdDisk = "/dev/sdb", DrbdIp = "192.0.2.1", DrbdPeerIps = "192.0.2.2" } },
    };

    [Theory]
    [MemberData(nameof(Refused))]
    public async Task A_field_that_breaks_its_rule_is_named(string field, StorageRequest request)
    {
        await using var world = await World.StartedAsync();
        var error = await Assert.ThrowsAsync<InvalidFieldException>(() => world.Get<StorageLayers>().CreateAsync(request, null, Token));
        Assert.Equal(field, error.Field);
        Assert.DoesNotContain("two", error.Message, StringComparison.Ordinal);
        Assert.Empty(await world.Get<StorageLayers>().ListAsync(Token));
        Assert.False(Directory.Exists(Path.Combine(world.Home, "secrets")));
    }

    [Fact]
    public async Task A_directory_is_made_used_and_deleted_when_nothing_lies_in_it()
    {
        await using var world = await World.StartedAsync();
        var storages = world.Get<StorageLayers>();
        var request = world.LocalDirectory;
        var plan = await storages.PlanCreateAsync(request, Token);
        Assert.Equal($"mkdir -p {request.MountPoint}", Assert.Single(plan.Steps).Action.ToString());
        Assert.False(Directory.Exists(request.MountPoint));
        await world.DoneAsync(storages.CreateAsync(request, null, Token));
        var view = Assert.Single(await storages.ListAsync(Token));
        Assert.True(view.Attached);
        Assert.True(view.Layer.Size.Bytes > view.Layer.Free.Bytes && view.Layer.Free.Bytes > 0, $"{view.Layer}");
        Assert.Equal("mount_point", (await Assert.ThrowsAsync<InvalidFieldException>(() => storages.CreateAsync(request, null, Token))).Field);

        // A storage link on it, or a file in it, keeps it.
        var link = await world.DoneAsync(world.Storlinks.CreateAsync(new CreateStorlink { Name = "on it", Link = $"{request.MountPoint}/disks", Type = StorlinkType.Local, Level = StorlinkLevel.File }, null, Token));
        Assert.Contains("on it", (await Assert.ThrowsAsync<InUseException>(() => storages.DeleteAsync(view.Layer.Id, null, Token))).Message, StringComparison.Ordinal);
        await Assert.ThrowsAsync<InUseException>(() => storages.DetachAsync(view.Layer.Id, null, Token));
        Assert.True(StorlinkId.TryParse(link.Created!.Split('/')[1], out var id));
        await world.DoneAsync(world.Storlinks.DeleteAsync(id, null, Token));
        var file = Path.Combine(request.MountPoint!, "file");
        await File.WriteAllTextAsync(file, "content", Token);
        await Assert.ThrowsAsync<InUseException>(() => storages.DeleteAsync(view.Layer.Id, null, Token));
        File.Delete(file);
        await world.DoneAsync(storages.DeleteAsync(view.Layer.Id, null, Token));
        Assert.False(Directory.Exists(request.MountPoint));
        Assert.Empty(await storages.ListAsync(Token));
    }

    [Fact]
    public async Task What_was_there_before_survives_a_creation_that_fails()
    {
        await using var world = await World.StartedAsync();
        var storages = world.Get<StorageLayers>();
        var request = world.LocalDirectory;
        Directory.CreateDirectory(request.MountPoint!);
        world.Store.FailNextSave(new InvalidFieldException("mount_point", "x", "told to fail"));
        Assert.Equal(OperationState.Failed, (await world.EndedAsync(storages.CreateAsync(request, null, Token))).State);
        Assert.True(Directory.Exists(request.MountPoint));
        Directory.Delete(request.MountPoint!);
        world.Store.FailNextSave(new InvalidFieldException("mount_point", "x", "told to fail"));
        Assert.Equal(OperationState.Failed, (await world.EndedAsync(storages.CreateAsync(request, null, Token))).State);
        Assert.False(Directory.Exists(request.MountPoint));
        Assert.Empty(await storages.ListAsync(Token));
    }

    [Fact]
    public async Task A_category_without_a_driver_says_so()
    {
        await using var world = await World.StartedAsync();
        var error = await Assert.ThrowsAsync<StorageException>(() => world.Get<StorageLayers>().CreateAsync(new() { Category = StorageCategory.PhysicalVolume, DeviceId = "/dev/sdb" }, null, Token));
        Assert.Contains("pv", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_secret_waits_for_its_operation_through_a_restart_and_no_other_stays()
    {
        const string Secret = "correct-horse-battery";
        TaskCompletionSource<string> reached = new(TaskCreationOptions.RunContinuationsAsynchronously);
        TaskCompletionSource<string> read = new(TaskCreationOptions.RunContinuationsAsynchronously);
        var waits = true;
        await using var world = WithIscsi(async (order, token) =>
        {
            reached.TrySetResult(order.ChapSecretFile!);
            await Task.Delay(waits ? Timeout.InfiniteTimeSpan : TimeSpan.Zero, token);
            read.TrySetResult(await File.ReadAllTextAsync(order.ChapSecretFile!, token));
        });
        var secrets = Path.Combine(world.Home, "secrets");
        await world.StartAsync();
        var operation = await world.Get<StorageLayers>().CreateAsync(WithSecret(Secret), null, Token);
        var file = await reached.Task.WaitAsync(Token);
        Assert.Equal(secrets, Path.GetDirectoryName(file));

        // A service that is killed before the journal has its operation leaves a secret that nobody will fetch.
        await File.WriteAllTextAsync(Path.Combine(secrets, Guid.NewGuid().ToString("N")), Secret, Token);
        await File.WriteAllTextAsync(Path.Combine(secrets, "README"), "not ours", Token);
        waits = false;
        await world.StartAsync();
        Assert.Equal(OperationState.Succeeded, (await world.Operations.WaitAsync(operation.Id, Token)).State);
        Assert.Equal(Secret, await read.Task.WaitAsync(Token));
        Assert.Equal(["README"], Directory.EnumerateFiles(secrets).Select(Path.GetFileName));
    }

    [Fact]
    public async Task A_secret_of_an_operation_that_never_began_goes_with_the_next_one()
    {
        TaskCompletionSource held = new(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var world = WithIscsi((_, token) => held.Task.WaitAsync(token));
        await world.StartAsync();
        var secrets = Directory.CreateDirectory(Path.Combine(world.Home, "secrets")).FullName;
        var (old, young) = (Path.Combine(secrets, Guid.NewGuid().ToString("N")), Path.Combine(secrets, Guid.NewGuid().ToString("N")));
        await File.WriteAllTextAsync(old, "long", Token);
        await File.WriteAllTextAsync(young, "just now", Token);
        File.SetLastWriteTimeUtc(old, TimeProvider.System.GetUtcNow().AddHours(-1).UtcDateTime);
        var operation = await world.Get<StorageLayers>().CreateAsync(WithSecret("correct-horse-battery"), null, Token);

        // Of two that arrive at once, neither takes the other's away.
        Assert.False(File.Exists(old));
        Assert.Equal(2, Directory.EnumerateFiles(secrets).Count());
        held.SetResult();
        await world.Operations.WaitAsync(operation.Id, Token);
        Assert.Equal([young], Directory.EnumerateFiles(secrets));
    }

    [Fact]
    public async Task A_file_system_to_make_has_its_UUID_before_the_operation_begins()
    {
        List<string?> seen = [];
        var waits = true;
        TaskCompletionSource reached = new(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var world = WithIscsi(async (order, token) =>
        {
            seen.Add(order.Layer.Uuid);
            reached.TrySetResult();
            await Task.Delay(waits ? Timeout.InfiniteTimeSpan : TimeSpan.Zero, token);
        });
        await world.StartAsync();
        var operation = await world.Get<StorageLayers>().CreateAsync(WithSecret("correct-horse-battery") with { MountPoint = "/mnt/x", FileSystem = "ext4", Format = true }, null, Token);
        await reached.Task.WaitAsync(Token);
        waits = false;
        await world.StartAsync();
        Assert.Equal(OperationState.Succeeded, (await world.Operations.WaitAsync(operation.Id, Token)).State);
        Assert.Equal(2, seen.Count);
        Assert.True(Guid.TryParse(seen[0], out _));
        Assert.Equal(seen[0], seen[1]);
    }

    [Fact]
    public async Task What_is_not_attached_afterwards_is_not_reported_as_attached()
    {
        var attaches = true;
        List<StorageVerb> verbs = [];
        await using var world = WithIscsi(
            (order, _) =>
            {
                verbs.Add(order.Verb);
                return Task.CompletedTask;
            },
            () => attaches);
        await world.StartAsync();
        var storages = world.Get<StorageLayers>();
        await world.DoneAsync(storages.CreateAsync(WithSecret("correct-horse-battery"), null, Token));
        attaches = false;
        var failed = await world.EndedAsync(storages.AttachAsync(1, null, Token));
        Assert.Equal(OperationState.Failed, failed.State);
        Assert.Contains("Storage 1 (a) is not attached: another unit has got its number", failed.Message, StringComparison.Ordinal);
        Assert.Equal([StorageVerb.Create, StorageVerb.Attach, StorageVerb.Detach], verbs);
        failed = await world.EndedAsync(storages.CreateAsync(WithSecret("correct-horse-battery") with { Lun = 2 }, null, Token));
        Assert.Equal(OperationState.Failed, failed.State);
        Assert.Single(await storages.ListAsync(Token));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task The_undo_of_a_creation_leaves_what_it_adopted(bool adopts)
    {
        List<(StorageVerb, bool)> orders = [];
        await using var world = WithIscsi(
            (order, _) =>
            {
                orders.Add((order.Verb, order.KeepsContent));
                return Task.CompletedTask;
            },
            adopts: adopts);
        await world.StartAsync();
        world.Store.FailNextSave(new InvalidFieldException("target", "x", "told to fail"));
        Assert.Equal(OperationState.Failed, (await world.EndedAsync(world.Get<StorageLayers>().CreateAsync(WithSecret("correct-horse-battery"), null, Token))).State);

        Assert.Equal([(StorageVerb.Create, adopts), (StorageVerb.Delete, adopts)], orders);
    }

    private static StorageRequest WithSecret(string secret) => new()
    {
        Category = StorageCategory.Iscsi,
        TargetIp = "192.0.2.1",
        Target = "iqn.2026-11.org.example:a",
        ChapUser = "host",
        ChapSecret = secret,
    };

    /// <summary>A world whose driver for iSCSI does this with an order.</summary>
    private static World WithIscsi(Func<StorageOrder, CancellationToken, Task> execute, Func<bool>? attaches = null, bool adopts = false)
    {
        Mock<IStorageLayerDriver> driver = new();
        driver.Setup(port => port.Serves(StorageCategory.Iscsi)).Returns(true);
        driver.Setup(port => port.PlanAsync(It.IsAny<StorageOrder>(), It.IsAny<CancellationToken>())).ReturnsAsync(new StoragePlan { Title = "", Steps = [], Adopts = adopts });
        driver.Setup(port => port.ExecuteAsync(It.IsAny<StorageOrder>(), It.IsAny<StoragePlan?>(), It.IsAny<CancellationToken>()))
            .Returns(async (StorageOrder order, StoragePlan? _, CancellationToken token) =>
            {
                await execute(order, token);
                return attaches?.Invoke() == false
                    ? new StorageLayerState(order.Layer, "a", Attached: false) { Warnings = ["another unit has got its number"] }
                    : new StorageLayerState(order.Layer, "a", Attached: true);
            });
        return new() { Register = services => services.AddSingleton(driver.Object) };
    }
}

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

    /// <summary>A layer, and one that lies on it, as their rows name it.</summary>
    public static TheoryData<string, StorageLayer, StorageLayer> Stacked => new()
    {
        { "local on lv", Lv("vm/data"), Local("/dev/vm/data") },
        { "local on lv by device-mapper", Lv("vm-1/my-data"), Local("/dev/mapper/vm--1-my--data") },
        { "local on lv by-id", Lv("vm-1/data"), Local("/dev/disk/by-id/dm-name-vm--1-data") },
        { "local on lv by UUID", Lv("vm/data") with { VolumeGroupId = "Gr-1", Uuid = "Vo-2" }, Local("/dev/disk/by-id/dm-uuid-LVM-Gr1Vo2") },
        { "drbd on lv", Lv("vm/data"), Drbd(4) with { DrbdDisk = "/dev/vm/data" } },
        { "directory on mounted lv", Lv("vm/data") with { MountPoint = "/srv" }, Local(null) },
        { "ocfs2 on drbd", Drbd(4), Local("/dev/drbd4") with { Category = StorageCategory.Ocfs2, FileSystem = "ocfs2" } },
        { "local on drbd by resource", Drbd(4), Local("/dev/drbd/by-res/r4/0") },
        { "local on drbd by disk", Drbd(4) with { DrbdDisk = "/dev/vm/data" }, Local("/dev/drbd/by-disk/vm/data") },
        { "pv on iscsi", Unit(StorageCategory.Iscsi, "/dev/disk/by-path/ip-192.0.2.1:3260-iscsi-iqn-lun-0"), Pv("/dev/disk/by-path/ip-192.0.2.1:3260-iscsi-iqn-lun-0") },
        { "local on iscsi by WWID", Unit(StorageCategory.Iscsi, "/dev/disk/by-path/x") with { Uuid = "naa.6001405a" }, Local("/dev/disk/by-id/wwn-0x6001405a") },
        { "local on fc", Unit(StorageCategory.FibreChannel, "/dev/mapper/mpatha"), Local("/dev/mapper/mpatha") },
        { "drbd on fc by WWID", Unit(StorageCategory.FibreChannel, "/dev/sdb") with { Uuid = "naa.6001405a" }, Drbd(4) with { DrbdDisk = "/dev/mapper/36001405a" } },
        { "vg on pv", Pv("/dev/sdb") with { Uuid = "Pv-1" }, Group("vm") with { PhysicalVolumeIds = ["Pv-0", "Pv-1"] } },
        { "lv on vg", Group("vm") with { Uuid = "Gr-1" }, Lv("vm/data") with { VolumeGroupId = "Gr-1" } },
    };

    /// <summary>A layer, and one whose names are like its own only.</summary>
    public static TheoryData<string, StorageLayer, StorageLayer> Apart => new()
    {
        { "another lv", Lv("vm/data"), Local("/dev/vm/data2") },
        { "another lv by device-mapper", Lv("a/b-c"), Local("/dev/mapper/a--b-c") },
        { "another drbd", Drbd(1), Local("/dev/drbd10") },
        { "another vg", Group("vm") with { Uuid = "Gr-1" }, Lv("vm2/data") with { VolumeGroupId = "Gr-2" } },
        { "no device", Pv("/dev/sdb"), Local("/dev/sdb") },
        { "beside the mount point", Lv("vm/data") with { MountPoint = "/srv/v" }, Local(null) },
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

    [Theory]
    [MemberData(nameof(Stacked))]
    public async Task A_layer_is_not_deleted_while_another_one_lies_on_it(string name, StorageLayer below, StorageLayer above)
    {
        List<StorageOrder> orders = [];
        await using var world = WithLayers(orders);
        await world.StartAsync();
        var storages = world.Get<StorageLayers>();
        await AddAsync(world, below with { Id = 5 }, above with { Id = 6 });
        var refused = await Assert.ThrowsAsync<InUseException>(() => storages.DeleteAsync(5, null, Token));
        Assert.StartsWith("Storage 5 is what storage 6 (", refused.Message, StringComparison.Ordinal);
        Assert.True(orders.Count == 0, name);

        // Nothing on it is lost when it is only taken out of use; but a storage link keeps all that it lies on.
        await world.DoneAsync(storages.DetachAsync(5, null, Token));
        if (above.MountPoint is { } point)
        {
            await AddStorlinkAsync(world, $"{point}/disks");
            Assert.Contains("storlink 'on it'", (await Assert.ThrowsAsync<InUseException>(() => storages.DetachAsync(5, null, Token))).Message, StringComparison.Ordinal);
        }
    }

    [Theory]
    [MemberData(nameof(Apart))]
    public async Task A_layer_is_deleted_when_others_only_have_names_like_its_own(string name, StorageLayer one, StorageLayer other)
    {
        List<StorageOrder> orders = [];
        await using var world = WithLayers(orders);
        await world.StartAsync();
        await AddAsync(world, one with { Id = 5 }, other with { Id = 6 });
        await world.DoneAsync(world.Get<StorageLayers>().DeleteAsync(5, null, Token));
        Assert.True(Assert.Single(orders) is { Verb: StorageVerb.Delete, Layer.Id: 5 }, name);
    }

    [Fact]
    public async Task A_storage_link_keeps_every_layer_down_to_the_disk()
    {
        await using var world = WithLayers([]);
        await world.StartAsync();
        var storages = world.Get<StorageLayers>();
        await AddAsync(
            world,
            Unit(StorageCategory.FibreChannel, "/dev/mapper/mpatha") with { Id = 1 },
            Pv("/dev/mapper/mpatha") with { Id = 2, Uuid = "Pv-1" },
            Group("vm") with { Id = 3, Uuid = "Gr-1", PhysicalVolumeIds = ["Pv-1"] },
            Lv("vm/data") with { Id = 4, VolumeGroupId = "Gr-1", Uuid = "Vo-1" },
            Drbd(4) with { Id = 5, DrbdDisk = "/dev/vm/data" },
            Local("/dev/drbd4") with { Id = 6 },
            Lv("vm/other") with { Id = 7, VolumeGroupId = "Gr-1", Uuid = "Vo-2" });
        await AddStorlinkAsync(world, "/srv/vm");
        for (var id = 1; id <= 6; id++)
        {
            await Assert.ThrowsAsync<InUseException>(() => storages.DetachAsync(id, null, Token));
            await Assert.ThrowsAsync<InUseException>(() => storages.DeleteAsync(id, null, Token));
        }

        await world.DoneAsync(storages.DeleteAsync(7, null, Token));
    }

    [Theory]
    [InlineData(true, true)]
    [InlineData(true, false)]
    [InlineData(false, true)]
    public async Task What_another_PM_shares_keeps_a_layer_while_this_one_has_disks_on_it(bool isShared, bool isHere)
    {
        await using var world = WithLayers([]);
        await world.StartAsync();
        await AddAsync(world, Lv("vm/data") with { Id = 5, MountPoint = "/srv/vm" });
        Assert.True(StorlinkId.TryParse((await AddStorlinkAsync(world, "/srv/vm")).Created!.Split('/')[1], out var link));
        var id = await world.AddMachineAsync(link);
        await using (var session = await world.Store.OpenAsync(Token))
        {
            var other = PmId.New();
            session.Storlinks.Update((await session.Storlinks.FindAsync(link, Token))! with { Pm = other, Shared = isShared });
            var machine = await session.VirtualMachines.FindAsync(id, Token);
            session.VirtualMachines.Update(machine! with { Pm = isHere ? world.Pm.Id : other });
            await session.SaveAsync(Token);
        }

        if (isShared && isHere)
        {
            var refused = await Assert.ThrowsAsync<InUseException>(() => world.Get<StorageLayers>().DetachAsync(5, null, Token));
            Assert.StartsWith("Storage 5 is what VM web1 of this PM has disks on", refused.Message, StringComparison.Ordinal);
        }
        else
        {
            await world.DoneAsync(world.Get<StorageLayers>().DetachAsync(5, null, Token));
        }
    }

    [Fact]
    public async Task A_storage_link_is_not_made_on_what_is_being_taken_down()
    {
        TaskCompletionSource held = new(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var world = WithLayers([], execute: async _ => await held.Task);
        await world.StartAsync();
        await AddAsync(world, Lv("vm/data") with { Id = 5, MountPoint = "/srv/vm" });
        var deleting = await world.Get<StorageLayers>().DeleteAsync(5, null, Token);
        await Assert.ThrowsAsync<ResourceLockedException>(() => AddStorlinkAsync(world, "/srv/vm"));
        held.SetResult();
        Assert.Equal(OperationState.Succeeded, (await world.Operations.WaitAsync(deleting.Id, Token)).State);
        await AddStorlinkAsync(world, "/srv/vm");
    }

    [Fact]
    public async Task A_device_is_known_by_all_its_names_while_it_is_there_and_not_guessed_while_it_is_not()
    {
        List<StorageOrder> orders = [];
        await using var world = WithLayers(orders);
        await world.StartAsync();
        var storages = world.Get<StorageLayers>();
        var volume = $"shm/pengx-{Guid.NewGuid():N}";
        await AddAsync(world, Lv(volume) with { Id = 5 }, Local($"/dev/disk/by-uuid/{Guid.NewGuid()}") with { Id = 6 });

        // What is on a volume that is not active has no name that tells on which.
        Assert.Contains("attach storage 5 first", (await Assert.ThrowsAsync<InUseException>(() => storages.DeleteAsync(5, null, Token))).Message, StringComparison.Ordinal);
        var (link, other) = ($"/dev/{volume}", $"/dev/shm/pengx-{Guid.NewGuid():N}");
        try
        {
            File.CreateSymbolicLink(link, "/dev/null");
            File.CreateSymbolicLink(other, "../null");
            await AddAsync(world, Local(other) with { Id = 7, MountPoint = "/srv/other" });
            Assert.Contains("storage 7 (local /srv/other)", (await Assert.ThrowsAsync<InUseException>(() => storages.DeleteAsync(5, null, Token))).Message, StringComparison.Ordinal);
            File.Delete(other);
            File.CreateSymbolicLink(other, "/dev/zero");
            await world.DoneAsync(storages.DeleteAsync(5, null, Token));
            Assert.Equal(StorageVerb.Delete, Assert.Single(orders).Verb);
        }
        finally
        {
            File.Delete(link);
            File.Delete(other);
        }
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_mirror_that_was_up_stays_up_when_it_is_refused(bool up)
    {
        List<StorageOrder> orders = [];
        await using var world = WithLayers(
            orders,
            layer => new(layer, "/dev/drbd4", Attached: false) { Up = up },
            order => order.Verb == StorageVerb.Attach ? throw new StorageException("Multiple primaries not allowed by config") : null);
        await world.StartAsync();
        var storages = world.Get<StorageLayers>();
        await AddAsync(world, Drbd(4) with { Id = 5 });
        Assert.Equal(OperationState.Failed, (await world.EndedAsync(storages.AttachAsync(5, null, Token))).State);
        Assert.Equal(up ? [StorageVerb.Attach] : [StorageVerb.Attach, StorageVerb.Detach], orders.Select(order => order.Verb));

        // Nor is one that was up taken down by a creation that cannot be recorded.
        orders.Clear();
        world.Store.FailNextSave(new InvalidFieldException("drbd_rsc_name", "x", "told to fail"));
        StorageRequest request = new() { Category = StorageCategory.Drbd, DrbdResourceName = "r5", DrbdDisk = "/dev/sdb", DrbdIp = "192.0.2.1", DrbdPeerIps = "192.0.2.2", DrbdMinor = 5 };
        Assert.Equal(OperationState.Failed, (await world.EndedAsync(storages.CreateAsync(request, null, Token))).State);
        Assert.Equal(up ? [StorageVerb.Create] : [StorageVerb.Create, StorageVerb.Detach], orders.Select(order => order.Verb));
    }

    [Theory]
    [InlineData(StorageCategory.FibreChannel, "/dev/sdb", "/dev/sdc", "/dev/sdc")]
    [InlineData(StorageCategory.Iscsi, "/dev/disk/by-path/old", "/dev/disk/by-path/new", "/dev/disk/by-path/new")]
    [InlineData(StorageCategory.Drbd, "/dev/drbd4", "/dev/drbd4", "/dev/drbd4")]
    [InlineData(StorageCategory.LogicalVolume, "vm/old", "vm/new", "/dev/vm/new")]
    public async Task The_number_of_a_layer_stands_for_the_device_that_it_is_now(StorageCategory category, string recorded, string now, string device)
    {
        List<StorageOrder> orders = [];
        var attached = false;
        await using var world = WithLayers(orders, layer => layer.Category != category ? null : new(layer, now, attached) { Warnings = ["another unit has got its number"] });
        await world.StartAsync();
        var storages = world.Get<StorageLayers>();
        await AddAsync(world, Unit(category, recorded) with { Id = 5, DrbdResourceName = "r0", DrbdMinor = 4 });
        StorageRequest request = new() { Category = StorageCategory.PhysicalVolume, DeviceId = "5" };
        var refused = await Assert.ThrowsAsync<InvalidFieldException>(() => storages.CreateAsync(request, null, Token));
        Assert.Equal("device_id '5' is refused: that storage is not attached now: another unit has got its number", refused.Message);
        Assert.Empty(orders);
        attached = true;
        await world.DoneAsync(storages.CreateAsync(request, null, Token));
        Assert.Equal(device, Assert.Single(orders).Layer.DeviceId);
    }

    [Fact]
    public async Task Of_hosts_with_one_database_one_at_a_time_prepares_what_they_share()
    {
        TaskCompletionSource held = new(TaskCreationOptions.RunContinuationsAsynchronously);
        List<StorageOrder> orders = [];
        await using var one = WithLayers(orders, execute: async _ => await held.Task);
        await using var two = WithLayers(orders);
        await one.StartAsync();
        await two.StartAsync(one.Journal);
        var first = await one.Get<StorageLayers>().CreateAsync(Shared(one), null, Token);
        await Assert.ThrowsAsync<ResourceLockedException>(() => two.Get<StorageLayers>().CreateAsync(Shared(two), null, Token));

        // What is each host's own does not wait.
        await two.DoneAsync(two.Get<StorageLayers>().CreateAsync(new() { Category = StorageCategory.PhysicalVolume, DeviceId = "/dev/sdc" }, null, Token));
        held.SetResult();
        Assert.Equal(OperationState.Succeeded, (await one.Operations.WaitAsync(first.Id, Token)).State);
        await two.DoneAsync(two.Get<StorageLayers>().CreateAsync(Shared(two), null, Token));

        static StorageRequest Shared(World world) => new()
        {
            Category = StorageCategory.Ocfs2,
            DeviceId = "/dev/sdb",
            MountPoint = "/mnt/o",
            Nodes = [new(world.Pm.Id, "192.0.2.1", "host1", 0)],
        };
    }

    [Fact]
    public async Task A_volume_group_keeps_the_physical_volumes_that_it_has_got_since()
    {
        List<StorageOrder> orders = [];
        await using var world = WithLayers(orders, layer => new(layer with { PhysicalVolumeIds = ["Pv-1", "Pv-2"] }, "vm", Attached: true));
        await world.StartAsync();
        await AddAsync(world, Group("vm") with { Id = 5, Uuid = "Gr-1", PhysicalVolumeIds = ["Pv-1"] });
        await world.DoneAsync(world.Get<StorageLayers>().ResizeAsync(5, null, null, Token));
        Assert.Equal(["Pv-1", "Pv-2"], Assert.Single(orders).Layer.PhysicalVolumeIds);
    }

    private static StorageLayer Row(StorageCategory category, string? name) => new() { Id = 0, Pm = default, Category = category, Name = name };

    private static StorageLayer Lv(string name) => Row(StorageCategory.LogicalVolume, name);

    private static StorageLayer Group(string name) => Row(StorageCategory.VolumeGroup, name);

    private static StorageLayer Pv(string device) => Row(StorageCategory.PhysicalVolume, device) with { DeviceId = device };

    private static StorageLayer Unit(StorageCategory category, string name) => Row(category, name);

    private static StorageLayer Drbd(int minor) => Row(StorageCategory.Drbd, $"/dev/drbd{minor}") with { DrbdResourceName = $"r{minor}", DrbdMinor = minor, DrbdDisk = "/dev/sdz" };

    private static StorageLayer Local(string? device) => Row(StorageCategory.Local, device ?? "/srv/vm") with { DeviceId = device, MountPoint = "/srv/vm", FileSystem = device is null ? null : "ext4" };

    private static async Task AddAsync(World world, params StorageLayer[] rows)
    {
        await using var session = await world.Store.OpenAsync(Token);
        foreach (var row in rows)
        {
            session.StorageLayers.Add(row with { Pm = world.Pm.Id });
        }

        await session.SaveAsync(Token);
    }

    private static Task<Operation> AddStorlinkAsync(World world, string link) => world.DoneAsync(world.Storlinks.CreateAsync(
        new CreateStorlink { Name = "on it", Link = link, Type = StorlinkType.Local, Level = StorlinkLevel.File }, null, Token));

    /// <summary>A world whose driver for all that is not local finds a layer so, or as the row has it, and does this with an order.</summary>
    private static World WithLayers(List<StorageOrder> orders, Func<StorageLayer, StorageLayerState?>? inspect = null, Func<StorageOrder, Task?>? execute = null)
    {
        Mock<IStorageLayerDriver> driver = new();
        driver.Setup(port => port.Serves(It.IsNotIn(StorageCategory.Local))).Returns(true);
        driver.Setup(port => port.PlanAsync(It.IsAny<StorageOrder>(), It.IsAny<CancellationToken>())).ReturnsAsync(new StoragePlan { Title = "", Steps = [] });
        driver.Setup(port => port.InspectAsync(It.IsAny<StorageLayer>(), It.IsAny<CancellationToken>()))
            .ReturnsAsync((StorageLayer layer, CancellationToken _) => inspect is null ? new(layer, layer.Name ?? "", Attached: true) : inspect(layer));
        driver.Setup(port => port.ExecuteAsync(It.IsAny<StorageOrder>(), It.IsAny<StoragePlan?>(), It.IsAny<CancellationToken>()))
            .Returns(async (StorageOrder order, StoragePlan? _, CancellationToken _) =>
            {
                lock (orders)
                {
                    orders.Add(order);
                }

                await (execute?.Invoke(order) ?? Task.CompletedTask);
                return order.Verb == StorageVerb.Delete ? null : new StorageLayerState(order.Layer, order.Layer.Name ?? "a", Attached: true);
            });
        return new() { Register = services => services.AddSingleton(driver.Object) };
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

using System.Text;
using System.Text.Json;

namespace Pengx.Orchestration.Tests;

public sealed class BackupTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_backup_brings_back_what_a_running_machine_had()
    {
        await using var world = await World.StartedAsync();
        var (_, id) = await CopyTests.RunningAsync(world);
        var vault = await world.AddStorlinkAsync("vault");
        var backup = await world.AddBackupAsync(id, vault);
        var shown = Assert.Single(await world.Backups.ListAsync(id, Token));
        Assert.Equal((backup, "nightly", "d", vault, 120L), (shown.Id, shown.Name, shown.Description, shown.Storlink, shown.Size.MiB));
        var images = await world.Backups.ListDisksAsync(id, backup, Token);
        Assert.Equal(["early a", "early b"], images.Select(disk => world.Storage.ContentOf(disk.Id)));
        Assert.Equal(images.Select(disk => disk.Id).ToHashSet(), world.Storage.Volumes(vault).ToHashSet());
        await world.AssertWholeAsync();

        world.Host.Guest(id).Write("xvda", "later a");
        await Assert.ThrowsAsync<WrongStateException>(() => world.Backups.RestoreAsync(id, backup, null, Token));
        await world.DoneAsync(world.Machines.PowerOffAsync(id, null, Token));
        var old = await world.Disks.ListAsync(id, Token);
        await world.DoneAsync(world.Backups.RestoreAsync(id, backup, null, Token));
        Assert.Equal(["early a", "early b"], await world.ContentsAsync(id));
        Assert.Empty(old.Select(disk => disk.Id).Intersect((await world.Disks.ListAsync(id, Token)).Select(disk => disk.Id)));
        Assert.Equal(old.Select(disk => (disk.Order, disk.Size, disk.Format, disk.Storlink)), (await world.Disks.ListAsync(id, Token)).Select(disk => (disk.Order, disk.Size, disk.Format, disk.Storlink)));
        await world.AssertWholeAsync();
        await world.DoneAsync(world.Machines.StartAsync(id, null, Token));

        // A backup can be restored more than once.
        await world.DoneAsync(world.Machines.PowerOffAsync(id, null, Token));
        await world.DoneAsync(world.Backups.RestoreAsync(id, backup, null, Token));
        await world.DoneAsync(world.Backups.DeleteAsync(id, backup, null, Token));
        Assert.Empty(world.Storage.Volumes(vault));
        Assert.Empty(await world.Storage.ListDescriptionsAsync((await world.Storlinks.GetAsync(vault, Token)).Storlink, Token));
        await world.DoneAsync(world.Storlinks.DeleteAsync(vault, null, Token));
        await world.AssertWholeAsync();
    }

    [Fact]
    public async Task The_description_tells_all_that_reading_it_without_us_takes()
    {
        await using var world = await World.StartedAsync();
        var (_, id) = await CopyTests.RunningAsync(world);
        var vault = await world.AddStorlinkAsync("vault");
        var backup = await world.AddBackupAsync(id, vault);
        var storlink = (await world.Storlinks.GetAsync(vault, Token)).Storlink;
        var content = await world.Storage.ReadDescriptionAsync(storlink, backup, Token);
        using var document = JsonDocument.Parse(content!);
        var root = document.RootElement;
        Assert.Equal("pengx-backup/1", root.GetProperty("form").GetString());
        Assert.Equal(backup.ToString(), root.GetProperty("id").GetString());
        Assert.Equal("web1", root.GetProperty("machine").GetProperty("name").GetString());
        Assert.True(root.GetProperty("machine").GetProperty("running").GetBoolean());
        var images = root.GetProperty("images").EnumerateArray().ToList();
        Assert.Equal([0, 1], images.Select(image => image.GetProperty("order").GetInt32()));
        foreach (var (image, disk) in images.Zip(await world.Backups.ListDisksAsync(id, backup, Token)))
        {
            Assert.Equal($"{disk.Id}.qcow2", image.GetProperty("file").GetString());
            Assert.Equal((await world.Storage.DigestAsync(storlink, disk.Id, disk.Format, cancellationToken: Token)).Sha256, image.GetProperty("sha256").GetString());
        }

        Assert.DoesNotContain((await world.Machines.GetAsync(id, Token)).Machine.VncPassword!, Encoding.UTF8.GetString(content!), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_damaged_backup_is_refused_and_the_machine_keeps_what_it_has()
    {
        await using var world = await World.StartedAsync();
        var (_, id) = await CopyTests.RunningAsync(world);
        var vault = await world.AddStorlinkAsync("vault");
        var backup = await world.AddBackupAsync(id, vault);
        await world.DoneAsync(world.Machines.PowerOffAsync(id, null, Token));
        var image = (await world.Backups.ListDisksAsync(id, backup, Token))[1];
        var good = world.Storage.ContentOf(image.Id)!;
        world.Storage.Damage(image.Id, "damaged");
        var before = await world.PictureAsync();
        await RefusedAsync($"{image.Id}.qcow2");
        Assert.Equal(before, await world.PictureAsync());

        world.Storage.Damage(image.Id, good);
        var storlink = (await world.Storlinks.GetAsync(vault, Token)).Storlink;
        var description = (await world.Storage.ReadDescriptionAsync(storlink, backup, Token))!;
        await world.Storage.WriteDescriptionAsync(storlink, backup, description.AsMemory(0, description.Length / 2), Token);
        await RefusedAsync($"{backup}.backup.json");
        await world.Storage.DeleteDescriptionAsync(storlink, backup, Token);
        await RefusedAsync($"{backup}.backup.json");
        Assert.Contains(await world.Get<ConsistencyCheck>().RunAsync(Token), found => found.Kind == InconsistencyKind.BackupWithoutDescription);
        await world.Storage.WriteDescriptionAsync(storlink, backup, description, Token);
        await world.DoneAsync(world.Backups.RestoreAsync(id, backup, null, Token));

        async Task RefusedAsync(string file)
        {
            var ended = await world.EndedAsync(world.Backups.RestoreAsync(id, backup, null, Token));
            Assert.Equal((OperationState.Failed, PengxErrorCode.StorageFailed), (ended.State, ended.Error));
            Assert.Contains(file, ended.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task What_is_still_needed_is_not_deleted()
    {
        await using var world = await World.StartedAsync();
        var storlink = await world.AddStorlinkAsync();
        var vault = await world.AddStorlinkAsync("vault");
        var (one, two) = (await world.AddMachineAsync(storlink), await world.AddMachineAsync(storlink, "web2"));
        var backup = await world.AddBackupAsync(one, vault);
        Assert.Contains("1 backup", (await Assert.ThrowsAsync<InUseException>(() => world.Storlinks.DeleteAsync(vault, null, Token))).Message, StringComparison.Ordinal);
        Assert.Contains("1 backup", (await Assert.ThrowsAsync<InUseException>(() => world.Machines.DeleteAsync(one, null, Token))).Message, StringComparison.Ordinal);
        await Assert.ThrowsAsync<NotFoundException>(() => world.Backups.GetAsync(two, backup, Token));
        await Assert.ThrowsAsync<NotFoundException>(() => world.Backups.DeleteAsync(two, backup, null, Token));
        await Assert.ThrowsAsync<NotFoundException>(() => world.Backups.RestoreAsync(two, backup, null, Token));
        await Assert.ThrowsAsync<NotFoundException>(() => world.Backups.RestoreAsync(one, BackupId.New(), null, Token));
        var refused = await Assert.ThrowsAsync<InvalidFieldException>(() => world.Backups.CreateAsync(one, new CreateVirtualMachineBackup { Name = "\u0001", Storlink = vault }, null, Token));
        Assert.Equal("backup_name", refused.Field);

        // An overlay on a backup's image, as a linked restore would be.
        var image = (await world.Backups.ListDisksAsync(one, backup, Token))[0];
        await using var session = await world.Store.OpenAsync(Token);
        var disk = (await session.Disks.ListByOwnerAsync(DiskOwner.Of(two), Token))[0];
        session.Disks.Update(disk with { Backing = image.Id });
        await session.SaveAsync(Token);
        Assert.Contains(disk.Id.ToString(), (await Assert.ThrowsAsync<InUseException>(() => world.Backups.DeleteAsync(one, backup, null, Token))).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Disks_that_the_backup_does_not_know_stay_as_they_are()
    {
        await using var world = await World.StartedAsync();
        var storlink = await world.AddStorlinkAsync();
        var id = await world.AddMachineAsync(storlink);
        var backup = await world.AddBackupAsync(id, storlink);
        await world.DoneAsync(world.Disks.CreateAsync(id, new CreateDisk { SizeMiB = 10, Storlink = storlink }, null, Token));
        var added = (await world.Disks.ListAsync(id, Token))[1];
        var done = await world.DoneAsync(world.Backups.RestoreAsync(id, backup, null, Token));
        Assert.Contains("1 of its disks", done.Message, StringComparison.Ordinal);
        Assert.Equal(added.Id, (await world.Disks.ListAsync(id, Token))[1].Id);
        await world.AssertWholeAsync();
    }
}

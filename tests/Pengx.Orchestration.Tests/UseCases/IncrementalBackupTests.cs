using System.Text.Json;
using Pengx.Testing;

namespace Pengx.Orchestration.Tests;

/// <summary>Backups of what a guest changed. The simulated hypervisor copies what it noted and nothing else, so an image shows the
/// guest's disk only where the right backup lies beneath it.</summary>
public sealed class IncrementalBackupTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Each_backup_of_a_chain_brings_its_own_moment_back()
    {
        await using var world = await World.StartedAsync();
        var (_, id) = await CopyTests.RunningAsync(world);
        var vault = await world.AddStorlinkAsync("vault");
        List<(BackupId Id, IReadOnlyList<string?> Held)> chain = [];
        for (var night = 0; night < 4; night++)
        {
            await WriteAsync(world, id, night, $"night {night}");
            var done = await MakeAsync(world, id, vault, $"night {night}");
            chain.Add((World.BackupOf(done), await world.ContentsAsync(id)));
            Assert.Contains(night == 0 ? "as a full one: there is no earlier backup" : $"incrementally upon backup 'night {night - 1}'", done.Message, StringComparison.Ordinal);
        }

        var parents = await world.Backups.ListParentsAsync(id, Token);
        Assert.Equal(chain.Skip(1).Zip(chain).ToDictionary(pair => pair.First.Id, pair => pair.Second.Id), parents.ToDictionary());
        foreach (var (backup, held) in chain)
        {
            Assert.Equal(held, (await world.Backups.ListDisksAsync(id, backup, Token)).Select(disk => world.Storage.ContentOf(disk.Id)));
        }

        // Only what the next one counts from is noted.
        Assert.All((string[])["xvda", "xvdb"], vdev => Assert.Equal([chain[^1].Id], world.Host.Guest(id).NotedSince(vdev)));
        await world.AssertWholeAsync();

        var refused = await Assert.ThrowsAsync<InUseException>(() => world.Backups.DeleteAsync(id, chain[1].Id, null, Token));
        Assert.Contains("'night 2'", refused.Message, StringComparison.Ordinal);
        await world.DoneAsync(world.Machines.PowerOffAsync(id, null, Token));
        foreach (var (backup, held) in chain)
        {
            await world.DoneAsync(world.Backups.RestoreAsync(id, backup, null, Token));
            Assert.Equal(held, await world.ContentsAsync(id));
        }

        foreach (var (backup, _) in Enumerable.Reverse(chain))
        {
            await world.DoneAsync(world.Backups.DeleteAsync(id, backup, null, Token));
        }

        Assert.Empty(world.Storage.Volumes(vault));
        await world.AssertWholeAsync();
    }

    [Fact]
    public async Task The_description_names_what_an_image_lies_upon()
    {
        await using var world = await World.StartedAsync();
        var (_, id) = await CopyTests.RunningAsync(world);
        var vault = await world.AddStorlinkAsync("vault");
        var full = World.BackupOf(await MakeAsync(world, id, vault, "one"));
        var next = World.BackupOf(await MakeAsync(world, id, vault, "two"));
        using var first = await DescriptionAsync(world, vault, full);
        using var second = await DescriptionAsync(world, vault, next);
        Assert.Equal(("full", "incremental"), (first.RootElement.GetProperty("type").GetString(), second.RootElement.GetProperty("type").GetString()));
        Assert.Contains("no earlier backup", first.RootElement.GetProperty("full_because").GetString(), StringComparison.Ordinal);
        Assert.False(second.RootElement.TryGetProperty("full_because", out _));
        Assert.Equal(full.Value, second.RootElement.GetProperty("parent").GetGuid());
        foreach (var (upper, lower) in second.RootElement.GetProperty("images").EnumerateArray().Zip(first.RootElement.GetProperty("images").EnumerateArray()))
        {
            Assert.Equal(
                (lower.GetProperty("file").GetString(), lower.GetProperty("format").GetString(), lower.GetProperty("sha256").GetString()),
                (upper.GetProperty("backing_file").GetString(), upper.GetProperty("backing_format").GetString(), upper.GetProperty("backing_sha256").GetString()));
        }
    }

    public static TheoryData<string, string> Troubles => new()
    {
        { "note broken", "worthless: inconsistent" },
        { "disk added", "is not in backup 'before'" },
        { "parent damaged", "is not as it was made" },
        { "parent without description", ".backup.json of backup 'before' is missing" },
        { "copy fails", "the target broke" },
        { "guest ends", "the VM ended before its changes were copied" },
        { "comparison fails", "the disk is full" },
        { "chain too long", "are the most (Pengx:Limits:DiskLayers)" },
    };

    [Theory]
    [MemberData(nameof(Troubles))]
    public async Task What_is_not_known_for_certain_is_copied_in_full_and_the_next_one_is_incremental_again(string trouble, string reason)
    {
        await using var world = new World();
        if (trouble == "chain too long")
        {
            world.Configure = options => options.MaxDiskLayers = 1;
        }

        await world.StartAsync();
        var (storlink, id) = await CopyTests.RunningAsync(world);
        var vault = await world.AddStorlinkAsync("vault");
        var before = World.BackupOf(await MakeAsync(world, id, vault, "before"));
        var image = (await world.Backups.ListDisksAsync(id, before, Token))[0];
        await WriteAsync(world, id, 1, "since");
        var guest = world.Host.Guest(id);
        switch (trouble)
        {
            case "note broken":
                guest.BreakNotes("xvdb", "inconsistent");
                break;
            case "disk added":
                await world.DoneAsync(world.Disks.CreateAsync(id, new CreateDisk { SizeMiB = 10, Storlink = storlink }, null, Token));
                break;
            case "parent damaged":
                world.Storage.Damage(image.Id, "damaged");
                break;
            case "parent without description":
                await world.Storage.DeleteDescriptionAsync((await world.Storlinks.GetAsync(vault, Token)).Storlink, before, Token);
                break;
            case "comparison fails":
                await world.DoneAsync(world.Machines.PowerOffAsync(id, null, Token));
                world.Storage.FailNext(nameof(IStorageBackend.CreateAsync), new StorageException("the disk is full"));
                break;
            case "copy fails":
                world.Host.FailNext(SimulatedVerb.CopyChanges, new HypervisorException("the target broke"));
                break;
            case "guest ends":
                world.Host.Before(SimulatedVerb.AbandonCopies, (_, _) =>
                {
                    guest.ShutDown();
                    return Task.CompletedTask;
                });
                break;
        }

        var healed = await MakeAsync(world, id, vault, "healed");
        Assert.Contains("as a full one: ", healed.Message, StringComparison.Ordinal);
        Assert.Contains(reason, healed.Message, StringComparison.Ordinal);
        using (var description = await DescriptionAsync(world, vault, World.BackupOf(healed)))
        {
            Assert.Contains(reason, description.RootElement.GetProperty("full_because").GetString(), StringComparison.Ordinal);
        }

        Assert.DoesNotContain(World.BackupOf(healed), (await world.Backups.ListParentsAsync(id, Token)).Keys);
        Assert.Equal(await world.ContentsAsync(id), (await world.Backups.ListDisksAsync(id, World.BackupOf(healed), Token)).Select(disk => world.Storage.ContentOf(disk.Id)));
        world.Host.Before(SimulatedVerb.AbandonCopies, null);
        if (trouble is "chain too long")
        {
            return;
        }

        await WriteAsync(world, id, 2, "later");
        var next = await MakeAsync(world, id, vault, "next");
        Assert.Contains("incrementally upon", next.Message, StringComparison.Ordinal);
        Assert.Equal(await world.ContentsAsync(id), (await world.Backups.ListDisksAsync(id, World.BackupOf(next), Token)).Select(disk => world.Storage.ContentOf(disk.Id)));
        if (trouble is not ("parent damaged" or "parent without description"))
        {
            await world.AssertWholeAsync();
        }
    }

    public static TheoryData<string, string> Unknowns => new()
    {
        { "guest stopped", "the VM does not run" },
        { "guest restarted", "nothing was noted since" },
        { "snapshot taken", "nothing was noted since" },
        { "driver notes nothing", "does not note which blocks change" },
        { "disks restored", "nothing was noted since" },
    };

    [Theory]
    [MemberData(nameof(Unknowns))]
    public async Task Where_nobody_noted_what_changed_it_is_found_by_comparing(string unknown, string reason)
    {
        await using var world = await World.StartedAsync();
        var (storlink, id) = await CopyTests.RunningAsync(world);
        var vault = await world.AddStorlinkAsync("vault");
        var first = World.BackupOf(await MakeAsync(world, id, vault, "first"));
        await WriteAsync(world, id, 1, "since");
        var before = World.BackupOf(await MakeAsync(world, id, vault, "before"));
        await WriteAsync(world, id, 2, "since then");
        switch (unknown)
        {
            case "guest stopped":
                await world.DoneAsync(world.Machines.PowerOffAsync(id, null, Token));
                break;
            case "guest restarted":
                await world.DoneAsync(world.Machines.PowerOffAsync(id, null, Token));
                await world.DoneAsync(world.Machines.StartAsync(id, null, Token));
                break;
            case "snapshot taken":
                await world.DoneAsync(world.Snapshots.CreateAsync(id, new CreateSnapshot { Name = "s", Storlink = storlink }, null, Token));
                await WriteAsync(world, id, 3, "upon the snapshot");
                break;
            case "driver notes nothing":
                world.Host.NotesChanges = false;
                break;
            case "disks restored":
                await world.DoneAsync(world.Machines.PowerOffAsync(id, null, Token));
                await world.DoneAsync(world.Backups.RestoreAsync(id, first, null, Token));
                await world.DoneAsync(world.Machines.StartAsync(id, null, Token));
                break;
        }

        var done = await MakeAsync(world, id, vault, "compared");
        Assert.Contains("incrementally upon backup 'before' and by comparing with it, because ", done.Message, StringComparison.Ordinal);
        Assert.Contains(reason, done.Message, StringComparison.Ordinal);
        var compared = World.BackupOf(done);
        Assert.Equal(before, (await world.Backups.ListParentsAsync(id, Token))[compared]);
        var images = await world.Backups.ListDisksAsync(id, compared, Token);
        Assert.All(images, image => Assert.Equal(DiskFormat.Qcow2, image.Format));
        Assert.Equal(await world.ContentsAsync(id), images.Select(disk => world.Storage.ContentOf(disk.Id)));
        await world.AssertWholeAsync();

        // The next one of a guest that runs is noted again, or compared where it cannot be.
        if (unknown is "guest stopped")
        {
            await world.DoneAsync(world.Machines.StartAsync(id, null, Token));
            Assert.Contains("nothing was noted since", (await MakeAsync(world, id, vault, "compared again")).Message, StringComparison.Ordinal);
        }

        await WriteAsync(world, id, 4, "later");
        var next = await MakeAsync(world, id, vault, "next");
        Assert.Equal(unknown is "driver notes nothing", next.Message!.Contains("by comparing", StringComparison.Ordinal));
        Assert.Equal(await world.ContentsAsync(id), (await world.Backups.ListDisksAsync(id, World.BackupOf(next), Token)).Select(disk => world.Storage.ContentOf(disk.Id)));
        await world.AssertWholeAsync();
    }

    [Fact]
    public async Task Of_disks_that_are_noted_and_such_that_are_not_each_is_copied_its_own_way()
    {
        await using var world = await World.StartedAsync();
        var (_, id) = await CopyTests.RunningAsync(world);
        var vault = await world.AddStorlinkAsync("vault");
        var before = World.BackupOf(await MakeAsync(world, id, vault, "before"));
        await WriteAsync(world, id, 1, "since");
        world.Host.Guest(id).LoseNotes("xvdb");
        var noted = 0;
        world.Host.Before(SimulatedVerb.CopyChanges, (_, _) =>
        {
            noted++;
            return Task.CompletedTask;
        });
        var done = await MakeAsync(world, id, vault, "both ways");
        Assert.Contains("(xvdb) nothing was noted since", done.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("(xvda)", done.Message, StringComparison.Ordinal);
        Assert.Equal(1, noted);
        Assert.Equal(await world.ContentsAsync(id), (await world.Backups.ListDisksAsync(id, World.BackupOf(done), Token)).Select(disk => world.Storage.ContentOf(disk.Id)));
        Assert.Equal(before, (await world.Backups.ListParentsAsync(id, Token))[World.BackupOf(done)]);
    }

    [Fact]
    public async Task Two_storage_links_have_chains_of_their_own()
    {
        await using var world = await World.StartedAsync();
        var (_, id) = await CopyTests.RunningAsync(world);
        var (near, far) = (await world.AddStorlinkAsync("near"), await world.AddStorlinkAsync("far"));
        foreach (var (vault, night) in (IEnumerable<(StorlinkId, int)>)[(near, 0), (far, 1), (near, 2), (near, 3), (far, 4)])
        {
            await WriteAsync(world, id, night, $"night {night}");
            var done = await MakeAsync(world, id, vault, $"night {night}");
            Assert.Contains(night switch { 0 or 1 => "full", 2 => "upon backup 'night 0'", 3 => "upon backup 'night 2'", _ => "upon backup 'night 1'" }, done.Message, StringComparison.Ordinal);
            Assert.Equal(await world.ContentsAsync(id), (await world.Backups.ListDisksAsync(id, World.BackupOf(done), Token)).Select(disk => world.Storage.ContentOf(disk.Id)));
        }

        Assert.Equal(2, world.Host.Guest(id).NotedSince("xvda").Count);
        await world.AssertWholeAsync();
    }

    [Fact]
    public async Task Damage_anywhere_beneath_is_noticed_before_anything_changes()
    {
        await using var world = await World.StartedAsync();
        var (_, id) = await CopyTests.RunningAsync(world);
        var vault = await world.AddStorlinkAsync("vault");
        List<BackupId> chain = [];
        for (var night = 0; night < 3; night++)
        {
            await WriteAsync(world, id, night, $"night {night}");
            chain.Add(World.BackupOf(await MakeAsync(world, id, vault, $"night {night}")));
        }

        await world.DoneAsync(world.Machines.PowerOffAsync(id, null, Token));
        foreach (var damaged in chain)
        {
            var image = (await world.Backups.ListDisksAsync(id, damaged, Token))[1];
            world.Storage.Write(image.Id, 99, "damaged");
            var before = await world.PictureAsync();
            var ended = await world.EndedAsync(world.Backups.RestoreAsync(id, chain[^1], null, Token));
            Assert.Equal((OperationState.Failed, PengxErrorCode.StorageFailed), (ended.State, ended.Error));
            Assert.Contains($"{image.Id}.qcow2", ended.Message, StringComparison.Ordinal);
            Assert.Equal(before, await world.PictureAsync());
            world.Storage.Unwrite(image.Id, 99);
        }

        // A backup beneath that is whole in itself, but another one.
        var storlink = (await world.Storlinks.GetAsync(vault, Token)).Storlink;
        var root = (await world.Backups.ListDisksAsync(id, chain[0], Token))[0];
        var description = (await world.Storage.ReadDescriptionAsync(storlink, chain[0], Token))!;
        var old = (await world.Storage.DigestAsync(storlink, root.Id, root.Format, cancellationToken: Token)).Sha256;
        world.Storage.Damage(root.Id, "another");
        var now = await world.Storage.DigestAsync(storlink, root.Id, root.Format, cancellationToken: Token);
        var forged = System.Text.Encoding.UTF8.GetString(description).Replace(old, now.Sha256, StringComparison.Ordinal);
        await world.Storage.WriteDescriptionAsync(storlink, chain[0], System.Text.Encoding.UTF8.GetBytes(forged), Token);
        Assert.Contains("was made upon another", (await world.EndedAsync(world.Backups.RestoreAsync(id, chain[^1], null, Token))).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task One_that_fails_leaves_nothing_and_the_next_is_incremental()
    {
        await using var world = await World.StartedAsync();
        var (_, id) = await CopyTests.RunningAsync(world);
        var vault = await world.AddStorlinkAsync("vault");
        var first = World.BackupOf(await MakeAsync(world, id, vault, "first"));
        await WriteAsync(world, id, 1, "since");
        var before = world.Storage.Volumes(vault);
        world.Storage.FailNext(nameof(IBackupFiles.WriteDescriptionAsync), new StorageException("the disk is full"));
        Assert.Equal(OperationState.Failed, (await world.EndedAsync(StartAsync(world, id, vault, "fails"))).State);
        Assert.Equal(before, world.Storage.Volumes(vault));
        Assert.Equal([first], world.Host.Guest(id).NotedSince("xvda"));
        await world.AssertWholeAsync();
        var next = await MakeAsync(world, id, vault, "next");
        Assert.Contains("upon backup 'first'", next.Message, StringComparison.Ordinal);
        Assert.Equal(await world.ContentsAsync(id), (await world.Backups.ListDisksAsync(id, World.BackupOf(next), Token)).Select(disk => world.Storage.ContentOf(disk.Id)));
    }

    private static Task<Operation> StartAsync(World world, VmId id, StorlinkId vault, string name) =>
        world.Backups.CreateAsync(id, new CreateVirtualMachineBackup { Name = name, Storlink = vault, Incremental = true }, null, Token);

    private static Task<Operation> MakeAsync(World world, VmId id, StorlinkId vault, string name) => world.DoneAsync(StartAsync(world, id, vault, name));

    private static async Task WriteAsync(World world, VmId id, int place, string text)
    {
        foreach (var disk in await world.Disks.ListAsync(id, Token))
        {
            world.Storage.Write(disk.Id, place, text);
        }
    }

    private static async Task<JsonDocument> DescriptionAsync(World world, StorlinkId vault, BackupId backup) =>
        JsonDocument.Parse((await world.Storage.ReadDescriptionAsync((await world.Storlinks.GetAsync(vault, Token)).Storlink, backup, Token))!);
}

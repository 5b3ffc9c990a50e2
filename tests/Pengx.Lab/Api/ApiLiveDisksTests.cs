using System.Globalization;
using Pengx.Client;
using Pengx.Xen;

namespace Pengx.Lab;

/// <summary>Snapshots, copies, moves and backups of a real guest that counts, through the service's API. No number that it flushed may be lost.</summary>
public sealed class ApiLiveDisksTests : IAsyncDisposable
{
    private readonly LabGuests _guests = LabGuests.Create();
    private LabService? _service;

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    private PengxClient Client => _service!.Client;

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        if (_service is not null)
        {
            await _service.DisposeAsync();
        }

        await _guests.DisposeAsync();
    }

    /// <summary>PVH: every operation on a running guest's disks, and after each a reboot of its own.</summary>
    [Fact]
    public async Task PVH_guest_runs_through_snapshots_a_copy_and_a_move()
    {
        _service = await LabService.StartAsync(_guests.PathOf("data"), XlGuestKind.Pvh);
        var (store, other) = (_guests.PathOf("store"), _guests.PathOf("other"));
        var link = await AddStorlinkAsync("lab", store);
        var target = await AddStorlinkAsync("other", other);
        var (vm, image) = await StartCountingAsync("live", link, store);

        // A snapshot while it counts; then it reboots by itself, on what it wrote since.
        var first = (await Client.Snapshots.CreateAsync(vm, new() { Name = "first", Storlink = link }, cancellationToken: Token)).Id!.Value;
        await RebootByItselfAsync(vm);
        var second = (await Client.Snapshots.CreateAsync(vm, new() { Name = "second", Storlink = link }, cancellationToken: Token)).Id!.Value;
        await XenTestHost.FlushAnotherAsync(new(vm), "live");
        await ExpectConsistentAsync();

        // A copy of it at one instant between the operation's start and its end.
        var before = XenTestHost.NewestFlushed("live");
        var copy = (await Client.Machines.CopyAsync(vm, new() { Name = "copied", Storlink = link }, cancellationToken: Token)).Id!.Value;
        var after = await XenTestHost.FlushAnotherAsync(new(vm), "live");
        Assert.InRange(await CountAsync(copy, store), before, after);

        // Deleted live: the first is merged into what is above or beneath it, and then the second.
        await Client.Snapshots.DeleteAsync(vm, first, cancellationToken: Token);
        await RebootByItselfAsync(vm);
        await Client.Snapshots.DeleteAsync(vm, second, cancellationToken: Token);
        await RebootByItselfAsync(vm);
        Assert.Empty(await Client.Snapshots.ListAsync(vm, Token).ToListAsync(Token));
        await ExpectConsistentAsync();

        // Moved to the other storlink; nothing of it is left on the first, and a reboot comes back there.
        await Client.Machines.DeleteAsync(copy, cancellationToken: Token);
        await Client.Machines.MigrateStorageAsync(vm, new() { Storlink = target }, cancellationToken: Token);
        Assert.Equal([$"{image}.raw"], Directory.EnumerateFiles(store).Select(Path.GetFileName));
        await RebootByItselfAsync(vm);
        await ExpectConsistentAsync();
        Assert.Equal("RUNNING", (await Client.Machines.GetAsync(vm, Token)).Status);

        await Client.Machines.PowerOffAsync(vm, cancellationToken: Token);
        var last = XenTestHost.NewestFlushed("live");
        Assert.True(await CountAsync(vm, other) >= last, $"it flushed {last}");
        await Client.Machines.DeleteAsync(vm, cancellationToken: Token);
        Assert.Empty(Directory.EnumerateFileSystemEntries(other));
    }

    /// <summary>PVH: backups while it runs and while it does not, each of what changed since the one before, and a restore.</summary>
    [Fact]
    public async Task PVH_guest_is_backed_up_by_what_changed_and_restored()
    {
        const string Name = "kept";
        _service = await LabService.StartAsync(_guests.PathOf("data"), XlGuestKind.Pvh);
        var (store, vault) = (_guests.PathOf("store"), _guests.PathOf("vault"));
        var link = await AddStorlinkAsync("lab", store);
        var target = await AddStorlinkAsync("vault", vault);
        var (vm, image) = await StartCountingAsync(Name, link, store);

        // Each shows a number between its start and its end, also behind a snapshot, which puts other images in the disks' places.
        List<(Guid Id, long Count)> backups = [];
        await BackUpWhileItCountsAsync();
        await BackUpWhileItCountsAsync();
        await Client.Snapshots.CreateAsync(vm, new() { Name = "first", Storlink = link }, cancellationToken: Token);
        await BackUpWhileItCountsAsync();

        // And the very number of a guest that is off.
        await Client.Machines.PowerOffAsync(vm, cancellationToken: Token);
        var rested = await CountAsync(vm, store);
        Assert.True(rested >= XenTestHost.NewestFlushed(Name));
        await BackUpAsync(rested, () => Task.FromResult(rested));
        Assert.Equal(["full", "incremental", "incremental", "incremental"], await TypesAsync());

        // Restored, it goes on from what the backup holds.
        await Client.Machines.StartAsync(vm, cancellationToken: Token);
        await XenTestHost.FlushAnotherAsync(new(vm), Name);
        await Client.Machines.PowerOffAsync(vm, cancellationToken: Token);
        var (restored, held) = backups[2];
        await Client.Backups.RestoreAsync(vm, restored, cancellationToken: Token);
        Assert.Equal(held, await CountAsync(vm, store));
        await Client.Machines.StartAsync(vm, cancellationToken: Token);
        await LabHost.UntilAsync("resumed", () => Task.FromResult(XenTestHost.ResumedAt(Name)), resumed => resumed == held);
        await ExpectConsistentAsync();

        foreach (var (backup, _) in backups.AsEnumerable().Reverse())
        {
            await Client.Backups.DeleteAsync(vm, backup, cancellationToken: Token);
        }

        Assert.Empty(Directory.EnumerateFileSystemEntries(vault));
        await Client.Machines.PowerOffAsync(vm, cancellationToken: Token);
        await Client.Machines.DeleteAsync(vm, cancellationToken: Token);
        Assert.Equal([$"{image}.raw"], Directory.EnumerateFiles(store).Select(Path.GetFileName));

        Task BackUpWhileItCountsAsync() => BackUpAsync(XenTestHost.NewestFlushed(Name), () => XenTestHost.FlushAnotherAsync(new(vm), Name));

        async Task BackUpAsync(long from, Func<Task<long>> end)
        {
            var backup = (await Client.Backups.CreateAsync(
                vm, new() { Name = $"number {backups.Count}", Storlink = target, Type = "incremental" }, cancellationToken: Token)).Id!.Value;
            var to = await end();
            var disk = (await Client.Backups.ListDisksAsync(vm, backup, Token).ToListAsync(Token)).Single(disk => disk.Order == 1);
            var count = await _guests.ReadCounterAsync(Path.Combine(vault, $"{disk.Id}.qcow2"), "qcow2");
            Assert.InRange(count, from, to);
            backups.Add((backup, count));
        }

        async Task<IEnumerable<string>> TypesAsync()
        {
            var shown = await Client.Backups.ListAsync(vm, Token).ToListAsync(Token);
            return backups.Select(backup => shown.Single(one => one.Id == backup.Id).Type ?? "full");
        }
    }

    /// <summary>A PVH guest that counts on its second disk; its template's image is the one file in the storlink that is not its own.</summary>
    private async Task<(Guid Machine, Guid Image)> StartCountingAsync(string name, int link, string store)
    {
        var image = Guid.NewGuid();
        await LabHost.OutputAsync("qemu-img", "create", "-q", "-f", "raw", Path.Combine(store, $"{image}.raw"), "4M");
        var template = (await Client.Templates.AddAsync(
            new() { Name = "golden", Os = "OTHER", OsArch = "X64", Disks = [new() { Storlink = link, Id = image, Format = "raw" }] },
            cancellationToken: Token)).Id!.Value;
        var vm = (await Client.Machines.CreateAsync(
            new()
            {
                Name = name,
                Template = template,
                Storlink = link,
                CpuCores = 1,
                Memory = 192,
                MaxMemory = 192,
                DiskFormat = "raw",
                ExtraDiskSize = 8,
                Networks = ["0"],
            },
            cancellationToken: Token)).Id!.Value;
        _guests.Own(vm);
        await Client.Machines.StartAsync(vm, cancellationToken: Token);
        await XenTestHost.FlushAnotherAsync(new(vm), name);
        return (vm, image);
    }

    private async Task<int> AddStorlinkAsync(string name, string path)
    {
        Directory.CreateDirectory(path);
        return (await Client.Storlinks.CreateAsync(new() { Name = name, Link = path, Type = "LO", Level = "FL" }, cancellationToken: Token)).Id!.Value;
    }

    private async Task ExpectConsistentAsync() => Assert.Empty(await Client.Consistency.ListAsync(Token).ToListAsync(Token));

    /// <summary>The newest number on the second disk of a machine that does not run.</summary>
    private async Task<long> CountAsync(Guid vm, string store)
    {
        var disk = (await Client.Disks.ListAsync(vm, Token).ToListAsync(Token)).Single(disk => disk.Order == 1);
        var file = Directory.EnumerateFiles(store, $"{disk.Id}.*").Single();
        return await _guests.ReadCounterAsync(file, Path.GetExtension(file)[1..]);
    }

    private async Task RebootByItselfAsync(Guid vm)
    {
        var first = await XlDomain.FindAsync(vm);
        var before = XenTestHost.NewestFlushed("live");
        await LabHost.OutputAsync("xl", "sysrq", first.Domain.ToString(CultureInfo.InvariantCulture), "b");
        await LabHost.UntilAsync("reboot", () => XlDomain.TryFindAsync(vm), found => found is { IsPaused: false } now && now.Domain != first.Domain);
        await LabHost.UntilAsync("running", async () => (await Client.Machines.GetAsync(vm, Token)).Status, status => status == "RUNNING");
        var after = await XenTestHost.FlushAnotherAsync(new(vm), "live");

        // It goes on from what it finds: a number that was flushed and is not there would come once more.
        Assert.True(XenTestHost.ResumedAt("live") >= before, $"it resumed at {XenTestHost.ResumedAt("live")} and had flushed {before}");
        Assert.True(after > before);
    }
}

using System.Globalization;
using Pengx.Client;
using Pengx.Xen;

namespace Pengx.Lab;

/// <summary>Snapshots, copies and moves of a real guest that counts, through the service's API. No number that it flushed may be lost.</summary>
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
        var image = Guid.NewGuid();
        await LabHost.OutputAsync("qemu-img", "create", "-q", "-f", "raw", Path.Combine(store, $"{image}.raw"), "4M");
        var template = (await Client.Templates.AddAsync(
            new() { Name = "golden", Os = "OTHER", OsArch = "X64", Disks = [new() { Storlink = link, Id = image, Format = "raw" }] },
            cancellationToken: Token)).Id!.Value;
        var vm = (await Client.Machines.CreateAsync(
            new()
            {
                Name = "live",
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
        await XenTestHost.FlushAnotherAsync(new(vm), "live");

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

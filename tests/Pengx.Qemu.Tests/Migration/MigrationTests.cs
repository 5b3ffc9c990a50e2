using Pengx.Testing;

namespace Pengx.Qemu.Tests;

/// <summary>A running guest moves between two hosts.</summary>
public sealed class MigrationTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_guest_moves_with_all_that_was_added_to_it_and_back_again()
    {
        await using var hosts = await MoveTestHosts.StartAsync();
        await using var here = await hosts.Here.StartDriverAsync(Token);
        await using var there = await hosts.There.StartDriverAsync(Token);
        var (definition, counter) = await hosts.StartCountingAsync(here, 2, Token);
        var id = definition.Id;

        // What the stored definition does not have.
        await here.Domains.ResizeAsync(id, 2, DataSize.FromMiB(160 + 128), Token);
        var added = hosts.Here.CreateDisk("xvdc");
        await ((IHypervisorDriver)here).Devices.PlugDiskAsync(id, added, Token);
        await ((IHypervisorDriver)here).Devices.PlugNicAsync(id, new() { Mac = MacAddress.NewXen(), Switch = "nosuchbridge" }, Token);
        var started = (await here.Domains.FindAsync(id, Token))!.StartedAt;

        await MoveTestHosts.MigrationOf(here).MigrateAsync(id, MoveTestHosts.OtherName, Token);
        Assert.Null(await here.Domains.FindAsync(id, Token));
        Assert.Empty(MoveTestHosts.ProcessesOf(hosts.Here));
        var status = await there.Domains.FindAsync(id, Token);
        Assert.Equal((VmState.Running, 2, DataSize.FromMiB(160 + 128), started), (status!.State, status.Cpus, status.Memory, status.StartedAt));
        definition = definition with { Disks = [.. definition.Disks, added] };
        Assert.Equal(definition, await there.Domains.FindDefinitionAsync(id, Token));
        Assert.Empty(Directory.EnumerateFileSystemEntries(hosts.Here.Options.RunDirectory!));
        var left = await MoveTestHosts.SerialAsync(hosts.Here, id);
        await MoveTestHosts.CountsPastAsync(hosts.There, id, GuestNumbers.Last(left) + 3, Token);
        GuestNumbers.AssertOneGuest(left, await MoveTestHosts.SerialAsync(hosts.There, id));

        // It is a domain like others there: it can be taken up, changed, and go back.
        await ((IHypervisorDriver)there).Devices.PlugDiskAsync(id, hosts.Here.CreateDisk("xvdd"), Token);
        await MoveTestHosts.MigrationOf(there).MigrateAsync(id, MoveTestHosts.OtherName, Token);
        Assert.Null(await there.Domains.FindAsync(id, Token));
        Assert.Equal(definition.Disks.Count + 1, (await here.Domains.FindDefinitionAsync(id, Token))?.Disks.Count);
        var twice = await MoveTestHosts.SerialAsync(hosts.There, id);
        await MoveTestHosts.CountsPastAsync(hosts.Here, id, GuestNumbers.Last(twice) + 3, Token);
        var last = GuestNumbers.AssertOneGuest(left, twice, await MoveTestHosts.SerialAsync(hosts.Here, id));
        await here.Domains.DestroyAsync(id, Token);
        Assert.True(await GuestCounter.ReadNewestAsync(counter, Token) >= last);
    }

    /// <summary>What a guest writes while its memory is sent must not be lost: where QEMU loses it, the guest writes nothing meanwhile.</summary>
    [Fact]
    public async Task A_guest_stands_still_while_it_is_sent_where_QEMU_loses_what_it_writes()
    {
        await using var hosts = await MoveTestHosts.StartAsync();
        hosts.Here.Options.Accelerator = QemuAccelerator.Tcg;
        hosts.There.Options.Accelerator = QemuAccelerator.Tcg;
        hosts.Here.Options.MigrationBytesPerSecond = 16 * 1024 * 1024;
        await using var here = await hosts.Here.StartDriverAsync(Token);
        await using var there = await hosts.There.StartDriverAsync(Token);
        var id = (await hosts.StartCountingAsync(here, 1, Token)).Definition.Id;
        Dictionary<MoveMoment, string> printed = [];
        here.Environment.OnMove = async moment => printed[moment] = await MoveTestHosts.SerialAsync(hosts.Here, id);
        await MoveTestHosts.MigrationOf(here).MigrateAsync(id, MoveTestHosts.OtherName, Token);
        var version = Version.Parse(await here.Environment.ReadVersionAsync(here.Environment.FindBinary(), Token));
        Assert.Equal(version < new Version(9, 0), printed[MoveMoment.Sending] == printed[MoveMoment.Standing]);
        await MoveTestHosts.CountsPastAsync(hosts.There, id, GuestNumbers.Last(printed[MoveMoment.Standing]), Token);
        GuestNumbers.AssertOneGuest(printed[MoveMoment.Standing], await MoveTestHosts.SerialAsync(hosts.There, id));
    }
}

using Pengx.Xen;

namespace Pengx.Lab;

/// <summary>Live migration between two real Xen hosts, on a disk that both see.</summary>
public sealed class MigrationTests
{
    private const string Share = "/srv/pengx-share";

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    /// <summary>A running PVH guest moves to the other host, and goes on counting where it was: it never stops, and nothing flushed is lost.</summary>
    [Fact]
    public async Task PVH_guest_moves_while_it_runs()
    {
        var other = LabHost.RequireSecondHost();
        await using var share = await LabShare.OpenAsync(Share, other);
        await using var host = XenTestHost.Create(XlGuestKind.Pvh, share.Folder);
        await using var driver = host.CreateDriver();
        await driver.StartAsync(Token);
        Assert.True(driver.TryGetFeature<ILiveMigration>(out var migration));
        var definition = await host.CreateBootableAsync();
        var id = definition.Id;
        await driver.Domains.DefineAsync(definition, Token);
        try
        {
            // Refused before anything is done.
            await Assert.ThrowsAsync<WrongStateException>(() => migration.CheckMigrationAsync(id, other, Token));
            await driver.Domains.StartAsync(id, Token);
            await host.WaitUntilBootedAsync(id);
            await Assert.ThrowsAsync<InvalidFieldException>(() => migration.MigrateAsync(id, "host; reboot", Token));
            await migration.CheckMigrationAsync(id, other, Token);

            // A host that is not there: the guest goes on here.
            var missing = await Assert.ThrowsAsync<HypervisorException>(() => migration.MigrateAsync(id, "10.99.0.99", Token));
            Assert.Contains("goes on here", missing.Message, StringComparison.Ordinal);
            await host.WaitUntilBootedAsync(id);

            // The monitor's socket lies where it did here.
            await share.OnOtherAsync("mkdir", "-p", host.Options.RunDirectory);
            var before = await LabGuests.PeekCounterAsync(host.CounterOf(id));
            await migration.MigrateAsync(id, other, Token);
            Assert.Null(await driver.Domains.FindAsync(id, Token));
            Assert.Contains(id.ToString(), await share.OnOtherAsync("xl", "vm-list"), StringComparison.Ordinal);
            await LabGuests.WaitForCounterAsync(host.CounterOf(id), before + 3);

            // It was moved, not started anew: it has been up since before.
            var name = XlName.For(id, definition.Name).Value;
            await share.OnOtherAsync("xl", "destroy", name);
            Assert.True(await host.Guests.ReadCounterAsync(host.CounterOf(id)) > before);
            Assert.Single(LabGuests.ConsoleOf(name).Split('\n'), line => line.Contains("PENGX-GUEST up ", StringComparison.Ordinal));
        }
        finally
        {
            await driver.Domains.DestroyAsync(id, CancellationToken.None);
            await share.DestroyOnOtherAsync(id);
        }
    }

    /// <summary>What cannot be moved is refused with the reason: PV on a Xen without shadow paging.</summary>
    [Fact]
    public async Task PV_guest_is_refused_with_the_reason()
    {
        await using var host = XenTestHost.Create(XlGuestKind.Pv);
        await using var driver = host.CreateDriver();
        await driver.StartAsync(Token);
        Assert.True(driver.TryGetFeature<ILiveMigration>(out var migration));
        var definition = await host.CreateBootableAsync();
        await driver.Domains.DefineAsync(definition, Token);
        try
        {
            await driver.Domains.StartAsync(definition.Id, Token);
            var refused = await Assert.ThrowsAsync<WrongStateException>(() => migration.MigrateAsync(definition.Id, "10.99.0.2", Token));
            Assert.Contains("shadow paging", refused.Message, StringComparison.Ordinal);
        }
        finally
        {
            await driver.Domains.DestroyAsync(definition.Id, CancellationToken.None);
        }
    }
}

/// <summary>A folder that this host and the other one see at the same path, by NFS.</summary>
internal sealed class LabShare : IAsyncDisposable
{
    private readonly string _other;

    private LabShare(string folder, string other)
    {
        Folder = folder;
        _other = other;
    }

    public string Folder { get; }

    public static async Task<LabShare> OpenAsync(string folder, string other)
    {
        Directory.CreateDirectory(folder);
        await LabHost.OutputAsync("systemctl", "start", "nfs-server");
        await LabHost.OutputAsync("exportfs", "-o", "rw,sync,no_root_squash,no_subtree_check,fsid=77", $"{other}:{folder}");
        var share = new LabShare(folder, other);
        await share.OnOtherAsync("mkdir", "-p", folder);
        await share.OnOtherAsync("mount", "-t", "nfs4", "-o", "vers=4.2,hard,noac", $"10.99.0.1:{folder}", folder);
        return share;
    }

    public Task<string> OnOtherAsync(params string[] command) => LabHost.OutputAsync("ssh", ["-o", "BatchMode=yes", _other, .. command]);

    public async Task DestroyOnOtherAsync(DomainId id)
    {
        var row = (await OnOtherAsync("xl", "vm-list")).Split('\n').FirstOrDefault(line => line.StartsWith(id.ToString(), StringComparison.Ordinal));
        if (row is not null)
        {
            await OnOtherAsync("xl", "destroy", row.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1]);
        }
    }

    public async ValueTask DisposeAsync()
    {
        await LabHost.RunAsync("ssh", "-o", "BatchMode=yes", _other, "umount", Folder);
        await LabHost.RunAsync("exportfs", "-u", $"{_other}:{Folder}");
        await LabHost.RunAsync("systemctl", "stop", "nfs-server");
        Directory.Delete(Folder, recursive: true);
    }
}

using System.Globalization;
using Microsoft.Data.Sqlite;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Infrastructure;
using Microsoft.EntityFrameworkCore.Migrations;

namespace Pengx.Data.Tests;

public sealed class UpgradeTests : IAsyncDisposable
{
    // As the first version wrote them; these texts must never be changed.
    private const string OldRows = """
        INSERT INTO physical_machines (id, name, cpus, memory, ssh_public_key, created_at, updated_at, revision)
            VALUES ('7E1A4C1E-0000-4000-8000-000000000001', 'pm1', 8, 68719476736, NULL, 639149558391234567, 639149558391234567, 5);
        INSERT INTO storlinks (id, pm, name, link, type, level, shared, description, revision)
            VALUES (3, '7E1A4C1E-0000-4000-8000-000000000001', 'local', '/srv', 'LO', 'FL', 0, NULL, 0);
        INSERT INTO virtual_machines (id, pm, template, name, description, os, architecture, cpus, memory, max_memory, virtual_functions,
                vnc_port, vnc_password, state, created_at, recent_booted_at, updated_at, revision)
            VALUES ('7E1A4C1E-0000-4000-8000-000000000002', '7E1A4C1E-0000-4000-8000-000000000001', NULL, 'web1', NULL, 'DEBIAN', 'X64', 2,
                2147483648, 2147483648, '["0000:03:10.0"]', NULL, NULL, 'RUNNING', 639149558391234567, NULL, 639149558391234567, 1);
        INSERT INTO disks (id, owner_kind, owner_id, position, size, format, storlink, backing, type, description, created_at, revision)
            VALUES ('7E1A4C1E-0000-4000-8000-000000000003', 'vm', '7E1A4C1E-0000-4000-8000-000000000002', 0, 1073741824, 'qcow2', 3, NULL, NULL,
                NULL, 639149558391234567, 0);
        INSERT INTO numbers (name, last) VALUES ('storlinks', 41);
        """;

    private readonly TemporaryDatabase _database = new();

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public ValueTask DisposeAsync() => _database.DisposeAsync();

    [Fact]
    public void Model_and_upgrades_agree()
    {
        using var context = Context();
        Assert.False(context.Database.HasPendingModelChanges(), "The model changed: write an upgrade with dotnet ef migrations add.");
    }

    [Fact]
    public async Task Every_upgrade_applies_to_the_one_before()
    {
        await using var context = Context();
        foreach (var migration in context.Database.GetMigrations())
        {
            await context.GetService<IMigrator>().MigrateAsync(migration, Token);
        }

        Assert.Empty(await context.Database.GetPendingMigrationsAsync(Token));
    }

    [Fact]
    public async Task The_first_version_s_database_upgrades_without_loss()
    {
        await WriteFirstVersionAsync();

        var store = await _database.ReadyStoreAsync();
        await using var session = await store.OpenAsync(Token);
        var vm = await session.VirtualMachines.FindAsync(new(Guid.Parse("7e1a4c1e-0000-4000-8000-000000000002")), Token);
        Assert.Equal(("web1", 2, VmState.Running, 1), (vm!.Name, vm.Cpus, vm.State, vm.Revision));
        Assert.Equal(new PciAddress(0, 3, 16, 0), Assert.Single(vm.VirtualFunctions));
        Assert.Equal(new DateTimeOffset(639149558391234567, TimeSpan.Zero), vm.CreatedAt);
        var disk = Assert.Single(await session.Disks.ListByOwnerAsync(DiskOwner.Of(vm.Id), Token));
        Assert.Equal((DataSize.FromGiB(1), DiskFormat.Qcow2, new StorlinkId(3)), (disk.Size, disk.Format, disk.Storlink));
        Assert.Equal(5, (await session.PhysicalMachines.FindAsync(vm.Pm, Token))!.Revision);
        Assert.Equal(42, (await session.Storlinks.NextIdAsync(Token)).Value);
        Assert.Empty(await store.Journal.ListLocksAsync(Token));
    }

    [Fact]
    public async Task An_upgrade_that_fails_leaves_the_old_database_whole()
    {
        await WriteFirstVersionAsync();
        Execute("""
            PRAGMA foreign_keys = OFF;
            UPDATE disks SET storlink = 99;
            """);

        var error = await Assert.ThrowsAsync<UnavailableException>(() => _database.Store().InitializeAsync(Token));
        Assert.Contains("cannot be upgraded", error.Message, StringComparison.Ordinal);
        Assert.Equal("1", Execute("SELECT count(*) FROM __EFMigrationsHistory"));
        Assert.Equal("0", Execute("SELECT count(*) FROM sqlite_master WHERE name = 'operations'"));

        Execute("UPDATE disks SET storlink = 3");
        await _database.ReadyStoreAsync();
    }

    [Fact]
    public async Task A_newer_version_s_database_is_refused_and_left_alone()
    {
        await (await _database.ReadyStoreAsync()).DisposeAsync();
        Execute("INSERT INTO __EFMigrationsHistory (MigrationId, ProductVersion) VALUES ('99990101000000_Future', '99.0')");

        var error = await Assert.ThrowsAsync<UnavailableException>(() => _database.Store().InitializeAsync(Token));
        Assert.Contains("newer version", error.Message, StringComparison.Ordinal);
        Assert.Contains("99990101000000_Future", error.Message, StringComparison.Ordinal);
        Assert.Equal("99990101000000_Future", Execute("SELECT max(MigrationId) FROM __EFMigrationsHistory"));
    }

    [Fact]
    public async Task Services_that_start_at_once_upgrade_once()
    {
        var stores = Enumerable.Range(0, 6).Select(_ => _database.Store()).ToList();
        await Task.WhenAll(stores.Select(store => Task.Run(() => store.InitializeAsync(Token), Token)));

        await using var context = Context();
        var known = context.Database.GetMigrations().Count().ToString(CultureInfo.InvariantCulture);
        Assert.Equal(known, Execute("SELECT count(*) FROM __EFMigrationsHistory"));
    }

    private async Task WriteFirstVersionAsync()
    {
        await using (var context = Context())
        {
            await context.GetService<IMigrator>().MigrateAsync(context.Database.GetMigrations().First(), Token);
        }

        Execute(OldRows);
    }

    private PengxContext Context() =>
        new(new DbContextOptionsBuilder<PengxContext>().UseSqlite($"Data Source={_database.File};Pooling=False").Options);

    private string? Execute(string sql)
    {
        using var connection = new SqliteConnection($"Data Source={_database.File};Pooling=False");
        connection.Open();
        using var command = connection.CreateCommand();
        command.CommandText = sql;
        return Convert.ToString(command.ExecuteScalar(), CultureInfo.InvariantCulture);
    }
}

using System.Globalization;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Pengx.Orchestration;
using Pengx.Testing;

namespace Pengx.Data.Tests;

public sealed class SqliteDatabaseTests : IAsyncDisposable
{
    private const int ManyMachines = 10_000;

    private readonly TemporaryDatabase _database = new();

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public ValueTask DisposeAsync() => _database.DisposeAsync();

    [Fact]
    public async Task Every_connection_keeps_what_it_commits()
    {
        await _database.ReadyStoreAsync();
        await using var database = new SqliteDatabase($"Data Source={_database.File}", LoggerFactory.Create(_ => { }));
        foreach (var (pragma, expected) in ((string, string)[])[("journal_mode", "wal"), ("synchronous", "2"), ("foreign_keys", "1"), ("busy_timeout", "30000")])
        {
            Assert.Equal(expected, await database.ReadAsync(
                async (context, token) =>
                {
                    await context.Database.OpenConnectionAsync(token);
                    await using var command = context.Database.GetDbConnection().CreateCommand();
                    command.CommandText = $"PRAGMA {pragma}";
                    return Convert.ToString(await command.ExecuteScalarAsync(token), CultureInfo.InvariantCulture);
                },
                Token));
        }
    }

    [Fact]
    public async Task Only_the_owner_may_read_the_file()
    {
        var store = await _database.ReadyStoreAsync();
        await SaveAsync(store, session => session.PhysicalMachines.Add(SampleRows.Pm()));
        foreach (var file in (string[])[_database.File, $"{_database.File}-wal", $"{_database.File}-shm"])
        {
            Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, new FileInfo(file).UnixFileMode);
        }
    }

    [Fact]
    public async Task Closing_folds_everything_into_the_one_file()
    {
        var store = await _database.ReadyStoreAsync();
        await SaveAsync(store, session => session.PhysicalMachines.Add(SampleRows.Pm()));
        Assert.True(File.Exists($"{_database.File}-wal"));
        await store.DisposeAsync();
        Assert.Equal([_database.File], Directory.GetFiles(Path.GetDirectoryName(_database.File)!));
    }

    [Fact]
    public async Task Two_services_on_one_file_take_turns()
    {
        var stores = new[] { await _database.ReadyStoreAsync(), await _database.ReadyStoreAsync() };
        var pm = SampleRows.Pm();
        await SaveAsync(stores[0], session => session.PhysicalMachines.Add(pm));
        await Task.WhenAll(Enumerable.Range(1, 50).Select(number => Task.Run(
            () => SaveAsync(stores[number % 2], session => session.Networks.Add(SampleRows.Network(pm.Id, number, $"eth{number}"))), Token)));

        await using var session = await stores[0].OpenAsync(Token);
        Assert.Equal(50, (await session.Networks.ListByPmAsync(pm.Id, Token)).Count);
    }

    [Fact]
    public async Task Deleting_what_others_belong_to_is_refused_by_name()
    {
        var store = await _database.ReadyStoreAsync();
        var (pm, storlink) = (SampleRows.Pm(), SampleRows.Storlink(SampleRows.Pm().Id, 3));
        storlink = storlink with { Pm = pm.Id };
        var vm = SampleRows.Vm(pm.Id);
        await SaveAsync(store, session =>
        {
            session.PhysicalMachines.Add(pm);
            session.Storlinks.Add(storlink);
            session.VirtualMachines.Add(vm);
            session.Disks.Add(SampleRows.Disk(DiskOwner.Of(vm.Id), storlink.Id));
            session.Disks.Add(SampleRows.Disk(DiskOwner.Of(vm.Id), storlink.Id, order: 1));
        });

        var error = await Assert.ThrowsAsync<InUseException>(() => SaveAsync(store, session => session.Storlinks.Delete(storlink)));
        Assert.Contains("storlink 3", error.Message, StringComparison.Ordinal);
        Assert.Contains("2 of the database's disks", error.Message, StringComparison.Ordinal);
        error = await Assert.ThrowsAsync<InUseException>(
            () => SaveAsync(store, session => session.Disks.Add(SampleRows.Disk(DiskOwner.Of(vm.Id), new StorlinkId(99)))));
        Assert.Contains("storlink 99", error.Message, StringComparison.Ordinal);

        await using var session = await store.OpenAsync(Token);
        Assert.NotNull(await session.Storlinks.FindAsync(storlink.Id, Token));
        Assert.Equal(2, (await session.Disks.ListByOwnerAsync(DiskOwner.Of(vm.Id), Token)).Count);
    }

    [Fact]
    public async Task A_tree_goes_in_any_order()
    {
        var store = await _database.ReadyStoreAsync();
        var pm = SampleRows.Pm();
        var vm = SampleRows.Vm(pm.Id);
        var root = SampleRows.Snapshot(vm.Id, "root");
        var middle = SampleRows.Snapshot(vm.Id, "middle") with { Parent = root.Id };
        var leaf = SampleRows.Snapshot(vm.Id, "leaf") with { Parent = middle.Id };
        await SaveAsync(store, session =>
        {
            session.Snapshots.Add(leaf);
            session.Snapshots.Add(middle);
            session.Snapshots.Add(root);
            session.VirtualMachines.Add(vm);
            session.PhysicalMachines.Add(pm);
        });
        await SaveAsync(store, session =>
        {
            session.Snapshots.Delete(middle);
            session.Snapshots.Update(leaf with { Parent = root.Id });
        });
        await SaveAsync(store, session =>
        {
            session.PhysicalMachines.Delete(pm);
            session.VirtualMachines.Delete(vm);
            session.Snapshots.Delete(root);
            session.Snapshots.Delete(leaf with { Parent = root.Id, Revision = 1 });
        });

        await using var session = await store.OpenAsync(Token);
        Assert.Empty(await session.PhysicalMachines.ListAsync(Token).ToListAsync(Token));
    }

    [Fact]
    public async Task Ten_thousand_machines_are_listed_in_flat_memory_by_one_query()
    {
        var queries = new QueryCounter();
        using var logging = LoggerFactory.Create(builder => builder.SetMinimumLevel(LogLevel.Debug).AddProvider(queries));
        var store = await _database.ReadyStoreAsync(logging);
        var pm = SampleRows.Pm();
        await SaveAsync(store, session =>
        {
            session.PhysicalMachines.Add(pm);
            for (var i = 0; i < ManyMachines; i++)
            {
                session.VirtualMachines.Add(SampleRows.Vm(pm.Id, $"vm{i}"));
            }
        });

        await using var session = await store.OpenAsync(Token);
        var before = queries.Count;
        var (count, highest, lowest) = (0, 0L, long.MaxValue);
        await foreach (var machine in session.VirtualMachines.ListAsync(Token))
        {
            Assert.Equal(2, machine.VirtualFunctions.Count);
            if (++count % 1000 == 0)
            {
                var used = GC.GetTotalMemory(forceFullCollection: true);
                (highest, lowest) = (Math.Max(highest, used), Math.Min(lowest, used));
            }
        }

        Assert.Equal(ManyMachines, count);
        Assert.Equal(1, queries.Count - before);

        // All of them at once would be more than 10 MB.
        Assert.InRange(highest - lowest, 0, 2_000_000);
    }

    [Fact]
    public async Task Secrets_stay_out_of_the_log()
    {
        var log = new QueryCounter();
        using var logging = LoggerFactory.Create(builder => builder.SetMinimumLevel(LogLevel.Trace).AddProvider(log));
        var store = await _database.ReadyStoreAsync(logging);
        var pm = SampleRows.Pm();
        var vm = SampleRows.Vm(pm.Id);
        await SaveAsync(store, session =>
        {
            session.PhysicalMachines.Add(pm);
            session.VirtualMachines.Add(vm);
        });
        await Assert.ThrowsAsync<InvalidFieldException>(() => SaveAsync(store, session => session.VirtualMachines.Add(SampleRows.Vm(pm.Id))));

        Assert.Contains(log.Messages, message => message.Contains("is ready", StringComparison.Ordinal));
        Assert.DoesNotContain(log.Messages, message => message.Contains(vm.VncPassword!, StringComparison.Ordinal));
        Assert.DoesNotContain(log.Levels, level => level >= LogLevel.Warning);
    }

    [Fact]
    public async Task Dependency_injection_gives_store_and_journal_on_one_file()
    {
        var services = new ServiceCollection();
        services.AddPengx().AddSqlite($"Data Source={_database.File}");
        await using var provider = services.BuildServiceProvider();

        var store = provider.GetRequiredService<IPengxStore>();
        await store.InitializeAsync(Token);
        Assert.Same(store, provider.GetRequiredService<SqlitePengxStore>());
        Assert.Same(provider.GetRequiredService<SqlitePengxStore>().Journal, provider.GetRequiredService<IOperationJournal>());
        Assert.Empty(await provider.GetRequiredService<IOperationJournal>().ListLocksAsync(Token));
    }

    [Fact]
    public async Task A_session_that_is_done_saves_no_more()
    {
        var store = await _database.ReadyStoreAsync();
        var session = await store.OpenAsync(Token);
        session.PhysicalMachines.Add(SampleRows.Pm());
        await session.DisposeAsync();
        await Assert.ThrowsAsync<ObjectDisposedException>(() => session.SaveAsync(Token));
    }

    private static async Task SaveAsync(SqlitePengxStore store, Action<IStoreSession> change)
    {
        await using var session = await store.OpenAsync(Token);
        change(session);
        await session.SaveAsync(Token);
    }
}

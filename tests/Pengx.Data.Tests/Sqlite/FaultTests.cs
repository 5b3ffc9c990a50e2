using Microsoft.Data.Sqlite;
using Pengx.Testing;

namespace Pengx.Data.Tests;

public sealed class FaultTests : IAsyncDisposable
{
    private readonly TemporaryDatabase _database = new();

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public ValueTask DisposeAsync() => _database.DisposeAsync();

    [Fact]
    public async Task A_file_that_is_no_database_is_refused_and_left_alone()
    {
        await File.WriteAllTextAsync(_database.File, new string('x', 5000), Token);
        var error = await Assert.ThrowsAsync<UnavailableException>(() => _database.Store().InitializeAsync(Token));
        Assert.Contains(_database.File, error.Message, StringComparison.Ordinal);
        Assert.Contains("is not an SQLite database", error.Message, StringComparison.Ordinal);
        Assert.Equal(new string('x', 5000), await File.ReadAllTextAsync(_database.File, Token));
    }

    [Fact]
    public async Task Damage_in_the_middle_is_found_at_the_start()
    {
        var store = await _database.ReadyStoreAsync();
        var pm = SampleRows.Pm();
        await SaveAsync(store, session =>
        {
            session.PhysicalMachines.Add(pm);
            for (var i = 0; i < 500; i++)
            {
                session.VirtualMachines.Add(SampleRows.Vm(pm.Id, $"vm{i}"));
            }
        });
        await store.DisposeAsync();

        // Pages in the middle, which nothing at the start would read by itself.
        var bytes = await File.ReadAllBytesAsync(_database.File, Token);
        new Random(7).NextBytes(bytes.AsSpan(bytes.Length / 4096 / 2 * 4096, 4 * 4096));
        await File.WriteAllBytesAsync(_database.File, bytes, Token);

        var error = await Assert.ThrowsAsync<UnavailableException>(() => _database.Store().InitializeAsync(Token));
        Assert.Contains("damaged", error.Message, StringComparison.Ordinal);
        Assert.Contains("restore", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Damage_found_while_running_is_told_too()
    {
        var store = await _database.ReadyStoreAsync();
        await store.DisposeAsync();
        var bytes = await File.ReadAllBytesAsync(_database.File, Token);
        new Random(7).NextBytes(bytes.AsSpan(4096));
        await File.WriteAllBytesAsync(_database.File, bytes, Token);

        await using var session = await _database.Store().OpenAsync(Token);
        session.PhysicalMachines.Add(SampleRows.Pm());
        await Assert.ThrowsAsync<UnavailableException>(() => session.SaveAsync(Token));
        await Assert.ThrowsAsync<UnavailableException>(() => session.PhysicalMachines.FindAsync(PmId.New(), Token));
    }

    [Fact]
    public async Task A_missing_directory_is_told()
    {
        await using var store = SqlitePengxStore.Open(Path.Combine(Path.GetDirectoryName(_database.File)!, "missing", "pengx.db"));
        var error = await Assert.ThrowsAsync<UnavailableException>(() => store.InitializeAsync(Token));
        Assert.Contains("Create its directory", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_directory_in_the_place_of_the_file_is_told()
    {
        Directory.CreateDirectory(_database.File);
        var error = await Assert.ThrowsAsync<UnavailableException>(() => _database.Store().InitializeAsync(Token));
        Assert.Contains(_database.File, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_database_that_cannot_be_written_is_told()
    {
        await (await _database.ReadyStoreAsync()).DisposeAsync();
        await using var store = new SqlitePengxStore($"Data Source={_database.File};Mode=ReadOnly");
        await using var session = await store.OpenAsync(Token);
        session.PhysicalMachines.Add(SampleRows.Pm());
        var error = await Assert.ThrowsAsync<UnavailableException>(() => session.SaveAsync(Token));
        Assert.Contains("write permission", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_file_that_vanished_does_not_come_back_empty()
    {
        await (await _database.ReadyStoreAsync()).DisposeAsync();
        File.Delete(_database.File);
        await using var session = await _database.Store().OpenAsync(Token);
        await Assert.ThrowsAsync<UnavailableException>(() => session.PhysicalMachines.FindAsync(PmId.New(), Token));
        Assert.False(File.Exists(_database.File));
    }

    [Fact]
    public async Task A_lock_that_another_process_keeps_is_told_and_does_not_stop_readers()
    {
        var ready = await _database.ReadyStoreAsync();
        await SaveAsync(ready, session => session.PhysicalMachines.Add(SampleRows.Pm()));
        await using var store = new SqlitePengxStore($"Data Source={_database.File};Default Timeout=1");
        await using var other = new SqliteConnection($"Data Source={_database.File};Pooling=False");
        await other.OpenAsync(Token);
        await using var transaction = await other.BeginTransactionAsync(Token);

        await using var session = await store.OpenAsync(Token);
        session.PhysicalMachines.Add(SampleRows.Pm("late"));
        var error = await Assert.ThrowsAsync<UnavailableException>(() => session.SaveAsync(Token));
        Assert.Contains("held by another process", error.Message, StringComparison.Ordinal);
        Assert.True(error.IsTransient);
        Assert.Single(await session.PhysicalMachines.ListAsync(Token).ToListAsync(Token));

        // What was to be saved is still there when the lock is gone.
        await transaction.RollbackAsync(Token);
        await session.SaveAsync(Token);
        Assert.Equal(2, await session.PhysicalMachines.ListAsync(Token).CountAsync(Token));
    }

    [Theory]
    [InlineData(10, "kernel's log")]
    [InlineData(13, "Free some space")]
    [InlineData(11, "newest backup")]
    public void Every_failure_of_the_disk_says_what_to_do(int code, string advice)
    {
        var fault = SqliteFaults.FindUnavailable(new InvalidOperationException("outer", new SqliteException("inner words", code)));
        var error = SqliteFaults.Unavailable("/x/pengx.db", fault!);
        Assert.Contains(advice, error.Message, StringComparison.Ordinal);
        Assert.Contains("inner words", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_mistake_of_ours_is_not_called_unavailable() =>
        Assert.Null(SqliteFaults.FindUnavailable(new SqliteException("no such table: x", 1)));

    [Theory]
    [InlineData("Data Source=:memory:")]
    [InlineData("Data Source=x;Mode=Memory")]
    [InlineData("Cache=Shared")]
    public void A_database_in_memory_is_refused(string connectionString) =>
        Assert.Throws<ArgumentException>(() => new SqlitePengxStore(connectionString));

    private static async Task SaveAsync(SqlitePengxStore store, Action<IStoreSession> change)
    {
        await using var session = await store.OpenAsync(Token);
        change(session);
        await session.SaveAsync(Token);
    }
}

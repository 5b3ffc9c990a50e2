using System.Runtime.CompilerServices;
using Microsoft.Data.Sqlite;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Diagnostics;
using Microsoft.EntityFrameworkCore.Infrastructure;
using Microsoft.Extensions.Logging;

namespace Pengx.Data;

/// <summary>One database file: hands out connections, lets one writer in at a time, and says in words why it cannot.</summary>
internal sealed class SqliteDatabase : IAsyncDisposable
{
    // SQLite has one writer per file. Waiting here costs nothing; waiting inside SQLite blocks a thread and is not fair.
    private readonly SemaphoreSlim _writer = new(1, 1);
    private readonly PooledDbContextFactory<PengxContext> _contexts;
    private readonly ILogger _logger;

    public SqliteDatabase(string connectionString, ILoggerFactory loggerFactory)
    {
        var settings = new SqliteConnectionStringBuilder(connectionString);
        if (string.IsNullOrWhiteSpace(settings.DataSource) || settings.DataSource == ":memory:" || settings.Mode == SqliteOpenMode.Memory)
        {
            throw new ArgumentException("The connection string must name a file, as in 'Data Source=/var/lib/pengx/pengx.db': a database in memory would not outlive the service.", nameof(connectionString));
        }

        // A file that vanished while the service runs must not come back empty: only the upgrade creates it.
        if (settings.Mode == SqliteOpenMode.ReadWriteCreate)
        {
            settings.Mode = SqliteOpenMode.ReadWrite;
        }

        settings.ForeignKeys = true;
        Setup = new ConnectionSetup(settings.DefaultTimeout);
        ConnectionString = settings.ConnectionString;
        File = settings.DataSource;
        _logger = loggerFactory.CreateLogger("Pengx.Data");
        _contexts = new(new DbContextOptionsBuilder<PengxContext>()
            .UseSqlite(ConnectionString)
            .UseLoggerFactory(loggerFactory)
            .AddInterceptors(Setup)
            // Every query is a debugging matter, and every failure is reported by whoever asked: not twice.
            .ConfigureWarnings(warnings => warnings.Log(
                (RelationalEventId.CommandExecuted, LogLevel.Debug),
                (RelationalEventId.CommandError, LogLevel.Debug),
                (RelationalEventId.ConnectionError, LogLevel.Debug),
                (RelationalEventId.TransactionError, LogLevel.Debug),
                (CoreEventId.QueryIterationFailed, LogLevel.Debug),
                (CoreEventId.SaveChangesFailed, LogLevel.Debug)))
            .Options);
    }

    public string ConnectionString { get; }

    public string File { get; }

    public ConnectionSetup Setup { get; }

    public PengxContext CreateContext() => _contexts.CreateDbContext();

    public Task UpgradeAsync(CancellationToken cancellationToken) =>
        GuardAsync(async () =>
        {
            await SqliteUpgrade.RunAsync(this, _logger, cancellationToken).ConfigureAwait(false);
            return true;
        });

    public Task<T> ReadAsync<T>(Func<PengxContext, CancellationToken, Task<T>> query, CancellationToken cancellationToken) =>
        GuardAsync(async () =>
        {
            var context = CreateContext();
            await using (context.ConfigureAwait(false))
            {
                return await query(context, cancellationToken).ConfigureAwait(false);
            }
        });

    public async Task<T?> FindAsync<TRow, T>(Func<PengxContext, IQueryable<TRow>> query, Func<TRow, T> map, CancellationToken cancellationToken)
        where TRow : class
        where T : class
    {
        var row = await ReadAsync((context, token) => query(context).AsNoTracking().FirstOrDefaultAsync(token), cancellationToken).ConfigureAwait(false);
        return row is null ? null : map(row);
    }

    public async Task<IReadOnlyList<T>> ListAsync<TRow, T>(Func<PengxContext, IQueryable<TRow>> query, Func<TRow, T> map, CancellationToken cancellationToken)
        where TRow : class =>
        (await ReadAsync((context, token) => query(context).AsNoTracking().ToListAsync(token), cancellationToken).ConfigureAwait(false)).ConvertAll(row => map(row));

    public async IAsyncEnumerable<T> StreamAsync<TRow, T>(
        Func<PengxContext, IQueryable<TRow>> query, Func<TRow, T> map, [EnumeratorCancellation] CancellationToken cancellationToken)
        where TRow : class
    {
        var context = CreateContext();
        await using (context.ConfigureAwait(false))
        {
            var rows = query(context).AsNoTracking().AsAsyncEnumerable().GetAsyncEnumerator(cancellationToken);
            await using (rows.ConfigureAwait(false))
            {
                while (await GuardAsync(() => rows.MoveNextAsync().AsTask()).ConfigureAwait(false))
                {
                    yield return map(rows.Current);
                }
            }
        }
    }

    public Task WriteAsync(Func<PengxContext, CancellationToken, Task> work, CancellationToken cancellationToken) =>
        WriteAsync(
            async (context, token) =>
            {
                await work(context, token).ConfigureAwait(false);
                return true;
            },
            cancellationToken);

    /// <summary>Runs work in one transaction that holds the write lock from its first read on; commits when it returns.</summary>
    public async Task<T> WriteAsync<T>(Func<PengxContext, CancellationToken, Task<T>> work, CancellationToken cancellationToken)
    {
        await _writer.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            return await GuardAsync(() => TransactAsync(work, cancellationToken)).ConfigureAwait(false);
        }
        finally
        {
            _writer.Release();
        }
    }

    /// <summary>Takes the next number of a table, in a transaction of its own.</summary>
    public Task<int> NextNumberAsync(string name, Func<PengxContext, IQueryable<int>> used, CancellationToken cancellationToken) =>
        WriteAsync(
            async (context, token) =>
            {
                var row = await context.Numbers.FirstOrDefaultAsync(number => number.Name == name, token).ConfigureAwait(false);
                if (row is null)
                {
                    row = new NumberRow { Name = name };
                    context.Add(row);
                }

                var highest = await used(context).MaxAsync(number => (int?)number, token).ConfigureAwait(false) ?? 0;
                row.Last = checked(Math.Max(row.Last, highest) + 1);
                await context.SaveChangesAsync(token).ConfigureAwait(false);
                return row.Last;
            },
            cancellationToken);

    public ValueTask DisposeAsync()
    {
        // The last connection to close folds the write-ahead log into the file.
        using var connection = new SqliteConnection(ConnectionString);
        SqliteConnection.ClearPool(connection);
        _writer.Dispose();
        return ValueTask.CompletedTask;
    }

    private async Task<T> TransactAsync<T>(Func<PengxContext, CancellationToken, Task<T>> work, CancellationToken cancellationToken)
    {
        var context = CreateContext();
        await using (context.ConfigureAwait(false))
        {
            // The whole transaction is undone on failure, so EF's savepoint around each save would be work for nothing.
            context.Database.AutoSavepointsEnabled = false;
            var transaction = await context.Database.BeginTransactionAsync(cancellationToken).ConfigureAwait(false);
            await using (transaction.ConfigureAwait(false))
            {
                // References need to hold at the end, not after every statement: rows that name each other come in any order.
                await context.Database.ExecuteSqlRawAsync("PRAGMA defer_foreign_keys = ON", cancellationToken).ConfigureAwait(false);
                try
                {
                    var result = await work(context, cancellationToken).ConfigureAwait(false);
                    await transaction.CommitAsync(cancellationToken).ConfigureAwait(false);
                    return result;
                }
                catch (Exception exception) when (SqliteFaults.Find(exception) is { SqliteErrorCode: SqliteFaults.Constraint } fault)
                {
                    throw SqliteConstraints.Explain(context, exception, fault);
                }
            }
        }
    }

    private async Task<T> GuardAsync<T>(Func<Task<T>> work)
    {
        try
        {
            return await work().ConfigureAwait(false);
        }
        catch (Exception exception) when (exception is not PengxException && SqliteFaults.FindUnavailable(exception) is { } fault)
        {
            Log.DatabaseFailed(_logger, File, fault.SqliteExtendedErrorCode, fault);
            throw SqliteFaults.Unavailable(File, fault);
        }
    }
}

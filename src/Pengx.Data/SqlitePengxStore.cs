using Microsoft.Data.Sqlite;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Pengx.Orchestration;

namespace Pengx.Data;

/// <summary>The database in one SQLite file, for one service on a local disk. Safe for concurrent use: readers never wait,
/// writers take turns, and what was saved survives a power loss.</summary>
public sealed class SqlitePengxStore : IPengxStore, IAsyncDisposable
{
    private readonly SqliteDatabase _database;

    /// <summary>Makes a store; nothing is opened before <see cref="InitializeAsync"/>.</summary>
    /// <param name="connectionString">A connection string of Microsoft.Data.Sqlite that names a file, such as <c>Data Source=/var/lib/pengx/pengx.db</c>.</param>
    /// <param name="loggerFactory">Where it logs; nowhere by default.</param>
    /// <exception cref="ArgumentException">The connection string is malformed or names no file.</exception>
    public SqlitePengxStore(string connectionString, ILoggerFactory? loggerFactory = null)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(connectionString);
        _database = new SqliteDatabase(connectionString, loggerFactory ?? NullLoggerFactory.Instance);
        Journal = new OperationJournal(_database);
    }

    /// <summary>The journal of operations, in the same file.</summary>
    public IOperationJournal Journal { get; }

    /// <summary>Makes a store of a file; nothing is opened before <see cref="InitializeAsync"/>.</summary>
    /// <param name="path">The file; created when it is not there, its directory must be.</param>
    /// <param name="loggerFactory">Where it logs; nowhere by default.</param>
    public static SqlitePengxStore Open(string path, ILoggerFactory? loggerFactory = null)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(path);
        return new(new SqliteConnectionStringBuilder { DataSource = Path.GetFullPath(path) }.ConnectionString, loggerFactory);
    }

    /// <summary>Creates the file (readable by its owner only) or upgrades it, all or nothing, and checks that it is whole.</summary>
    /// <param name="cancellationToken">Ends the call.</param>
    /// <exception cref="UnavailableException">It cannot be opened or written, is damaged, or was written by a newer version;
    /// the message says what to do.</exception>
    public Task InitializeAsync(CancellationToken cancellationToken = default) => _database.UpgradeAsync(cancellationToken);

    /// <inheritdoc/>
    public Task<IStoreSession> OpenAsync(CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        return Task.FromResult<IStoreSession>(new StoreSession(_database));
    }

    /// <summary>Closes the file. Sessions must be done.</summary>
    public ValueTask DisposeAsync() => _database.DisposeAsync();
}

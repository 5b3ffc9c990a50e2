using Microsoft.Data.Sqlite;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Infrastructure;
using Microsoft.EntityFrameworkCore.Migrations;
using Microsoft.EntityFrameworkCore.Storage;
using Microsoft.Extensions.Logging;

namespace Pengx.Data;

/// <summary>Brings a database file to this version of the program.</summary>
/// <remarks>EF's own <c>MigrateAsync</c> guards SQLite with a lock row, which a killed process leaves behind for ever. Here all
/// missing migrations run in one transaction under SQLite's write lock: another process waits, and a kill undoes it.</remarks>
internal static class SqliteUpgrade
{
    public static async Task RunAsync(SqliteDatabase database, ILogger logger, CancellationToken cancellationToken)
    {
        CreateFile(database.File);

        var settings = new SqliteConnectionStringBuilder(database.ConnectionString) { ForeignKeys = false, Pooling = false };
        var connection = new SqliteConnection(settings.ConnectionString);
        await using (connection.ConfigureAwait(false))
        {
            await connection.OpenAsync(cancellationToken).ConfigureAwait(false);
            database.Setup.Apply(connection);
            CheckPages(connection, database.File);
            SwitchToWriteAheadLog(connection, database.File);

            var context = new PengxContext(new DbContextOptionsBuilder<PengxContext>().UseSqlite(connection).Options);
            await using (context.ConfigureAwait(false))
            {
                await MigrateAsync(context, connection, database.File, logger, cancellationToken).ConfigureAwait(false);
            }
        }
    }

    private static async Task MigrateAsync(PengxContext context, SqliteConnection connection, string file, ILogger logger, CancellationToken cancellationToken)
    {
        var transaction = await connection.BeginTransactionAsync(cancellationToken).ConfigureAwait(false);
        await using (transaction.ConfigureAwait(false))
        {
            await context.Database.UseTransactionAsync(transaction, cancellationToken).ConfigureAwait(false);
            List<string> known = [.. context.Database.GetMigrations()];
            List<string> applied = [.. await context.Database.GetAppliedMigrationsAsync(cancellationToken).ConfigureAwait(false)];
            var newer = applied.Except(known).ToList();
            if (newer.Count > 0)
            {
                throw new UnavailableException(
                    $"The database {file} was written by a newer version of Pengx (it has the upgrade '{newer[^1]}', this version ends at '{known[^1]}'). Start that version, or restore a backup of the file from before its upgrade.");
            }

            var missing = known.Count - applied.Count;
            if (missing > 0)
            {
                var script = context.GetService<IMigrator>().GenerateScript(
                    applied.LastOrDefault() ?? Migration.InitialDatabase, toMigration: null, MigrationsSqlGenerationOptions.NoTransactions);
                Execute(connection, script);
                if (Execute(connection, "SELECT count(*) FROM pragma_foreign_key_check") is not 0L)
                {
                    throw new UnavailableException($"The database {file} cannot be upgraded: rows in it refer to rows that are not there. Restore the newest backup of the file; it is unchanged now.");
                }
            }

            await transaction.CommitAsync(cancellationToken).ConfigureAwait(false);
            Log.DatabaseReady(logger, file, known[^1], missing);
        }
    }

    // SQLite would create the file readable by all; it holds the passwords of consoles.
    private static void CreateFile(string file)
    {
        try
        {
            var options = new FileStreamOptions { Mode = FileMode.OpenOrCreate, Access = FileAccess.ReadWrite, Share = FileShare.ReadWrite | FileShare.Delete };
            if (!OperatingSystem.IsWindows())
            {
                options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
            }

            File.Open(file, options).Dispose();
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new UnavailableException(
                $"The database {file} cannot be opened for writing: {exception.Message} Create its directory and give it to the service's user, or point the connection string elsewhere.", exception);
        }
    }

    private static void CheckPages(SqliteConnection connection, string file)
    {
        if (Execute(connection, "PRAGMA quick_check(1)") is string verdict && verdict != "ok")
        {
            throw new UnavailableException($"The database {file} is damaged ({verdict}). Stop the service and restore the newest backup of the file, or save what is left with sqlite3's .recover.");
        }
    }

    private static void SwitchToWriteAheadLog(SqliteConnection connection, string file)
    {
        if (Execute(connection, "PRAGMA journal_mode = WAL") is not "wal")
        {
            throw new UnavailableException($"The database {file} lies where SQLite cannot keep a write-ahead log, such as a network file system. Put it on a local disk.");
        }
    }

    private static object? Execute(SqliteConnection connection, string sql)
    {
        using var command = connection.CreateCommand();
        command.CommandText = sql;
        return command.ExecuteScalar();
    }
}

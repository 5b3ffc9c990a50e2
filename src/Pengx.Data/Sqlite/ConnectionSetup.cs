using System.Data.Common;
using Microsoft.EntityFrameworkCore.Diagnostics;

namespace Pengx.Data;

/// <summary>Sets what SQLite keeps per connection: how long to wait for another process's lock, and that a commit is on the
/// disk before it is reported (in WAL mode only FULL promises that across a power loss).</summary>
internal sealed class ConnectionSetup : DbConnectionInterceptor
{
    private const string Pragmas = "PRAGMA busy_timeout = 5000; PRAGMA synchronous = FULL;";

    public override void ConnectionOpened(DbConnection connection, ConnectionEndEventData eventData) => Apply(connection);

    public override Task ConnectionOpenedAsync(DbConnection connection, ConnectionEndEventData eventData, CancellationToken cancellationToken = default)
    {
        // SQLite has no asynchronous calls; this one only sets two variables.
        Apply(connection);
        return Task.CompletedTask;
    }

    public static void Apply(DbConnection connection)
    {
        using var command = connection.CreateCommand();
        command.CommandText = Pragmas;
        command.ExecuteNonQuery();
    }
}

using System.Diagnostics;
using System.Globalization;
using Microsoft.Data.Sqlite;
using Pengx.Orchestration;

namespace Pengx.Data.Tests;

public sealed class CrashTests : IAsyncDisposable
{
    private readonly TemporaryDatabase _database = new();

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public ValueTask DisposeAsync() => _database.DisposeAsync();

    [Fact]
    public async Task A_killed_service_loses_nothing_that_it_acknowledged()
    {
        List<string> acknowledged = [];
        foreach (var writes in (int[])[1, 40, 95])
        {
            acknowledged.AddRange(await WriteAndKillAsync(writes));
        }

        var numbers = acknowledged.Where(line => line.StartsWith("saved ", StringComparison.Ordinal)).Select(line => int.Parse(line[6..], CultureInfo.InvariantCulture)).ToList();
        var finished = Operations("finished ").ToHashSet();
        Assert.True(numbers.Count > 40 && finished.Count > 40, "The writers did not come to write.");
        Assert.Distinct(numbers);

        await using var store = await _database.ReadyStoreAsync();
        await using var session = await store.OpenAsync(Token);
        var storlinks = await session.Storlinks.ListAsync(Token).Select(row => row.Id.Value).ToListAsync(Token);
        var pm = await session.PhysicalMachines.ListAsync(Token).SingleAsync(Token);
        Assert.Equal(storlinks, (await session.Networks.ListByPmAsync(pm.Id, Token)).Select(row => row.Id).Order());
        Assert.Empty(numbers.Except(storlinks));
        Assert.InRange(storlinks.Count - numbers.Count, 0, 3);

        var locked = (await store.Journal.ListLocksAsync(Token)).Select(held => held.Operation).ToHashSet();
        foreach (var id in Operations("journaled "))
        {
            var operation = await store.Journal.FindAsync(id, Token);
            Assert.NotNull(operation);
            Assert.True(operation.Checkpoint.IsFinished || !finished.Contains(id), $"Operation {id} was acknowledged as finished.");
            Assert.NotEqual(operation.Checkpoint.IsFinished, locked.Contains(id));
        }

        Assert.Equal("ok", Execute("PRAGMA integrity_check"));
        Assert.Null(Execute("PRAGMA foreign_key_check"));

        IEnumerable<OperationId> Operations(string prefix) => acknowledged.Where(line => line.StartsWith(prefix, StringComparison.Ordinal))
            .Select(line => new OperationId(Guid.Parse(line[prefix.Length..])));
    }

    /// <summary>Returns all lines that the writer got out before it was killed, also those after the one that caused it.</summary>
    private async Task<List<string>> WriteAndKillAsync(int writes)
    {
        var start = new ProcessStartInfo(Path.Combine(AppContext.BaseDirectory, "Pengx.Data.Tests")) { RedirectStandardOutput = true };
        start.Environment[CrashWriter.Variable] = _database.File;
        using var writer = Process.Start(start)!;
        List<string> lines = [];
        try
        {
            while (lines.Count < writes && await writer.StandardOutput.ReadLineAsync(Token) is { } line)
            {
                lines.Add(line);
            }
        }
        finally
        {
            writer.Kill();
        }

        Assert.Equal(writes, lines.Count);
        while (await writer.StandardOutput.ReadLineAsync(Token) is { } line)
        {
            lines.Add(line);
        }

        await writer.WaitForExitAsync(Token);
        return lines;
    }

    private object? Execute(string sql)
    {
        using var connection = new SqliteConnection($"Data Source={_database.File};Pooling=False");
        connection.Open();
        using var command = connection.CreateCommand();
        command.CommandText = sql;
        return command.ExecuteScalar();
    }
}

using System.Globalization;
using Microsoft.Data.Sqlite;

namespace Pengx.Data.Tests;

/// <summary>Many machines in a database of SQLite: copies of the rows of one, which takes seconds where storing each would take minutes.</summary>
internal static class CopiedMachines
{
    /// <summary>Copies a machine with its disks and its interface.</summary>
    /// <param name="file">The database.</param>
    /// <param name="name">The machine's name, unlike any other's; the copies have a number behind it.</param>
    /// <param name="nic">The number of its interface.</param>
    /// <param name="disksEach">How many disks it has, in places from 0 on.</param>
    /// <param name="from">The number of the first copy: 1, or how many machines there are by earlier calls.</param>
    /// <param name="count">How many machines there are afterwards.</param>
    public static async Task AddAsync(string file, string name, int nic, int disksEach, int from, int count)
    {
        await using var connection = new SqliteConnection($"Data Source={file};Pooling=False");
        await connection.OpenAsync(TestContext.Current.CancellationToken);
        var machine = $"s.name = '{name}'";
        await CopyAsync("virtual_machines", new() { ["id"] = Uuid("n"), ["name"] = "s.name || n", ["created_at"] = "s.created_at + n % 100" }, machine);
        await CopyAsync("vm_interfaces", new() { ["id"] = "1000 + n", ["vm"] = Uuid("n"), ["mac"] = "printf('00:16:3e:01:%02x:%02x', n / 256, n % 256)" }, Text($"s.id = {nic}"));
        for (var order = 0; order < disksEach; order++)
        {
            await CopyAsync(
                "disks",
                new() { ["id"] = Uuid(Text($"n + {(order + 1) * 1_000_000}")), ["owner_id"] = Uuid("n") },
                Text($"s.position = {order} and s.owner_id = (select id from virtual_machines s where {machine})"));
        }

        async Task CopyAsync(string table, Dictionary<string, string> changed, string which)
        {
            await using var columns = connection.CreateCommand();
            columns.CommandText = $"select name from pragma_table_info('{table}')";
            List<string> names = [];
            await using (var reader = await columns.ExecuteReaderAsync(TestContext.Current.CancellationToken))
            {
                while (await reader.ReadAsync(TestContext.Current.CancellationToken))
                {
                    names.Add(reader.GetString(0));
                }
            }

            await using var copy = connection.CreateCommand();
            copy.CommandText = Text(
                $"""
                with recursive numbers(n) as (select {from} union all select n + 1 from numbers where n < {count - 1})
                insert into {table} ({string.Join(", ", names.Select(column => $"\"{column}\""))})
                select {string.Join(", ", names.Select(column => changed.GetValueOrDefault(column, $"s.\"{column}\"")))} from {table} s, numbers where {which}
                """);
            Assert.Equal(count - from, await copy.ExecuteNonQueryAsync(TestContext.Current.CancellationToken));
        }

        static string Uuid(string number) => $"printf('%08X-0000-4000-8000-000000000000', {number})";

        static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
    }
}

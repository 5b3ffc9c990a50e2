using System.Globalization;
using Microsoft.Data.Sqlite;
using Microsoft.EntityFrameworkCore;

namespace Pengx.Data;

/// <summary>Turns a broken constraint into the error that a user understands.</summary>
internal static class SqliteConstraints
{
    /// <summary>What a broken constraint means; the transaction that broke it is still open.</summary>
    public static Exception Explain(PengxContext context, Exception exception, SqliteException fault)
    {
        var row = (exception as DbUpdateException)?.Entries.Select(entry => entry.Entity).OfType<Row>().FirstOrDefault();
        return fault.SqliteExtendedErrorCode switch
        {
            SqliteFaults.ConstraintPrimaryKey when row is not null =>
                new ConcurrencyException($"The {row.Title} was added by another in between; nothing was changed. Read it again and decide anew."),
            SqliteFaults.ConstraintUnique when row?.Taken() is { } taken => taken,
            SqliteFaults.ConstraintForeignKey => BrokenReference(context) ?? exception,
            _ => exception,
        };
    }

    // Deferred references are checked by the commit, which does not say what was wrong; the open transaction still knows.
    private static InUseException? BrokenReference(PengxContext context)
    {
        using var find = context.Database.GetDbConnection().CreateCommand();
        find.CommandText = """
            SELECT v."table", v.rowid, v.parent, k."from", count(*) OVER (PARTITION BY v."table", v.parent)
            FROM pragma_foreign_key_check AS v JOIN pragma_foreign_key_list(v."table") AS k ON k.id = v.fkid
            LIMIT 1
            """;
        string table, parent, column;
        long rowid, count;
        using (var reader = find.ExecuteReader())
        {
            if (!reader.Read())
            {
                return null;
            }

            (table, rowid, parent, column, count) = (reader.GetString(0), reader.GetInt64(1), reader.GetString(2), reader.GetString(3), reader.GetInt64(4));
        }

        // Names out of SQLite's own catalogue: nothing of a user's is in this text.
        find.CommandText = $"SELECT \"{column}\" FROM \"{table}\" WHERE rowid = {rowid.ToString(CultureInfo.InvariantCulture)}";
        var missing = Convert.ToString(find.ExecuteScalar(), CultureInfo.InvariantCulture)?.ToLowerInvariant();
        return new($"{Noun(parent)} {missing} is not there or was to be deleted, but {count.ToString(CultureInfo.InvariantCulture)} of the database's {Nouns(table)} belong to it; nothing was changed.");
    }

    private static string Noun(string table) => Nouns(table)[..^1];

    private static string Nouns(string table) => table switch
    {
        PengxContext.PhysicalMachinesTable => "PMs",
        PengxContext.VirtualMachinesTable => "VMs",
        PengxContext.VmInterfacesTable => "interfaces",
        PengxContext.StorageLayersTable => "storages",
        PengxContext.DnsTable => "DNS entries",
        PengxContext.SriovTable => "SR-IOV cards",
        PengxContext.Ocfs2NodesTable => "OCFS2 nodes",
        _ => table,
    };
}

using Microsoft.Data.Sqlite;

namespace Pengx.Data;

/// <summary>Says what SQLite's failures mean and what to do about them.</summary>
/// <remarks>Source: SQLite, "Result and Error Codes".</remarks>
internal static class SqliteFaults
{
    public const int Constraint = 19;
    public const int ConstraintForeignKey = 787;
    public const int ConstraintPrimaryKey = 1555;
    public const int ConstraintUnique = 2067;

    private const int Permission = 3;
    private const int Busy = 5;
    private const int Locked = 6;
    private const int ReadOnly = 8;
    private const int InputOutput = 10;
    private const int Corrupt = 11;
    private const int Full = 13;
    private const int CannotOpen = 14;
    private const int NotADatabase = 26;

    /// <summary>The failure of SQLite that an exception comes from.</summary>
    public static SqliteException? Find(Exception? exception)
    {
        while (exception is not null and not SqliteException)
        {
            exception = exception.InnerException;
        }

        return exception as SqliteException;
    }

    /// <summary>The failure of SQLite that makes the database unusable now; <see langword="null"/> for any other.</summary>
    public static SqliteException? FindUnavailable(Exception exception) =>
        Find(exception) is { } fault && Advice(fault.SqliteErrorCode) is not null ? fault : null;

    public static UnavailableException Unavailable(string file, SqliteException fault) =>
        new($"The database {file} {Advice(fault.SqliteErrorCode)} ({fault.Message.TrimEnd('.')}; code {fault.SqliteExtendedErrorCode})", fault);

    private static string? Advice(int code) => code switch
    {
        Permission or ReadOnly => "cannot be written. Give the service's user write permission on the file and its directory.",
        Busy or Locked => "is held by another process. Find and end what keeps it open, then try again.",
        InputOutput => "cannot be read or written. Check the disk and the kernel's log.",
        Corrupt => "is damaged. Stop the service and restore the newest backup of the file, or save what is left with sqlite3's .recover.",
        Full => "cannot grow: its file system is full. Free some space.",
        CannotOpen => "cannot be opened. Check that its directory exists and that the service's user may use it.",
        NotADatabase => "is not an SQLite database, or is damaged. Point the connection string at the right file, or restore the newest backup.",
        _ => null,
    };
}

namespace Pengx.Data;

/// <summary>Times are stored as UTC ticks (100 ns since 0001-01-01): exact, and sorted right by every database.</summary>
internal static class StoredTime
{
    public static DateTimeOffset From(long ticks) => new(ticks, TimeSpan.Zero);

    public static DateTimeOffset? From(long? ticks) => ticks is { } known ? From(known) : null;
}

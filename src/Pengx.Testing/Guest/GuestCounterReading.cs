namespace Pengx.Testing;

/// <summary>What <see cref="GuestCounter.ReadAsync"/> found on the guest's second disk.</summary>
public sealed record GuestCounterReading
{
    /// <summary>The numbers of all whole records, ascending.</summary>
    public required IReadOnlyList<long> Records { get; init; }

    /// <summary>
    /// Slots that are neither empty nor a whole record. The only one that a sudden stop of the machine explains is the slot
    /// after the newest record's: a write was under way there, and its number had not been printed yet.
    /// </summary>
    public required IReadOnlyList<int> DamagedSlots { get; init; }

    /// <summary>The newest whole record's number, or 0.</summary>
    public long Newest => Records.Count == 0 ? 0 : Records[^1];
}

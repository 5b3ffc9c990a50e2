using System.Collections.Frozen;

namespace Pengx.Qmp;

/// <summary>Which events a subscription wants.</summary>
public sealed class QmpEventFilter
{
    private readonly FrozenSet<string>? _names;

    private QmpEventFilter(FrozenSet<string>? names) => _names = names;

    /// <summary>Every event.</summary>
    public static QmpEventFilter All { get; } = new(null);

    /// <summary>The events of the given names.</summary>
    /// <param name="names">At least one name, as QEMU spells it.</param>
    public static QmpEventFilter Named(params IReadOnlyCollection<string> names)
    {
        ArgumentNullException.ThrowIfNull(names);
        ArgumentOutOfRangeException.ThrowIfZero(names.Count, nameof(names));
        return new QmpEventFilter(names.ToFrozenSet(StringComparer.Ordinal));
    }

    /// <summary>Whether an event is wanted.</summary>
    /// <param name="name">The event's name.</param>
    public bool Matches(string name) => _names is null || _names.Contains(name);
}

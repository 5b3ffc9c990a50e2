using System.Diagnostics.CodeAnalysis;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;

namespace Pengx.Qmp.Qapi;

/// <summary>An event as a value: its name, and how its data is read. <see cref="QapiEvents"/> has them all.</summary>
/// <typeparam name="TData">The data; <see cref="QmpEmpty"/> for none.</typeparam>
public sealed class QapiEvent<TData>
    where TData : class
{
    private readonly JsonTypeInfo<TData> _data;

    internal QapiEvent(string name, JsonTypeInfo<TData> data)
    {
        Name = name;
        _data = data;
    }

    /// <summary>The event's name, as QEMU spells it.</summary>
    public string Name { get; }

    /// <summary>A filter for this event alone.</summary>
    public QmpEventFilter Filter => field ??= QmpEventFilter.Named(Name);

    /// <summary>Reads the data, if the event is this one.</summary>
    /// <param name="qmpEvent">An event of any name.</param>
    /// <param name="data">Its data.</param>
    /// <returns>False if the event is another one.</returns>
    /// <exception cref="QmpProtocolException">The event is this one, and its data does not fit <typeparamref name="TData"/>.</exception>
    public bool TryRead(QmpEvent qmpEvent, [NotNullWhen(true)] out TData? data)
    {
        ArgumentNullException.ThrowIfNull(qmpEvent);
        data = null;
        if (qmpEvent.Name != Name)
        {
            return false;
        }

        try
        {
            data = typeof(TData) == typeof(QmpEmpty) ? (TData)(object)QmpEmpty.Instance : qmpEvent.Data.Deserialize(_data);
        }
        catch (JsonException exception)
        {
            throw new QmpProtocolException($"The data of the event '{Name}' does not fit {typeof(TData).Name}.", exception);
        }

        return data is not null;
    }

    /// <summary>Reads the data.</summary>
    /// <param name="qmpEvent">The event.</param>
    /// <exception cref="ArgumentException">It is another event.</exception>
    /// <exception cref="QmpProtocolException">Its data does not fit <typeparamref name="TData"/>.</exception>
    public TData Read(QmpEvent qmpEvent) =>
        TryRead(qmpEvent, out TData? data) ? data : throw new ArgumentException($"The event is '{qmpEvent.Name}', not '{Name}'.", nameof(qmpEvent));

    /// <inheritdoc/>
    public override string ToString() => Name;
}

namespace Pengx.Client;

/// <summary>One element of an answer: how a <typeparamref name="T"/> is written on the wire and read from it. See <see cref="PengxShapes"/>.</summary>
/// <typeparam name="T">The contract.</typeparam>
public sealed class XmlShape<T>
{
    private readonly Action<WireWriter, T> _write;
    private readonly Func<WireElement, T> _read;

    internal XmlShape(string elementName, string? listName, Action<WireWriter, T> write, Func<WireElement, T> read)
    {
        ElementName = elementName;
        ListName = listName;
        _write = write;
        _read = read;
    }

    /// <summary>The element's name.</summary>
    public string ElementName { get; }

    /// <summary>The name of the element around a list of them; null where the wire has no such list.</summary>
    public string? ListName { get; }

    internal void Write(WireWriter writer, T value) => _write(writer, value);

    internal T Read(WireElement element) => _read(element);
}

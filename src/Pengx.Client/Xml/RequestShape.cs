namespace Pengx.Client;

/// <summary>One request body: how a <typeparamref name="T"/> is written by a client and bound by a server. See <see cref="PengxRequests"/>.</summary>
/// <typeparam name="T">The contract.</typeparam>
public sealed class RequestShape<T>
{
    private readonly Action<WireWriter, T> _write;
    private readonly Func<FieldBinder, T> _bind;

    internal RequestShape(string[] roots, Action<WireWriter, T> write, Func<FieldBinder, T> bind)
    {
        Roots = roots;
        _write = write;
        _bind = bind;
    }

    /// <summary>The root elements that a server accepts; the client writes the first, which is the reference's.</summary>
    public IReadOnlyList<string> Roots { get; }

    /// <summary>Binds a document to the contract: order free, unknown elements ignored, an empty element is one that was not given.</summary>
    /// <param name="document">The body that was read.</param>
    /// <returns>The request.</returns>
    /// <exception cref="XmlRefusedException">Its root is none of <see cref="Roots"/>.</exception>
    /// <exception cref="InvalidRequestException">Fields are missing or not of their kind: all of them are named.</exception>
    public T Bind(RequestDocument document)
    {
        ArgumentNullException.ThrowIfNull(document);
        var name = document.Root.Name;
        if (!Roots.Contains(name, StringComparer.Ordinal))
        {
            throw new XmlRefusedException(
                XmlRefusal.WrongRoot,
                $"The root element is <{FieldBinder.Shown(name)}>; this request takes {string.Join(" or ", Roots.Select(root => $"<{root}>"))}.");
        }

        var binder = new FieldBinder(document.Root);
        var value = _bind(binder);
        binder.ThrowIfInvalid();
        return value;
    }

    internal void Write(WireWriter writer, T value)
    {
        writer.Begin(Roots[0]);
        _write(writer, value);
        writer.End();
    }
}

namespace Pengx.Client;

/// <summary>A request body that was read and is well-formed, within its limits and free of DTDs; nothing in it is judged yet.</summary>
public sealed class RequestDocument
{
    internal RequestDocument(WireElement root) => Root = root;

    /// <summary>The root element.</summary>
    public WireElement Root { get; }
}

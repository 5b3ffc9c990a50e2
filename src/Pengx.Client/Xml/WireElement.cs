namespace Pengx.Client;

/// <summary>One element of a document that was read: its name, its text, its <c>id</c> and what lies in it.</summary>
public sealed class WireElement
{
    private List<WireElement>? _children;

    internal WireElement(string name, string? id)
    {
        Name = name;
        Id = id;
    }

    /// <summary>The element's local name.</summary>
    public string Name { get; }

    /// <summary>Its <c>id</c> attribute, trimmed; null when missing or empty.</summary>
    public string? Id { get; }

    /// <summary>Its own text, trimmed; null when empty, which on this wire means "not given".</summary>
    public string? Text { get; internal set; }

    /// <summary>The elements in it, in the order they were sent.</summary>
    public IReadOnlyList<WireElement> Children => _children is null ? [] : _children;

    /// <summary>The first element of that name in it, or null.</summary>
    /// <param name="name">The element's name, as the reference spells it.</param>
    /// <returns>The element, or null.</returns>
    public WireElement? Find(string name)
    {
        if (_children is null)
        {
            return null;
        }

        foreach (var child in _children)
        {
            if (string.Equals(child.Name, name, StringComparison.Ordinal))
            {
                return child;
            }
        }

        return null;
    }

    /// <summary>Every element of that name in it, in order.</summary>
    /// <param name="name">The element's name, as the reference spells it.</param>
    /// <returns>The elements; none when there is none.</returns>
    public IEnumerable<WireElement> FindAll(string name)
    {
        foreach (var child in Children)
        {
            if (string.Equals(child.Name, name, StringComparison.Ordinal))
            {
                yield return child;
            }
        }
    }

    internal void Add(WireElement child) => (_children ??= []).Add(child);
}

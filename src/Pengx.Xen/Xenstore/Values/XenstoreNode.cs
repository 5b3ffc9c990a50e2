namespace Pengx.Xen;

/// <summary>A node of the store with all below it, as it was read.</summary>
public sealed class XenstoreNode
{
    private List<XenstoreNode>? _children;

    internal XenstoreNode(XenstorePath path, string name)
    {
        Path = path;
        Name = name;
    }

    /// <summary>Where it is.</summary>
    public XenstorePath Path { get; }

    /// <summary>The last part of its path.</summary>
    public string Name { get; }

    /// <summary>What it holds; null if it must not be read by this client.</summary>
    public XenstoreValue? Value { get; internal set; }

    /// <summary>The nodes right below it, in the daemon's order; none if it must not be read by this client.</summary>
    public IReadOnlyList<XenstoreNode> Children => _children ?? (IReadOnlyList<XenstoreNode>)[];

    /// <summary>This node and all below it, each before those below it.</summary>
    public IEnumerable<XenstoreNode> DescendantsAndSelf()
    {
        Stack<XenstoreNode> left = new([this]);
        while (left.TryPop(out var node))
        {
            yield return node;
            for (var i = node.Children.Count - 1; i >= 0; i--)
            {
                left.Push(node.Children[i]);
            }
        }
    }

    /// <summary>A node below this one, or null.</summary>
    /// <param name="relative">One part or several, such as <c>device/vbd</c>, without a leading slash.</param>
    public XenstoreNode? Find(string relative)
    {
        ArgumentException.ThrowIfNullOrEmpty(relative);
        var node = this;
        foreach (var part in relative.AsSpan().Split('/'))
        {
            XenstoreNode? next = null;
            foreach (var child in node.Children)
            {
                if (relative.AsSpan()[part].SequenceEqual(child.Name))
                {
                    next = child;
                    break;
                }
            }

            if (next is null)
            {
                return null;
            }

            node = next;
        }

        return node;
    }

    /// <summary>What a node below this one holds, as text; null if there is none or it must not be read.</summary>
    /// <param name="relative">One part or several, such as <c>memory/target</c>, without a leading slash.</param>
    public string? FindText(string relative) => Find(relative)?.Value?.ToString();

    /// <inheritdoc/>
    public override string ToString() => $"{Path} = \"{Value}\"";

    internal void SetChildren(List<XenstoreNode>? children) => _children = children;
}

using System.Globalization;

namespace Pengx.Testing;

/// <summary>A node of a fake store.</summary>
internal sealed class FakeXenstoreNode
{
    internal byte[] Value { get; set; } = [];

    internal string[] Permissions { get; set; } = ["n0"];

    internal ulong Generation { get; set; }

    /// <summary>In the order in which they were made, as the C daemon lists them.</summary>
    internal List<(string Name, FakeXenstoreNode Node)> Children { get; } = [];

    internal FakeXenstoreNode? Child(string name) => Children.Find(child => child.Name == name).Node;

    internal FakeXenstoreNode Copy()
    {
        FakeXenstoreNode copy = new() { Value = Value, Permissions = Permissions, Generation = Generation };
        copy.Children.AddRange(Children.Select(child => (child.Name, child.Node.Copy())));
        return copy;
    }
}

/// <summary>A whole store, or a transaction's copy of it, with what was changed.</summary>
internal sealed class FakeXenstoreTree(FakeXenstoreNode root, ulong generation)
{
    internal FakeXenstoreNode Root { get; } = root;

    internal ulong Generation { get; private set; } = generation;

    /// <summary>What was changed: the path, and whether it was removed.</summary>
    internal List<(string Path, bool IsRemoval)> Changes { get; } = [];

    internal FakeXenstoreNode? Find(string path)
    {
        var node = Root;
        foreach (var part in path.Split('/', StringSplitOptions.RemoveEmptyEntries))
        {
            node = node.Child(part);
            if (node is null)
            {
                return null;
            }
        }

        return node;
    }

    internal FakeXenstoreTree Copy() => new(Root.Copy(), Generation);

    /// <summary>The node, made with all above it where it is missing.</summary>
    internal FakeXenstoreNode Make(string path)
    {
        var node = Root;
        foreach (var part in path.Split('/', StringSplitOptions.RemoveEmptyEntries))
        {
            var child = node.Child(part);
            if (child is null)
            {
                child = new FakeXenstoreNode { Permissions = [.. node.Permissions], Generation = ++Generation };
                node.Children.Add((part, child));
                node.Generation = ++Generation;
            }

            node = child;
        }

        return node;
    }

    internal void Write(string path, byte[] value)
    {
        var node = Make(path);
        node.Value = value;
        node.Generation = ++Generation;
        Changes.Add((path, false));
    }

    /// <summary>The errno name, or null.</summary>
    internal string? Remove(string path)
    {
        var at = path.LastIndexOf('/');
        var name = path[(at + 1)..];
        var parent = Find(path[..at]);
        if (parent is null)
        {
            return "ENOENT";
        }

        var index = parent.Children.FindIndex(child => child.Name == name);
        if (index >= 0)
        {
            parent.Children.RemoveAt(index);
            parent.Generation = ++Generation;
            Changes.Add((path, true));
        }

        return null;
    }

    internal void Touch(FakeXenstoreNode node, string path)
    {
        node.Generation = ++Generation;
        Changes.Add((path, false));
    }

    internal static bool IsValid(string path) =>
        path.Length is > 0 and <= 3072
        && !path.Contains("//", StringComparison.Ordinal)
        && (path.Length == 1 || path[^1] != '/')
        && path.All(character => char.IsAsciiLetterOrDigit(character) || "-/_@".Contains(character, StringComparison.Ordinal));

    internal static string Text(ulong number) => number.ToString(CultureInfo.InvariantCulture);
}

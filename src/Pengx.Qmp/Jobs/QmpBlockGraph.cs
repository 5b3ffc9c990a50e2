using System.Text.Json.Nodes;
using System.Text.Json.Serialization;

namespace Pengx.Qmp;

/// <summary>
/// Everything that QEMU has open, as nodes with their edges: what a guest's disk reads from, what lies beneath, what uses what. A
/// look at one moment: jobs change it, so ask again before each operation rather than keep it.
/// </summary>
public sealed class QmpBlockGraph
{
    private static readonly QmpCommand<QmpEmpty, QmpDebugBlockGraph> s_debugGraph =
        new("x-debug-query-block-graph", QmpJobJsonContext.Default.QmpEmpty, QmpJobJsonContext.Default.QmpDebugBlockGraph);

    private readonly Dictionary<string, QmpBlockGraphNode> _nodes;

    private QmpBlockGraph(IReadOnlyList<QmpBlockDevice> devices, IReadOnlyList<QmpBlockGraphNode> nodes, bool hasEdges)
    {
        Devices = devices;
        Nodes = nodes;
        HasEdges = hasEdges;
        _nodes = nodes.ToDictionary(node => node.Name, StringComparer.Ordinal);
    }

    /// <summary>The guest's disks and drives.</summary>
    public IReadOnlyList<QmpBlockDevice> Devices { get; }

    /// <summary>The nodes, in QEMU's order.</summary>
    public IReadOnlyList<QmpBlockGraphNode> Nodes { get; }

    /// <summary>Whether QEMU told the edges: by the nodes themselves (10.1 and later), or by its debugging command (4.0 and later).</summary>
    public bool HasEdges { get; }

    /// <summary>Asks QEMU.</summary>
    /// <param name="client">The session.</param>
    /// <param name="cancellationToken">Gives up the wait.</param>
    public static async Task<QmpBlockGraph> QueryAsync(IQmpClient client, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(client);
        IReadOnlyList<QmpBlockDevice> devices = await client.ExecuteAsync(QmpCommands.QueryBlock, cancellationToken).ConfigureAwait(false);
        IReadOnlyList<QmpBlockNode> nodes = await client
            .ExecuteAsync(QmpCommands.QueryNamedBlockNodes, new QmpNamedNodesQuery { Flat = true }, cancellationToken).ConfigureAwait(false);
        ILookup<string, QmpBlockEdge>? edges = null;
        if (nodes.Any(node => node.Children is not null))
        {
            edges = nodes
                .SelectMany(node => (node.Children ?? []).Where(child => child.NodeName is not null), (node, child) => (Parent: node.NodeName ?? string.Empty, Edge: new QmpBlockEdge(child.Child, child.NodeName!)))
                .ToLookup(pair => pair.Parent, pair => pair.Edge, StringComparer.Ordinal);
        }
        else
        {
            try
            {
                QmpDebugBlockGraph debug = await client.ExecuteAsync(s_debugGraph, cancellationToken).ConfigureAwait(false);
                Dictionary<long, QmpDebugBlockGraphNode> byId = debug.Nodes.ToDictionary(node => node.Id);
                edges = debug.Edges
                    .Where(edge => byId.ContainsKey(edge.Parent) && byId.ContainsKey(edge.Child) && byId[edge.Parent].Type == "block-driver")
                    .ToLookup(edge => byId[edge.Parent].Name, edge => new QmpBlockEdge(edge.Name, byId[edge.Child].Name), StringComparer.Ordinal);
            }
            catch (QmpCommandException exception) when (exception.Class == QmpErrorClass.CommandNotFound)
            {
                // A debugging command may be missing; the nodes are known all the same.
            }
        }

        return new QmpBlockGraph(
            devices,
            [.. nodes.Where(node => node.NodeName is not null).Select(node => new QmpBlockGraphNode { Name = node.NodeName!, Info = node, Children = [.. edges?[node.NodeName!] ?? []] })],
            edges is not null);
    }

    /// <summary>A node by name; null if there is none.</summary>
    /// <param name="name">The node's name.</param>
    public QmpBlockGraphNode? Find(string name) => _nodes.GetValueOrDefault(name);

    /// <summary>A guest's disk by its device id, its path in the object tree, or its old-style drive name; null if there is none.</summary>
    /// <param name="device">What names it.</param>
    public QmpBlockDevice? FindDevice(string device)
    {
        ArgumentException.ThrowIfNullOrEmpty(device);
        return Devices.FirstOrDefault(candidate => candidate.Device == device || candidate.Qdev == device)
            ?? Devices.FirstOrDefault(candidate => candidate.Qdev?.StartsWith($"/machine/peripheral/{device}/", StringComparison.Ordinal) == true);
    }

    /// <summary>The node that a guest's disk reads from and writes to now; null for an empty or unknown drive.</summary>
    /// <param name="device">The device; see <see cref="FindDevice"/>.</param>
    public QmpBlockGraphNode? FindRoot(string device) =>
        FindDevice(device)?.Inserted?.NodeName is { } name ? Find(name) : null;

    /// <summary>A node and the images beneath it, top first.</summary>
    /// <param name="name">The node's name.</param>
    public IReadOnlyList<QmpBlockGraphNode> Chain(string name)
    {
        List<QmpBlockGraphNode> chain = [];
        QmpBlockGraphNode? node = Find(name);
        while (node is not null && !chain.Contains(node))
        {
            chain.Add(node);
            node = node.Children.Where(child => child.Role == "backing").Select(child => Find(child.Node)).FirstOrDefault();
        }

        return chain;
    }

    /// <summary>The file or device beneath an image's format; null where it has none, or QEMU did not tell.</summary>
    /// <param name="node">The image's node.</param>
    public QmpBlockGraphNode? FindStorage(QmpBlockGraphNode node)
    {
        ArgumentNullException.ThrowIfNull(node);
        return node.Children.FirstOrDefault(static child => child.Role == "file") is { } file ? Find(file.Node) : null;
    }

    /// <summary>The nodes that use a node.</summary>
    /// <param name="name">The node's name.</param>
    public IEnumerable<QmpBlockGraphNode> Parents(string name) => Nodes.Where(node => node.Children.Any(child => child.Node == name));
}

/// <summary>A node of the graph.</summary>
public sealed record QmpBlockGraphNode
{
    /// <summary>The node's name; one that begins with <c>#</c> was made up by QEMU.</summary>
    public required string Name { get; init; }

    /// <summary>What QEMU says of it: driver, image, limits, bitmaps.</summary>
    public required QmpBlockNode Info { get; init; }

    /// <summary>What it uses; empty too where QEMU does not tell.</summary>
    public required IReadOnlyList<QmpBlockEdge> Children { get; init; }

    /// <summary>The options with which a writable image that lies upon another can be opened anew, as <c>blockdev-reopen</c> takes them.
    /// Discards go through to its storage then.</summary>
    /// <returns><see langword="null"/> where nothing lies beneath, or QEMU did not tell what does.</returns>
    internal JsonObject? DescribeOpen() =>
        Children.FirstOrDefault(static child => child.Role == "file") is { } file && Children.FirstOrDefault(static child => child.Role == "backing") is { } beneath
            ? new()
            {
                ["driver"] = Info.Driver,
                ["node-name"] = Name,
                ["read-only"] = false,
                ["discard"] = "unmap",
                ["file"] = file.Node,
                ["backing"] = beneath.Node,
            }
            : null;
}

/// <summary>An edge from a node to one that it uses.</summary>
/// <param name="Role">What for: <c>file</c>, <c>backing</c>, <c>target</c>…</param>
/// <param name="Node">The name of the node that is used.</param>
public sealed record QmpBlockEdge(string Role, string Node);

internal sealed record QmpDebugBlockGraph
{
    public required IReadOnlyList<QmpDebugBlockGraphNode> Nodes { get; init; }

    public required IReadOnlyList<QmpDebugBlockGraphEdge> Edges { get; init; }
}

internal sealed record QmpDebugBlockGraphNode
{
    [JsonPropertyName("id")]
    public required long Id { get; init; }

    public required string Type { get; init; }

    public required string Name { get; init; }
}

internal sealed record QmpDebugBlockGraphEdge
{
    public required long Parent { get; init; }

    public required long Child { get; init; }

    public required string Name { get; init; }
}

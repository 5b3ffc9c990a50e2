using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;
using Pengx.Qmp;

namespace Pengx.Qemu;

/// <summary>The block nodes of a disk: one for the bytes and one for the format of each layer, every one named and with its
/// format stated, the chain closed at its end, so that QEMU opens nothing that we did not record.</summary>
internal static class BlockNodes
{
    private const int DiskDigits = 20;
    private const int LocationDigits = 8;
    private const string TargetPrefix = "copy-";
    private const string TargetStoragePrefix = "copyf-";

    /// <summary>How the names of all of a disk's nodes begin, after their first letter.</summary>
    /// <param name="disk">The disk.</param>
    public static string Key(DiskId disk) => $"{disk.Value:N}"[..DiskDigits];

    /// <summary>The node of a layer as the guest, or the layer above, sees it.</summary>
    /// <param name="disk">The disk.</param>
    /// <param name="layer">The layer.</param>
    public static string FormatNode(DiskId disk, DiskLayer layer) => $"d{Key(disk)}-{LocationHash(layer)}";

    /// <summary>The node of a layer's bytes.</summary>
    /// <param name="disk">The disk.</param>
    /// <param name="layer">The layer.</param>
    public static string StorageNode(DiskId disk, DiskLayer layer) => $"f{Key(disk)}-{LocationHash(layer)}";

    /// <summary>Whether a node is one of a disk's.</summary>
    /// <param name="disk">The disk.</param>
    /// <param name="node">The node's name.</param>
    public static bool IsOf(DiskId disk, string? node) =>
        node is { Length: > 1 } && node[0] is 'd' or 'f' && node.AsSpan(1).StartsWith(Key(disk) + "-", StringComparison.Ordinal);

    /// <summary>The nodes of a disk, each after those it needs.</summary>
    /// <param name="disk">The disk.</param>
    public static IReadOnlyList<JsonObject> Describe(DomainDisk disk)
    {
        List<JsonObject> nodes = [];
        string? beneath = null;
        for (var index = disk.Layers.Count - 1; index >= 0; index--)
        {
            var layer = disk.Layers[index];
            nodes.AddRange(Describe(disk.Id, layer, beneath, disk.ReadOnly, isTop: index == 0));
            beneath = FormatNode(disk.Id, layer);
        }

        return nodes;
    }

    /// <summary>The nodes of a layer that is to be laid upon a disk: its backing is QEMU's to set when the guest changes over.</summary>
    /// <param name="disk">The disk.</param>
    /// <param name="layer">The layer.</param>
    public static IReadOnlyList<JsonObject> DescribeOverlay(DiskId disk, DiskLayer layer) => Describe(disk, layer, beneath: null, isReadOnly: false, isTop: true);

    /// <summary>The node of an image that changed blocks are copied into. It is no disk's.</summary>
    /// <param name="key">What it is called after.</param>
    public static string TargetNode(string key) => $"{TargetPrefix}{key}";

    /// <summary>Whether a node is one of an image that changed blocks are copied into.</summary>
    /// <param name="node">The node's name.</param>
    public static bool IsTarget(string node) => node.StartsWith(TargetPrefix, StringComparison.Ordinal) || node.StartsWith(TargetStoragePrefix, StringComparison.Ordinal);

    /// <summary>The nodes of an image that changed blocks are copied into, without what it is backed by.</summary>
    /// <param name="target">The image.</param>
    /// <param name="key">What they are called after.</param>
    public static IReadOnlyList<JsonObject> DescribeTarget(DiskLayer target, string key)
    {
        var storage = Storage(target.Location);
        storage["node-name"] = $"{TargetStoragePrefix}{key}";
        JsonObject format = new() { ["driver"] = target.Format.Name, ["node-name"] = TargetNode(key), ["file"] = $"{TargetStoragePrefix}{key}" };
        if (target.Format == DiskFormat.Qcow2)
        {
            format["backing"] = null;
        }

        return [storage, format];
    }

    /// <summary>How an image's header names a layer that it is backed by: what QEMU writes there when a merge or a pull links it anew.</summary>
    /// <param name="layer">The layer.</param>
    public static string BackingName(DiskLayer layer) => BackingReference.Write(layer.Location);

    /// <summary>Whether a header's name of a backing image means a layer.</summary>
    /// <param name="name">The name.</param>
    /// <param name="layer">The layer.</param>
    public static bool IsBackingName(string name, DiskLayer layer) =>
        name == BackingName(layer) || (layer.Location is RbdLocation rbd && BackingReference.ReadRbd(name) == rbd);

    /// <summary>The node names of a disk's chain as it is now, the guest's first. What QEMU puts in between while a job runs is left out.</summary>
    /// <param name="graph">QEMU's nodes.</param>
    /// <param name="root">The node that the guest uses.</param>
    public static IReadOnlyList<QmpBlockGraphNode> Chain(QmpBlockGraph graph, string root)
    {
        List<QmpBlockGraphNode> chain = [];
        HashSet<string> seen = [];
        for (var node = graph.Find(root); node is not null && seen.Add(node.Name);)
        {
            var isFilter = node.Name.StartsWith('#');
            if (!isFilter)
            {
                chain.Add(node);
            }

            var beneath = node.Children.FirstOrDefault(child => child.Role == "backing" || (isFilter && child.Role == "file"));
            node = beneath is null ? null : graph.Find(beneath.Node);
        }

        return chain;
    }

    /// <summary>The layer that a node has open, as QEMU tells it.</summary>
    /// <param name="graph">QEMU's nodes.</param>
    /// <param name="node">The node.</param>
    /// <exception cref="HypervisorException">It is none of ours.</exception>
    public static DiskLayer Read(QmpBlockGraph graph, QmpBlockGraphNode node)
    {
        var storage = graph.FindStorage(node)?.Info;
        return storage is not null && DiskFormatNames.TryParse(node.Info.Driver, out var format)
            ? new(ReadLocation(storage), format)
            : throw new HypervisorException($"QEMU has an image open that was not opened here: node {node.Name}, driver {node.Info.Driver}.");
    }

    private static DiskLocation ReadLocation(QmpBlockNode storage) => storage.Driver switch
    {
        "file" => new FileLocation(storage.File),
        "host_device" => new BlockLocation(storage.File),
        "rbd" => ReadRbd(storage.File),
        _ => throw new HypervisorException($"QEMU has '{storage.File}' open by driver {storage.Driver}, which was not said here."),
    };

    private static RbdLocation ReadRbd(string name) => BackingReference.ReadRbd(name)
        ?? throw new HypervisorException($"QEMU names an RBD image in a way that is not understood: {name}");

    // A lower layer's bytes are opened for writing only while a merge needs it, which a node that says read-only would refuse.
    private static JsonObject[] Describe(DiskId disk, DiskLayer layer, string? beneath, bool isReadOnly, bool isTop)
    {
        var storage = Storage(layer.Location);
        storage["node-name"] = StorageNode(disk, layer);
        if (isReadOnly || isTop)
        {
            storage["read-only"] = isReadOnly;
        }
        else
        {
            storage["auto-read-only"] = true;
        }

        storage["discard"] = "unmap";
        var format = new JsonObject
        {
            ["driver"] = layer.Format.Name,
            ["node-name"] = FormatNode(disk, layer),
            ["read-only"] = isReadOnly || !isTop,
            ["discard"] = "unmap",
            ["file"] = StorageNode(disk, layer),
        };
        if (layer.Format == DiskFormat.Qcow2)
        {
            // Null, too, is said: without it QEMU would follow what the image's header names.
            format["backing"] = beneath;
        }

        return [storage, format];
    }

    // The host's page cache serves files, since not every file system takes O_DIRECT, and a guest's flush reaches the disk
    // either way. Block devices go without it.
    private static JsonObject Storage(DiskLocation location) => location switch
    {
        FileLocation file => new()
        {
            ["driver"] = "file",
            ["filename"] = file.Path,
            ["aio"] = "threads",
            ["cache"] = new JsonObject { ["direct"] = false, ["no-flush"] = false },
        },
        BlockLocation block => new()
        {
            ["driver"] = "host_device",
            ["filename"] = block.Path,
            ["aio"] = "native",
            ["cache"] = new JsonObject { ["direct"] = true, ["no-flush"] = false },
        },
        RbdLocation rbd => Rbd(rbd),
        _ => throw new ArgumentOutOfRangeException(nameof(location), location, "No such kind of location."),
    };

    // The cluster's own cache, emptied by a guest's flush. The key is never said: the configuration names the file that has it.
    private static JsonObject Rbd(RbdLocation location)
    {
        var node = new JsonObject
        {
            ["driver"] = "rbd",
            ["pool"] = location.Pool,
            ["image"] = location.Image,
            ["cache"] = new JsonObject { ["direct"] = false, ["no-flush"] = false },
        };
        if (location.ConfigurationFile is { } file)
        {
            node["conf"] = file;
        }

        if (location.User is { } user)
        {
            node["user"] = user;
        }

        return node;
    }

    /// <summary>What a layer's nodes are called after.</summary>
    /// <param name="layer">The layer.</param>
    public static string LocationHash(DiskLayer layer) =>
        Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes($"{layer.Location.GetType().Name}:{layer.Location}")))[..LocationDigits];
}

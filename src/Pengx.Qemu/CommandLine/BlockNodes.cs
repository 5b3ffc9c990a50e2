using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;

namespace Pengx.Qemu;

/// <summary>The block nodes of a disk: one for the bytes and one for the format of each layer, every one named and with its
/// format stated, the chain closed at its end, so that QEMU opens nothing that we did not record.</summary>
internal static class BlockNodes
{
    private const int DiskDigits = 20;
    private const int LocationDigits = 8;

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
            var readOnly = disk.ReadOnly || index > 0;
            var storage = Storage(layer.Location);
            storage["node-name"] = StorageNode(disk.Id, layer);
            storage["read-only"] = readOnly;
            storage["discard"] = "unmap";
            nodes.Add(storage);

            var format = new JsonObject
            {
                ["driver"] = layer.Format.Name,
                ["node-name"] = FormatNode(disk.Id, layer),
                ["read-only"] = readOnly,
                ["discard"] = "unmap",
                ["file"] = StorageNode(disk.Id, layer),
            };
            if (layer.Format == DiskFormat.Qcow2)
            {
                // Null, too, is said: without it QEMU would follow what the image's header names.
                format["backing"] = beneath;
            }

            nodes.Add(format);
            beneath = FormatNode(disk.Id, layer);
        }

        return nodes;
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

    private static string LocationHash(DiskLayer layer) =>
        Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes($"{layer.Location.GetType().Name}:{layer.Location}")))[..LocationDigits];
}

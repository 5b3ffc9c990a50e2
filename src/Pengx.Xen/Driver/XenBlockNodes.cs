using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;
using Pengx.Qmp;

namespace Pengx.Xen;

/// <summary>The images of a disk as the guest's QEMU has them open. Xen's disk device opened the first of them and named its node
/// <c>VDEV-FORMAT</c>; what lies beneath that was found in its header, and is called as QEMU likes.</summary>
internal static class XenBlockNodes
{
    private const string Prefix = "pengx-";
    private const int LocationDigits = 8;

    // What QEMU puts between two images while a job works on them.
    private static readonly HashSet<string> s_filters = ["commit_top", "mirror_top", "copy-on-read", "copy-before-write", "throttle", "preallocate", "compress"];

    /// <summary>What an overlay's node is called.</summary>
    /// <param name="vdev">The guest's device.</param>
    /// <param name="layer">The overlay.</param>
    public static string Name(string vdev, DiskLayer layer) => $"{Prefix}{vdev}-{LocationHash(layer)}";

    /// <summary>What a node is called that an image is only looked at by.</summary>
    /// <param name="vdev">The guest's device.</param>
    public static string LookName(string vdev) => $"{Prefix}{vdev}-look";

    /// <summary>Whether a node was made for a disk by name, by Xen's disk device or here: QEMU keeps those until it is told otherwise.</summary>
    /// <param name="vdev">The guest's device.</param>
    /// <param name="node">The node's name.</param>
    public static bool IsOf(string vdev, string node) =>
        node.StartsWith($"{vdev}-", StringComparison.Ordinal) || node.StartsWith($"{Prefix}{vdev}-", StringComparison.Ordinal);

    /// <summary>The nodes of the images from a root on, without what jobs put between them.</summary>
    /// <param name="graph">QEMU's nodes.</param>
    /// <param name="root">The node that the guest uses.</param>
    public static IReadOnlyList<QmpBlockGraphNode> Chain(QmpBlockGraph graph, string root)
    {
        List<QmpBlockGraphNode> chain = [];
        HashSet<string> seen = [];
        for (var node = graph.Find(root); node is not null && seen.Add(node.Name);)
        {
            var isFilter = s_filters.Contains(node.Info.Driver);
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
    /// <exception cref="HypervisorException">It is of a kind that is not used here.</exception>
    public static DiskLayer Read(QmpBlockGraph graph, QmpBlockGraphNode node)
    {
        var storage = graph.FindStorage(node)?.Info;
        DiskLocation? location = storage?.Driver switch
        {
            "file" => new FileLocation(storage.File),
            "host_device" => new BlockLocation(storage.File),
            _ => null,
        };
        return location is not null && DiskFormatNames.TryParse(node.Info.Driver, out var format)
            ? new(location, format)
            : throw new HypervisorException(
                $"QEMU has an image open in a way that is not understood: node {node.Name}, driver {node.Info.Driver} over {storage?.Driver ?? "nothing"} ({storage?.File ?? node.Info.File}).");
    }

    /// <summary>A node to look at an image by: nobody writes through it, and nothing beneath the image is opened.</summary>
    /// <param name="vdev">The guest's device.</param>
    /// <param name="layer">The image.</param>
    public static JsonObject DescribeLook(string vdev, DiskLayer layer) => new()
    {
        ["driver"] = layer.Format.Name,
        ["node-name"] = LookName(vdev),
        ["read-only"] = true,
        ["backing"] = null,
        ["file"] = new JsonObject { ["driver"] = layer.Location is BlockLocation ? "host_device" : "file", ["filename"] = PathOf(layer) },
    };

    /// <summary>Whether QEMU writes a raw image through the host's page cache.</summary>
    /// <param name="graph">QEMU's nodes.</param>
    /// <param name="node">The image's node.</param>
    public static bool IsCached(QmpBlockGraph graph, QmpBlockGraphNode node) =>
        node.Info.Driver == DiskFormat.Raw.Name && graph.FindStorage(node)?.Info.Cache?.IsDirect != true;

    /// <summary>How a raw image is opened anew (<c>blockdev-reopen</c>) as Xen's disk device opened it, but past the page cache.</summary>
    /// <param name="graph">QEMU's nodes.</param>
    /// <param name="node">The image's node.</param>
    /// <param name="discards">Whether discards reach its storage.</param>
    /// <returns><see langword="null"/> where QEMU made the node's name up, as of what was found beneath an overlay: such a node cannot be opened anew.</returns>
    public static JsonObject? DescribePastCache(QmpBlockGraph graph, QmpBlockGraphNode node, bool discards)
    {
        if (node.Name.StartsWith('#') || graph.FindStorage(node) is not { } storage)
        {
            return null;
        }

        var discard = discards ? "unmap" : "ignore";
        return new()
        {
            ["driver"] = node.Info.Driver,
            ["node-name"] = node.Name,
            ["cache"] = new JsonObject { ["direct"] = true },
            ["discard"] = discard,
            ["file"] = new JsonObject
            {
                ["driver"] = storage.Info.Driver,
                ["filename"] = storage.Info.File,
                ["cache"] = new JsonObject { ["direct"] = true },
                ["discard"] = discard,

                // Xen's disk device takes no locks, since an emulated drive may have the same image open.
                ["locking"] = "off",
            },
        };
    }

    /// <summary>Where a layer lies, and how an image's header names it that it backs.</summary>
    /// <param name="layer">The layer.</param>
    public static string PathOf(DiskLayer layer) => layer.Location switch
    {
        FileLocation file => file.Path,
        BlockLocation block => block.Path,
        _ => throw new InvalidFieldException("disk", layer.Location.ToString(), "Xen's QEMU disks are files and block devices."),
    };

    /// <summary>What nodes and jobs about a layer are called after.</summary>
    /// <param name="layer">The layer.</param>
    public static string LocationHash(DiskLayer layer) =>
        Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes($"{layer.Location.GetType().Name}:{layer.Location}")))[..LocationDigits];
}

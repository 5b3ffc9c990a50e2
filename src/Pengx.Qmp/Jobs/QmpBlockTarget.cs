using System.Text.Json.Nodes;

namespace Pengx.Qmp;

/// <summary>A block node to be used as an overlay or a target: one that exists, or one that the operation adds, and removes again if it fails.</summary>
public sealed class QmpBlockTarget
{
    private const int MaxNodeNameLength = 31;

    private QmpBlockTarget(string nodeName, JsonObject? definition)
    {
        NodeName = nodeName;
        Definition = definition;
    }

    /// <summary>The node's name.</summary>
    public string NodeName { get; }

    internal JsonObject? Definition { get; }

    /// <summary>A node that QEMU has already. It is never removed.</summary>
    /// <param name="nodeName">Its name.</param>
    public static QmpBlockTarget Existing(string nodeName)
    {
        ArgumentException.ThrowIfNullOrEmpty(nodeName);
        return new QmpBlockTarget(nodeName, null);
    }

    /// <summary>An image file that exists, opened without the image beneath it: what an overlay, a mirror's or a backup's target needs.</summary>
    /// <param name="nodeName">The node's name to be: at most 31 letters, digits, '-', '.' and '_', beginning with a letter.</param>
    /// <param name="path">The file's absolute path.</param>
    /// <param name="format">The image's format, such as <c>qcow2</c> or <c>raw</c>; never guessed.</param>
    public static QmpBlockTarget File(string nodeName, string path, string format)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        ArgumentException.ThrowIfNullOrEmpty(format);
        JsonObject definition = new()
        {
            ["driver"] = format,
            ["node-name"] = nodeName,
            ["file"] = new JsonObject { ["driver"] = "file", ["filename"] = path },
        };
        if (format is "qcow2" or "qed")
        {
            definition["backing"] = null;
        }

        return Defined(definition);
    }

    /// <summary>Any node, as <c>blockdev-add</c> takes it; an overlay's needs <c>"backing": null</c>.</summary>
    /// <param name="definition">The definition, with <c>driver</c> and <c>node-name</c>; copied.</param>
    public static QmpBlockTarget Defined(JsonObject definition)
    {
        ArgumentNullException.ThrowIfNull(definition);
        string? nodeName = (string?)definition["node-name"];
        if (string.IsNullOrEmpty(nodeName) || nodeName.Length > MaxNodeNameLength || !char.IsAsciiLetter(nodeName[0])
            || !nodeName.All(character => char.IsAsciiLetterOrDigit(character) || character is '-' or '.' or '_'))
        {
            throw new ArgumentException(
                $"The node-name '{nodeName}' must begin with a letter and hold at most {MaxNodeNameLength} letters, digits, '-', '.' and '_'.", nameof(definition));
        }

        if (definition["driver"] is null)
        {
            throw new ArgumentException($"The definition of the node '{nodeName}' lacks its driver.", nameof(definition));
        }

        return new QmpBlockTarget(nodeName, (JsonObject)definition.DeepClone());
    }
}

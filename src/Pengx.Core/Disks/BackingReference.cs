using System.Buffers;
using System.Text;
using System.Text.Json;

namespace Pengx;

/// <summary>How the header of a qcow2 image names the image that it lies on: a path for a file and a block device, and for an RBD image
/// <c>json:{"file":{"driver":"rbd","pool":…,"image":…,"conf":…,"user":…}}</c>. Never a secret: the configuration names the file that has
/// the user's key.</summary>
/// <remarks>Source: QEMU, <c>qapi/block-core.json</c> (BlockdevOptionsRbd) and <c>block/rbd.c</c>.</remarks>
public static class BackingReference
{
    private const string Json = "json:";
    private const string Protocol = "rbd:";
    private const int MaxDepth = 8;

    /// <summary>The name that is written.</summary>
    /// <param name="location">Where the image lies that is to be named.</param>
    /// <returns>The one form that is ever written of it, so that two that name the same are equal.</returns>
    /// <exception cref="ArgumentOutOfRangeException">It is no kind of location that an image can be named at.</exception>
    public static string Write(DiskLocation location)
    {
        switch (location)
        {
            case FileLocation file:
                return file.Path;
            case BlockLocation block:
                return block.Path;
            case RbdLocation rbd:
                ArrayBufferWriter<byte> buffer = new();
                using (Utf8JsonWriter json = new(buffer))
                {
                    json.WriteStartObject();
                    json.WriteStartObject("file");
                    WriteRbd(json, rbd);
                    json.WriteEndObject();
                    json.WriteEndObject();
                }

                return Json + Encoding.UTF8.GetString(buffer.WrittenSpan);
            default:
                throw new ArgumentOutOfRangeException(nameof(location), location, "No such kind of location.");
        }
    }

    /// <summary>Reads the name of an RBD image in any form that QEMU writes: <c>json:</c> with or without the format's node around it,
    /// nested or with dotted names, and <c>rbd:pool/image:conf=…:id=…</c>.</summary>
    /// <param name="name">The name.</param>
    /// <returns>The image; <see langword="null"/> where the name is not one of an RBD image as a whole: that of a file, a snapshot, an
    /// image in a namespace, or one with options that are not known here.</returns>
    public static RbdLocation? ReadRbd(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        if (name.StartsWith(Protocol, StringComparison.Ordinal))
        {
            return ReadProtocol(name[Protocol.Length..]);
        }

        if (!name.StartsWith(Json, StringComparison.Ordinal))
        {
            return null;
        }

        try
        {
            using var document = JsonDocument.Parse(name.AsMemory(Json.Length), new() { MaxDepth = MaxDepth });
            Dictionary<string, string> options = new(StringComparer.Ordinal);
            Flatten(document.RootElement, "", options);
            return ReadOptions(options);
        }
        catch (JsonException)
        {
            return null;
        }
    }

    /// <summary>Writes the options of an RBD image's node, without the braces around them.</summary>
    /// <param name="json">Where to.</param>
    /// <param name="rbd">The image.</param>
    public static void WriteRbd(Utf8JsonWriter json, RbdLocation rbd)
    {
        ArgumentNullException.ThrowIfNull(json);
        ArgumentNullException.ThrowIfNull(rbd);
        json.WriteString("driver", "rbd");
        json.WriteString("pool", rbd.Pool);
        json.WriteString("image", rbd.Image);
        if (rbd.ConfigurationFile is { } configuration)
        {
            json.WriteString("conf", configuration);
        }

        if (rbd.User is { } user)
        {
            json.WriteString("user", user);
        }
    }

    private static void Flatten(JsonElement element, string name, Dictionary<string, string> options)
    {
        if (element.ValueKind != JsonValueKind.Object)
        {
            options[name] = element.ValueKind == JsonValueKind.String ? element.GetString()! : element.GetRawText();
            return;
        }

        foreach (var property in element.EnumerateObject())
        {
            Flatten(property.Value, name.Length == 0 ? property.Name : $"{name}.{property.Name}", options);
        }
    }

    // Either the node of the bytes itself, or one of a format over it.
    private static RbdLocation? ReadOptions(Dictionary<string, string> options)
    {
        var prefix = options.GetValueOrDefault("driver") == "rbd" ? "" : "file.";
        string? pool = null, image = null, configuration = null, user = null;
        var isRbd = false;
        foreach (var (name, value) in options)
        {
            if (!name.StartsWith(prefix, StringComparison.Ordinal))
            {
                if (name != "driver" || !DiskFormatNames.TryParse(value, out _))
                {
                    return null;
                }

                continue;
            }

            switch (name[prefix.Length..])
            {
                case "driver":
                    isRbd = value == "rbd";
                    break;
                case "pool":
                    pool = value;
                    break;
                case "image":
                    image = value;
                    break;
                case "conf":
                    configuration = value;
                    break;
                case "user":
                    user = value;
                    break;
                case "cache.direct" or "cache.no-flush" or "read-only" or "auto-read-only" or "discard" or "node-name":
                    break;
                default:
                    return null;
            }
        }

        return isRbd && pool is { Length: > 0 } && image is { Length: > 0 } ? new(pool, image) { ConfigurationFile = configuration, User = user } : null;
    }

    private static RbdLocation? ReadProtocol(string name)
    {
        List<string> parts = [];
        StringBuilder part = new();
        for (var index = 0; index < name.Length; index++)
        {
            if (name[index] == '\\' && index + 1 < name.Length)
            {
                part.Append(name[++index]);
            }
            else if (name[index] == ':')
            {
                parts.Add(part.ToString());
                part.Clear();
            }
            else
            {
                part.Append(name[index]);
            }
        }

        parts.Add(part.ToString());
        var place = parts[0].Split('/');
        if (place is not [{ Length: > 0 } pool, { Length: > 0 } image] || image.Contains('@', StringComparison.Ordinal))
        {
            return null;
        }

        RbdLocation location = new(pool, image);
        foreach (var option in parts.Skip(1))
        {
            if (option.StartsWith("conf=", StringComparison.Ordinal))
            {
                location = location with { ConfigurationFile = option["conf=".Length..] };
            }
            else if (option.StartsWith("id=", StringComparison.Ordinal))
            {
                location = location with { User = option["id=".Length..] };
            }
            else
            {
                return null;
            }
        }

        return location;
    }
}

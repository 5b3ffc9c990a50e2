namespace Pengx.Storage;

/// <summary>What tells a block device from every other, whatever name it has today.</summary>
/// <param name="Kind">Where it comes from: <c>wwid</c>, <c>dm</c>, <c>md</c>, <c>serial</c>, <c>loop</c>, or <c>diskseq</c>, which
/// holds until the next boot only.</param>
/// <param name="Value">The identity.</param>
public sealed record DeviceIdentity(string Kind, string Value)
{
    /// <summary>Whether it stays the same across reboots.</summary>
    public bool IsLasting => Kind is not ("loop" or "diskseq");

    /// <summary><c>kind:value</c>.</summary>
    public override string ToString() => $"{Kind}:{Value}";

    /// <summary>Reads <c>kind:value</c>.</summary>
    /// <param name="text">The text.</param>
    /// <exception cref="FormatException">It is not of that form.</exception>
    public static DeviceIdentity Parse(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        return text.IndexOf(':', StringComparison.Ordinal) is > 0 and var colon && colon < text.Length - 1
            ? new(text[..colon], text[(colon + 1)..])
            : throw new FormatException($"'{text}' is not a device identity of the form kind:value.");
    }
}

/// <summary>A block device as the kernel tells of it.</summary>
/// <param name="Path">The path that was asked for.</param>
/// <param name="Name">The kernel's name, such as <c>sdb</c>.</param>
/// <param name="Size">Its size.</param>
/// <param name="Identity">What it is, whatever its name.</param>
public sealed record BlockDevice(string Path, string Name, DataSize Size, DeviceIdentity Identity)
{
    /// <summary>Whether the kernel refuses to write to it.</summary>
    public bool ReadOnly { get; init; }

    /// <summary>What uses it on this host: devices on top of it, mount points, swap; empty when nothing does.</summary>
    public IReadOnlyList<string> Users { get; init; } = [];
}

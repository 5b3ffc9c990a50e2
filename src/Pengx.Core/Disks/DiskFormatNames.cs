using System.Diagnostics.CodeAnalysis;

namespace Pengx;

/// <summary>The names of disk formats, as the API, qemu-img and QEMU write them.</summary>
public static class DiskFormatNames
{
    extension(DiskFormat format)
    {
        /// <summary><c>raw</c> or <c>qcow2</c>.</summary>
        public string Name => format switch
        {
            DiskFormat.Raw => "raw",
            DiskFormat.Qcow2 => "qcow2",
            _ => throw new ArgumentOutOfRangeException(nameof(format), format, "No such disk format."),
        };
    }

    /// <summary>Reads a format's name in any case.</summary>
    /// <param name="text">The text to read.</param>
    /// <param name="format">The format read.</param>
    public static bool TryParse([NotNullWhen(true)] string? text, out DiskFormat format)
    {
        (var known, format) = text?.Trim().ToUpperInvariant() switch
        {
            "RAW" => (true, DiskFormat.Raw),
            "QCOW2" => (true, DiskFormat.Qcow2),
            _ => (false, default),
        };
        return known;
    }
}

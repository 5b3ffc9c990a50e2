using System.Diagnostics.CodeAnalysis;
using System.Globalization;

namespace Pengx;

/// <summary>Where a PCI function sits: domain, bus, device, function (BDF).</summary>
/// <param name="Domain">The PCI domain (segment).</param>
/// <param name="Bus">The bus.</param>
/// <param name="Device">The device, 0 to 31.</param>
/// <param name="Function">The function, 0 to 7.</param>
public readonly record struct PciAddress(ushort Domain, byte Bus, byte Device, byte Function)
{
    /// <summary>Reads <c>03:10.0</c> or <c>0000:03:10.0</c> (hexadecimal).</summary>
    /// <param name="text">The text to read.</param>
    /// <param name="address">The address read.</param>
    public static bool TryParse([NotNullWhen(true)] string? text, out PciAddress address)
    {
        address = default;
        var span = text.AsSpan().Trim();
        ushort domain = 0;
        if (span.Length == 12)
        {
            if (span[4] != ':' || !ushort.TryParse(span[..4], NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out domain))
            {
                return false;
            }

            span = span[5..];
        }

        if (span.Length != 7 || span[2] != ':' || span[5] != '.'
            || !byte.TryParse(span[..2], NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out var bus)
            || !byte.TryParse(span[3..5], NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out var device)
            || !byte.TryParse(span[6..], NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out var function)
            || device > 31 || function > 7)
        {
            return false;
        }

        address = new(domain, bus, device, function);
        return true;
    }

    /// <summary>The full form, <c>0000:03:10.0</c>.</summary>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Domain:x4}:{Bus:x2}:{Device:x2}.{Function:x}");
}

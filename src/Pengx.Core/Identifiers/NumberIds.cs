using System.Globalization;

namespace Pengx;

/// <summary>Identifies a storage link; a whole number, as the reference's requests write it.</summary>
/// <param name="Value">The number, 1 or more.</param>
public readonly record struct StorlinkId(int Value)
{
    /// <summary>Reads a whole number of 1 or more; <see langword="false"/> for anything else.</summary>
    /// <param name="text">The text to read.</param>
    /// <param name="id">The identifier read.</param>
    public static bool TryParse(string? text, out StorlinkId id) => NumberId.TryParse(text, out var value) & (id = new(value)).Value > 0;

    /// <summary>The number in decimal digits.</summary>
    public override string ToString() => Value.ToString(CultureInfo.InvariantCulture);
}

/// <summary>Identifies a network interface of a virtual machine; a whole number.</summary>
/// <param name="Value">The number, 1 or more.</param>
public readonly record struct VmInterfaceId(int Value)
{
    /// <summary>Reads a whole number of 1 or more; <see langword="false"/> for anything else.</summary>
    /// <param name="text">The text to read.</param>
    /// <param name="id">The identifier read.</param>
    public static bool TryParse(string? text, out VmInterfaceId id) => NumberId.TryParse(text, out var value) & (id = new(value)).Value > 0;

    /// <summary>The number in decimal digits.</summary>
    public override string ToString() => Value.ToString(CultureInfo.InvariantCulture);
}

internal static class NumberId
{
    public static bool TryParse(string? text, out int value) =>
        int.TryParse(text.AsSpan().Trim(), NumberStyles.None, CultureInfo.InvariantCulture, out value);
}

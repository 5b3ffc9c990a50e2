using System.Globalization;

namespace Pengx;

/// <summary>An amount of storage or memory, kept in bytes; the API speaks of it in whole MiB.</summary>
/// <param name="Bytes">The amount in bytes.</param>
public readonly record struct DataSize(long Bytes) : IComparable<DataSize>
{
    private const long BytesPerMiB = 1024 * 1024;

    /// <summary>No bytes.</summary>
    public static DataSize Zero => default;

    /// <summary>Makes a size from whole MiB.</summary>
    /// <param name="mebibytes">The amount in MiB.</param>
    /// <exception cref="OverflowException">The amount does not fit in 63 bits of bytes.</exception>
    public static DataSize FromMiB(long mebibytes) => new(checked(mebibytes * BytesPerMiB));

    /// <summary>Makes a size from whole GiB.</summary>
    /// <param name="gibibytes">The amount in GiB.</param>
    /// <exception cref="OverflowException">The amount does not fit in 63 bits of bytes.</exception>
    public static DataSize FromGiB(long gibibytes) => FromMiB(checked(gibibytes * 1024));

    /// <summary>Whole MiB, rounded down: what can be given.</summary>
    public long MiB => Bytes / BytesPerMiB;

    /// <summary>Whole MiB, rounded up: what must be had.</summary>
    public long MiBCeiling => (Bytes / BytesPerMiB) + (Bytes % BytesPerMiB > 0 ? 1 : 0);

    /// <inheritdoc/>
    public int CompareTo(DataSize other) => Bytes.CompareTo(other.Bytes);

    /// <summary>Adds two sizes.</summary>
    /// <param name="left">One size.</param>
    /// <param name="right">The other.</param>
    public static DataSize operator +(DataSize left, DataSize right) => new(checked(left.Bytes + right.Bytes));

    /// <summary>Subtracts a size.</summary>
    /// <param name="left">The size to subtract from.</param>
    /// <param name="right">The size to subtract.</param>
    public static DataSize operator -(DataSize left, DataSize right) => new(checked(left.Bytes - right.Bytes));

    /// <summary>Whether one size is below another.</summary>
    /// <param name="left">One size.</param>
    /// <param name="right">The other.</param>
    public static bool operator <(DataSize left, DataSize right) => left.Bytes < right.Bytes;

    /// <summary>Whether one size is above another.</summary>
    /// <param name="left">One size.</param>
    /// <param name="right">The other.</param>
    public static bool operator >(DataSize left, DataSize right) => left.Bytes > right.Bytes;

    /// <summary>Whether one size is at most another.</summary>
    /// <param name="left">One size.</param>
    /// <param name="right">The other.</param>
    public static bool operator <=(DataSize left, DataSize right) => left.Bytes <= right.Bytes;

    /// <summary>Whether one size is at least another.</summary>
    /// <param name="left">One size.</param>
    /// <param name="right">The other.</param>
    public static bool operator >=(DataSize left, DataSize right) => left.Bytes >= right.Bytes;

    /// <summary>The size in MiB where it is whole, else in bytes.</summary>
    public override string ToString() => Bytes % BytesPerMiB == 0
        ? string.Create(CultureInfo.InvariantCulture, $"{MiB} MiB")
        : string.Create(CultureInfo.InvariantCulture, $"{Bytes} bytes");
}

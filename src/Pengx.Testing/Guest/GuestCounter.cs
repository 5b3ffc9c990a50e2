using System.Buffers.Binary;

namespace Pengx.Testing;

/// <summary>
/// The counter that the test guest keeps on its second disk: what it has flushed must be found there again. The format is
/// described in <c>eng/guest/README.md</c>: 64 slots of 4096 bytes at 1 MiB, record <c>n</c> in slot <c>n mod 64</c>.
/// </summary>
public static class GuestCounter
{
    /// <summary>Bytes before the first slot.</summary>
    public const int AreaOffset = 1024 * 1024;

    /// <summary>Bytes of one record, and of one slot.</summary>
    public const int RecordSize = 4096;

    /// <summary>Number of slots.</summary>
    public const int SlotCount = 64;

    /// <summary>Bytes that a disk needs so that the guest keeps its counter on it.</summary>
    public const long MinimumDiskSize = AreaOffset + (long)SlotCount * RecordSize;

    private const int HeaderSize = 32;
    private const int ChecksumOffset = 12;
    private const int NumberOffset = 16;
    private static readonly uint[] s_checksumTable = CreateChecksumTable();

    /// <summary>Reads all slots and judges nothing: for tests that look at damage itself.</summary>
    /// <param name="rawImage">The raw content of the disk, seekable; a qcow2 image has to be converted before.</param>
    /// <param name="cancellationToken">Cancels the reading.</param>
    /// <exception cref="InvalidDataException">The image is smaller than <see cref="MinimumDiskSize"/>.</exception>
    public static async Task<GuestCounterReading> ReadAsync(Stream rawImage, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(rawImage);
        if (rawImage.Length < MinimumDiskSize)
        {
            throw new InvalidDataException(
                $"The image has {rawImage.Length} bytes; the guest's counter needs {MinimumDiskSize}.");
        }

        byte[] area = new byte[SlotCount * RecordSize];
        rawImage.Position = AreaOffset;
        await rawImage.ReadExactlyAsync(area, cancellationToken).ConfigureAwait(false);

        List<long> records = [];
        List<int> damaged = [];
        for (int slot = 0; slot < SlotCount; slot++)
        {
            byte[] block = area[(slot * RecordSize)..((slot + 1) * RecordSize)];
            if (TryReadRecord(block, slot, out long number))
            {
                records.Add(number);
            }
            else if (block.AsSpan().ContainsAnyExcept((byte)0))
            {
                damaged.Add(slot);
            }
        }

        records.Sort();
        return new GuestCounterReading { Records = records, DamagedSlots = damaged };
    }

    /// <summary>
    /// The newest record's number, 0 when the guest never wrote one. Every slot must be whole: the newest record and the up
    /// to 63 before it, without a gap.
    /// </summary>
    /// <param name="rawImage">The raw content of the disk, seekable.</param>
    /// <param name="cancellationToken">Cancels the reading.</param>
    /// <exception cref="InvalidDataException">A slot is damaged (the newest may be the one that is lost), a record is
    /// missing from the sequence, or the image is too small.</exception>
    public static async Task<long> ReadNewestAsync(Stream rawImage, CancellationToken cancellationToken = default)
    {
        GuestCounterReading reading = await ReadAsync(rawImage, cancellationToken).ConfigureAwait(false);
        if (reading.DamagedSlots.Count > 0)
        {
            throw new InvalidDataException(
                $"The guest's counter is damaged in slot {string.Join(", ", reading.DamagedSlots)}; the newest whole record is {reading.Newest}.");
        }

        long first = Math.Max(1, reading.Newest - SlotCount + 1);
        for (int index = 0; index < reading.Records.Count; index++)
        {
            if (reading.Records[index] != first + index)
            {
                throw new InvalidDataException(
                    $"The guest's counter has lost record {first + index}: the newest is {reading.Newest}, the next one found is {reading.Records[index]}.");
            }
        }

        return reading.Newest;
    }

    /// <summary>The newest record's number in a raw image file; see <see cref="ReadNewestAsync(Stream, CancellationToken)"/>.</summary>
    /// <param name="rawImagePath">The file; a running guest may have it open.</param>
    /// <param name="cancellationToken">Cancels the reading.</param>
    /// <exception cref="InvalidDataException">As for the overload that takes a stream.</exception>
    public static async Task<long> ReadNewestAsync(string rawImagePath, CancellationToken cancellationToken)
    {
        FileStream image = new(rawImagePath, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
        await using (image.ConfigureAwait(false))
        {
            return await ReadNewestAsync(image, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>The record that the guest writes for a number, so that tests can make disks without a guest.</summary>
    /// <param name="number">The record's number, from 1.</param>
    public static byte[] CreateRecord(long number)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(number, 1);
        byte[] block = new byte[RecordSize];
        "PENGXCTR"u8.CopyTo(block);
        BinaryPrimitives.WriteUInt32LittleEndian(block.AsSpan(8), 1);
        BinaryPrimitives.WriteInt64LittleEndian(block.AsSpan(NumberOffset), number);

        // xorshift64*, seeded from the number: no two records share a payload, so a stale block cannot pass for a new one.
        ulong state = unchecked((ulong)number * 0x9E3779B97F4A7C15 + 1);
        if (state == 0)
        {
            state = 1;
        }

        for (int offset = HeaderSize; offset < RecordSize; offset += sizeof(ulong))
        {
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            BinaryPrimitives.WriteUInt64LittleEndian(block.AsSpan(offset), unchecked(state * 0x2545F4914F6CDD1D));
        }

        BinaryPrimitives.WriteUInt32LittleEndian(block.AsSpan(ChecksumOffset), Checksum(block));
        return block;
    }

    private static bool TryReadRecord(ReadOnlySpan<byte> block, int slot, out long number)
    {
        number = BinaryPrimitives.ReadInt64LittleEndian(block[NumberOffset..]);
        return number >= 1 && number % SlotCount == slot && block.SequenceEqual(CreateRecord(number));
    }

    private static uint Checksum(ReadOnlySpan<byte> data)
    {
        uint checksum = uint.MaxValue;
        foreach (byte value in data)
        {
            checksum = checksum >> 8 ^ s_checksumTable[(checksum ^ value) & 0xFF];
        }

        return ~checksum;
    }

    private static uint[] CreateChecksumTable()
    {
        uint[] table = new uint[256];
        for (uint index = 0; index < table.Length; index++)
        {
            uint value = index;
            for (int bit = 0; bit < 8; bit++)
            {
                value = (value & 1) != 0 ? value >> 1 ^ 0xEDB88320 : value >> 1;
            }

            table[index] = value;
        }

        return table;
    }
}

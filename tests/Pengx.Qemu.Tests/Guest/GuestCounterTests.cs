using Pengx.Testing;

namespace Pengx.Qemu.Tests;

public sealed class GuestCounterTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task An_untouched_disk_has_no_record()
    {
        using MemoryStream disk = CreateDisk(0);

        Assert.Equal(0, await GuestCounter.ReadNewestAsync(disk, Token));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(63)]
    [InlineData(64)]
    [InlineData(1000)]
    public async Task The_newest_record_is_found(long newest)
    {
        using MemoryStream disk = CreateDisk(newest);

        Assert.Equal(newest, await GuestCounter.ReadNewestAsync(disk, Token));
        Assert.Equal((int)Math.Min(newest, 64), (await GuestCounter.ReadAsync(disk, Token)).Records.Count);
    }

    [Fact]
    public void A_record_has_the_documented_bytes()
    {
        byte[] record = GuestCounter.CreateRecord(0x0102030405);

        Assert.Equal("PENGXCTR"u8, record.AsSpan(0, 8));
        Assert.Equal([1, 0, 0, 0], record[8..12]);
        Assert.Equal([5, 4, 3, 2, 1, 0, 0, 0], record[16..24]);
        Assert.Equal(GuestCounter.RecordSize, record.Length);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(12)]
    [InlineData(20)]
    [InlineData(4095)]
    public async Task One_wrong_byte_in_the_newest_record_is_an_error(int offset)
    {
        using MemoryStream disk = CreateDisk(100);
        disk.GetBuffer()[SlotOffset(100) + offset] ^= 1;

        InvalidDataException error = await Assert.ThrowsAsync<InvalidDataException>(() => GuestCounter.ReadNewestAsync(disk, Token));

        Assert.Contains("slot 36", error.Message, StringComparison.Ordinal);
        Assert.Contains("record is 99", error.Message, StringComparison.Ordinal);
        GuestCounterReading reading = await GuestCounter.ReadAsync(disk, Token);
        Assert.Equal(99, reading.Newest);
        Assert.Equal([36], reading.DamagedSlots);
    }

    [Fact]
    public async Task A_record_that_went_missing_is_an_error()
    {
        using MemoryStream disk = CreateDisk(100);
        disk.GetBuffer().AsSpan(SlotOffset(90), GuestCounter.RecordSize).Clear();

        InvalidDataException error = await Assert.ThrowsAsync<InvalidDataException>(() => GuestCounter.ReadNewestAsync(disk, Token));

        Assert.Contains("lost record", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_slot_that_kept_a_stale_record_is_an_error()
    {
        using MemoryStream disk = CreateDisk(100);
        GuestCounter.CreateRecord(100 - 64).CopyTo(disk.GetBuffer(), SlotOffset(100));
        GuestCounter.CreateRecord(90 - 64).CopyTo(disk.GetBuffer(), SlotOffset(90));

        await Assert.ThrowsAsync<InvalidDataException>(() => GuestCounter.ReadNewestAsync(disk, Token));
    }

    [Fact]
    public async Task A_disk_that_is_too_small_is_an_error()
    {
        using MemoryStream disk = new(new byte[1024 * 1024]);

        await Assert.ThrowsAsync<InvalidDataException>(() => GuestCounter.ReadNewestAsync(disk, Token));
    }

    private static int SlotOffset(long number) =>
        GuestCounter.AreaOffset + (int)(number % GuestCounter.SlotCount) * GuestCounter.RecordSize;

    private static MemoryStream CreateDisk(long newest)
    {
        byte[] content = new byte[GuestCounter.MinimumDiskSize];
        for (long number = Math.Max(1, newest - GuestCounter.SlotCount + 1); number <= newest; number++)
        {
            GuestCounter.CreateRecord(number).CopyTo(content, SlotOffset(number));
        }

        return new MemoryStream(content, 0, content.Length, writable: true, publiclyVisible: true);
    }
}

using System.Buffers.Binary;
using Pengx.Testing;

namespace Pengx.Storage.Tests;

public sealed class Qcow2HeaderTests : IDisposable
{
    private readonly TemporaryStorlink _directory = new();

    public Qcow2HeaderTests() => Requires.Tool("qemu-img", "qemu");

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public void Dispose() => _directory.Dispose();

    [Theory]
    [InlineData("compat=0.10", 2, 65536)]
    [InlineData("compat=1.1", 3, 65536)]
    [InlineData("cluster_size=2M", 3, 2 * 1024 * 1024)]
    [InlineData("cluster_size=512", 3, 512)]
    [InlineData("extended_l2=on,cluster_size=128k,compression_type=zstd", 3, 128 * 1024)]
    public async Task Headers_that_qemu_writes_are_read(string options, int version, int clusterSize)
    {
        var header = Qcow2Header.Read(await CreateAsync("-o", options));

        Assert.Equal(
            new() { Version = version, Size = DataSize.FromMiB(8), ClusterSize = clusterSize },
            header);
    }

    [Theory]
    [InlineData("compat=0.10")]
    [InlineData("compat=1.1")]
    public async Task The_backing_file_is_read_with_its_format(string options)
    {
        var header = Qcow2Header.Read(await CreateAsync("-o", options, "-F", "raw", "-b", "/etc/passwd"));

        Assert.Equal(("/etc/passwd", "raw"), (header.BackingFile, header.BackingFormat));
    }

    [Fact]
    public async Task An_external_data_file_is_seen() =>
        Assert.True(Qcow2Header.Read(await CreateAsync("-o", $"data_file={_directory.PathOf("data")}")).HasExternalDataFile);

    [Theory]
    [InlineData(0, 0x51464900u, "mark")]
    [InlineData(4, 1u, "version 1")]
    [InlineData(4, 4u, "version 4")]
    [InlineData(20, 8u, "cluster size")]
    [InlineData(20, 63u, "cluster size")]
    [InlineData(24, 0xffffffffu, "size is out of bounds")]
    [InlineData(36, 0xffffffffu, "first table")]
    [InlineData(40, 0x7fffffffu, "first table")]
    [InlineData(48, 0x7fffffffu, "reference counts")]
    [InlineData(72, 0x80000000u, "not known here")]
    [InlineData(100, 8u, "header's length")]
    [InlineData(100, 0xfffffff8u, "header's length")]
    [InlineData(8, 0x7fffffffu, "backing file's name")]
    [InlineData(108, 0x7fffffffu, "longer than the header")]
    public async Task A_broken_header_is_refused_with_the_reason(int offset, uint value, string words)
    {
        var bytes = await File.ReadAllBytesAsync(await CreateAsync(), Token);
        if (offset == 108)
        {
            offset = BinaryPrimitives.ReadInt32BigEndian(bytes.AsSpan(100)) + 4;
        }

        BinaryPrimitives.WriteUInt32BigEndian(bytes.AsSpan(offset), value);
        var failure = Assert.Throws<InvalidDataException>(() => Parse(bytes));

        Assert.Contains(words, failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task No_bytes_whatever_do_more_than_be_refused()
    {
        var whole = await File.ReadAllBytesAsync(await CreateAsync("-F", "raw", "-b", "/etc/passwd"), Token);
        Random random = new(1);
        for (var round = 0; round < 20_000; round++)
        {
            var bytes = whole.AsSpan(0, random.Next(700)).ToArray();
            for (var change = random.Next(6); change > 0 && bytes.Length > 4; change--)
            {
                bytes[random.Next(4, bytes.Length)] = (byte)random.Next(256);
            }

            try
            {
                Qcow2Header.Parse(bytes, random.Next(0, 1 << 20));
            }
            catch (InvalidDataException)
            {
                // The only way to fail.
            }
        }
    }

    private static Qcow2Header Parse(byte[] bytes) => Qcow2Header.Parse(bytes.AsSpan(0, Math.Min(bytes.Length, 65536)), bytes.Length);

    private async Task<string> CreateAsync(params string[] arguments)
    {
        var path = _directory.PathOf("image");
        (await new ProcessRunner().RunAsync(new() { FileName = "qemu-img", Arguments = ["create", "-q", "-f", "qcow2", .. arguments, path, "8M"] }, Token)).EnsureSuccess();
        return path;
    }
}

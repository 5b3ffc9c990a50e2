namespace Pengx.Storage.Tests;

/// <summary>Makes images with content that a copy can get wrong.</summary>
internal static class TestImages
{
    private static readonly ProcessRunner s_runner = new();

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public static DiskLayer Raw(string path) => new(new FileLocation(path), DiskFormat.Raw);

    public static DiskLayer Qcow2(string path) => new(new FileLocation(path), DiskFormat.Qcow2);

    public static DiskLayer Block(string path) => new(new BlockLocation(path), DiskFormat.Raw);

    /// <summary>A raw image of 24 MiB and a bit: random data of odd places and lengths, holes, and stored zeros.</summary>
    public static async Task<DiskLayer> CreateRawAsync(string path, long size = (24 * 1024 * 1024) + 512)
    {
        await using var file = File.Create(path);
        file.SetLength(size);
        Random random = new(11);
        for (long at = 4096; at < size; at += random.Next(1, 3 * 1024 * 1024))
        {
            var bytes = new byte[(int)Math.Min(size - at, random.Next(1, 1536 * 1024))];
            random.NextBytes(bytes);
            if (random.Next(4) == 0)
            {
                Array.Clear(bytes);
            }

            file.Position = at;
            await file.WriteAsync(bytes, Token);
            at += bytes.Length;
        }

        // The last bytes are the ones that are forgotten.
        file.Position = size - 3;
        await file.WriteAsync("end"u8.ToArray(), Token);
        return Raw(path);
    }

    /// <summary>A raw image full of random data.</summary>
    public static async Task<DiskLayer> CreateFullAsync(string path, DataSize size)
    {
        await using var file = File.Create(path);
        var bytes = new byte[1024 * 1024];
        Random random = new(5);
        for (long at = 0; at < size.Bytes; at += bytes.Length)
        {
            random.NextBytes(bytes);
            await file.WriteAsync(bytes.AsMemory(0, (int)Math.Min(bytes.Length, size.Bytes - at)), Token);
        }

        return Raw(path);
    }

    /// <summary>A qcow2 image with the content of another.</summary>
    public static async Task<DiskLayer> ConvertAsync(DiskLayer source, string path)
    {
        await QemuImgAsync("convert", "-f", source.Format.Name, "-O", "qcow2", PathOf(source), path);
        return Qcow2(path);
    }

    /// <summary>An overlay that has some content of its own.</summary>
    public static async Task<DiskLayer> OverlayAsync(DiskLayer below, string path)
    {
        await QemuImgAsync("create", "-q", "-f", "qcow2", "-F", below.Format.Name, "-b", PathOf(below), path);
        await WriteAsync(Qcow2(path), 1024 * 1024, 700 * 1024, 0x6b);
        await WriteAsync(Qcow2(path), 9 * 1024 * 1024, 4096, 0x6c);
        return Qcow2(path);
    }

    public static async Task WriteAsync(DiskLayer image, long offset, long length, byte value) =>
        await RunAsync("qemu-io", "-f", image.Format.Name, "-c", $"write -P {value} {offset} {length}", PathOf(image));

    /// <summary>Fails unless two images show a guest the same.</summary>
    public static async Task AssertSameAsync(DiskLayer one, DiskLayer other) =>
        await QemuImgAsync("compare", "-f", one.Format.Name, "-F", other.Format.Name, PathOf(one), PathOf(other));

    public static long Allocated(string path) => Posix.Status(path)!.Value.Allocated;

    public static string PathOf(DiskLayer image) => image.Location.ToString()!;

    public static Task QemuImgAsync(params string[] arguments) => RunAsync("qemu-img", arguments);

    public static async Task<string> RunAsync(string program, params string[] arguments) =>
        (await s_runner.RunAsync(new() { FileName = program, Arguments = arguments }, Token)).EnsureSuccess().Output;
}

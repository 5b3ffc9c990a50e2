using System.Globalization;
using System.Text.Json;
using Pengx.Testing;

namespace Pengx.Qemu.Tests;

/// <summary>Images of a test, made and read with QEMU's own tools.</summary>
internal sealed class ImageFiles(QemuTestHost host)
{
    private readonly ProcessRunner _processes = new();

    public static DiskLayer Layer(string path, DiskFormat format) => new(new FileLocation(path), format);

    public static string PathOf(DiskLayer layer) => ((FileLocation)layer.Location).Path;

    /// <summary>An empty qcow2 image on another one.</summary>
    public async Task<DiskLayer> CreateOverlayAsync(DiskLayer backing, DiskId id, CancellationToken cancellationToken, string? directory = null)
    {
        var path = directory is null ? host.PathOf($"{id}.qcow2") : Path.Combine(directory, $"{id}.qcow2");
        await ToolAsync("qemu-img", cancellationToken, "create", "-q", "-f", "qcow2", "-F", backing.Format.Name, "-b", PathOf(backing), path);
        return Layer(path, DiskFormat.Qcow2);
    }

    /// <summary>Writes a pattern into an image that nothing uses.</summary>
    public Task WriteAsync(DiskLayer layer, byte pattern, long offset, long length, CancellationToken cancellationToken) =>
        ToolAsync("qemu-io", cancellationToken, "-f", layer.Format.Name, "-c", string.Create(CultureInfo.InvariantCulture, $"write -P {pattern} {offset} {length}"), PathOf(layer));

    /// <summary>Whether a chain shows a pattern.</summary>
    public async Task<bool> ShowsAsync(DiskLayer layer, byte pattern, long offset, long length, CancellationToken cancellationToken)
    {
        var output = await ToolAsync("qemu-io", cancellationToken, "-U", "-r", "-f", layer.Format.Name, "-c", string.Create(CultureInfo.InvariantCulture, $"read -P {pattern} {offset} {length}"), PathOf(layer));
        return !output.Contains("Pattern verification failed", StringComparison.Ordinal);
    }

    /// <summary>What a chain shows, as a raw file.</summary>
    public async Task<string> FlattenAsync(DiskLayer top, CancellationToken cancellationToken)
    {
        var flat = host.PathOf($"flat-{Guid.NewGuid():N}.raw");
        await ToolAsync("qemu-img", cancellationToken, "convert", "-U", "-f", top.Format.Name, "-O", "raw", PathOf(top), flat);
        return flat;
    }

    /// <summary>The newest number of the guest's counter that a chain shows.</summary>
    public async Task<long> ReadNewestAsync(DiskLayer top, CancellationToken cancellationToken)
    {
        var flat = await FlattenAsync(top, cancellationToken);
        try
        {
            return await GuestCounter.ReadNewestAsync(flat, cancellationToken);
        }
        finally
        {
            File.Delete(flat);
        }
    }

    /// <summary>The chain that images state in their headers.</summary>
    public async Task<IReadOnlyList<DiskLayer>> ReadChainAsync(DiskLayer top, CancellationToken cancellationToken)
    {
        using var info = JsonDocument.Parse(await ToolAsync("qemu-img", cancellationToken, "info", "-U", "--backing-chain", "--output=json", "-f", top.Format.Name, PathOf(top)));
        List<DiskLayer> chain = [];
        string? stated = null;
        foreach (var image in info.RootElement.EnumerateArray())
        {
            Assert.True(DiskFormatNames.TryParse(image.GetProperty("format").GetString(), out var format));
            chain.Add(Layer(image.GetProperty("filename").GetString()!, format));

            // Named in full, with its format: nothing is left to be probed or to be resolved.
            Assert.True(stated is null || stated == $"{chain[^1].Location} {format.Name}", $"the header says '{stated}', the image is '{chain[^1]}'");
            stated = image.TryGetProperty("backing-filename", out var backing)
                ? $"{backing.GetString()} {image.GetProperty("backing-filename-format").GetString()}"
                : null;
        }

        Assert.Null(stated);
        return chain;
    }

    private async Task<string> ToolAsync(string tool, CancellationToken cancellationToken, params string[] arguments)
    {
        var result = await _processes.RunAsync(new() { FileName = Requires.Find(tool)!, Arguments = arguments }, cancellationToken);
        return result.EnsureSuccess().Output;
    }
}

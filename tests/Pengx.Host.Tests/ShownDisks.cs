using System.Xml.Linq;
using Pengx.Storage;
using Pengx.Testing;

namespace Pengx.Host.Tests;

/// <summary>Disks as the API shows them, where their images lie in directories.</summary>
internal static class ShownDisks
{
    public static string FileOf(XElement disk) => $"{disk.Attribute("id")!.Value}.{disk.Element("format")!.Value}";

    /// <summary>Where a disk's image lies, in one of some directories.</summary>
    public static string PathOf(XElement disk, params IEnumerable<string> directories) =>
        directories.Select(directory => Path.Combine(directory, FileOf(disk))).Single(File.Exists);

    /// <summary>The newest record that a guest wrote to a disk. It may have it open.</summary>
    public static Task<long> CounterAsync(XElement disk, params IEnumerable<string> directories) =>
        CounterAsync(PathOf(disk, directories), disk.Element("format")!.Value);

    /// <inheritdoc cref="CounterAsync(XElement, IEnumerable{string})"/>
    public static async Task<long> CounterAsync(string path, string format)
    {
        var token = TestContext.Current.CancellationToken;
        var raw = Path.Combine(Path.GetTempPath(), $"pengx-counter-{Guid.NewGuid():N}");
        try
        {
            (await new ProcessRunner().RunAsync(
                new() { FileName = "qemu-img", Arguments = ["convert", "-U", "-f", format, "-O", "raw", path, raw] }, token)).EnsureSuccess();
            return await GuestCounter.ReadNewestAsync(raw, token);
        }
        finally
        {
            File.Delete(raw);
        }
    }
}

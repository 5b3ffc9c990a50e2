using Pengx.Testing;

namespace Pengx.Storage.Tests;

/// <summary>A file system of its own on a loop device, undone however the test ends.</summary>
public sealed class LoopFileSystem : IAsyncDisposable
{
    private static readonly ProcessRunner s_runner = new();
    private readonly LoopDevice _device;

    private LoopFileSystem(LoopDevice device, string mountPoint)
    {
        _device = device;
        Directory = mountPoint;
    }

    /// <summary>Where it is mounted.</summary>
    public string Directory { get; }

    /// <summary>The file beneath it.</summary>
    public string Backing => _device.File;

    public static async Task<LoopFileSystem> MountAsync(string type, DataSize size)
    {
        Requires.Tool($"mkfs.{type}", type);
        var device = await LoopDevice.CreateAsync(size.Bytes, TestContext.Current.CancellationToken);
        var directory = System.IO.Directory.CreateTempSubdirectory("pengx-mount-").FullName;
        try
        {
            string[] quiet = type == "ext4" ? ["-q", "-F"] : ["-q", "-f"];
            (await s_runner.RunAsync(new() { FileName = $"mkfs.{type}", Arguments = [.. quiet, device.Path] }, CancellationToken.None)).EnsureSuccess();
            var mounted = await s_runner.RunAsync(new() { FileName = "mount", Arguments = ["-t", type, device.Path, directory] }, CancellationToken.None);
            Requires.That(mounted.ExitCode == 0, "root", $"no {type} can be mounted: {mounted.Error.Trim()}");
            return new(device, directory);
        }
        catch
        {
            System.IO.Directory.Delete(directory);
            await device.DisposeAsync();
            throw;
        }
    }

    public string PathOf(string name) => System.IO.Path.Combine(Directory, name);

    public string[] Names() => [.. System.IO.Directory.GetFileSystemEntries(Directory).Select(path => System.IO.Path.GetFileName(path)).Where(name => name != "lost+found").Order()];

    public async ValueTask DisposeAsync()
    {
        // What is still open by a thread that hangs does not keep the rest from being undone.
        var undone = await s_runner.RunAsync(new() { FileName = "umount", Arguments = [Directory] }, CancellationToken.None);
        if (undone.ExitCode != 0)
        {
            await s_runner.RunAsync(new() { FileName = "umount", Arguments = ["-l", Directory] }, CancellationToken.None);
        }

        System.IO.Directory.Delete(Directory);
        await _device.DisposeAsync();
    }
}

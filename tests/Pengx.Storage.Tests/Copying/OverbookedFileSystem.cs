using System.Globalization;
using Pengx.Testing;

namespace Pengx.Storage.Tests;

/// <summary>An ext4 file system that promises more than there is, like one on a thin pool: what does not fit fails when it is written back,
/// long after it was written. Undone however the test ends.</summary>
public sealed class OverbookedFileSystem : IAsyncDisposable
{
    private static readonly ProcessRunner s_runner = new();
    private readonly string _root = System.IO.Directory.CreateTempSubdirectory("pengx-overbooked-").FullName;

    private OverbookedFileSystem()
    {
    }

    /// <summary>Where it is mounted.</summary>
    public string Directory => Path.Combine(_root, "mounted");

    private string Room => Path.Combine(_root, "room");

    public static async Task<OverbookedFileSystem> MountAsync(DataSize promised, DataSize real)
    {
        Requires.Tool("mkfs.ext4", "ext4");
        OverbookedFileSystem made = new();
        try
        {
            System.IO.Directory.CreateDirectory(made.Directory);
            System.IO.Directory.CreateDirectory(made.Room);
            var image = Path.Combine(made.Room, "image");
            var mounted = await s_runner.RunAsync(new() { FileName = "mount", Arguments = ["-t", "tmpfs", "-o", Size(real), "pengx-test", made.Room] }, CancellationToken.None);
            Requires.That(mounted.ExitCode == 0, "root", $"nothing can be mounted: {mounted.Error.Trim()}");
            await RunAsync("truncate", "-s", Text(promised), image);

            // Without a journal: what fails is the data, and not the file system.
            await RunAsync("mkfs.ext4", "-q", "-O", "^has_journal", image);
            await RunAsync("mount", "-o", "loop", image, made.Directory);
            return made;
        }
        catch
        {
            await made.DisposeAsync();
            throw;
        }
    }

    public string[] Names() => [.. System.IO.Directory.GetFileSystemEntries(Directory).Select(path => Path.GetFileName(path)).Where(name => name != "lost+found").Order()];

    /// <summary>Gives it more room.</summary>
    public Task GrowAsync(DataSize real) => RunAsync("mount", "-o", $"remount,{Size(real)}", Room);

    public async ValueTask DisposeAsync()
    {
        foreach (var point in new[] { Directory, Room })
        {
            await s_runner.RunAsync(new() { FileName = "umount", Arguments = [point] }, CancellationToken.None);
        }

        System.IO.Directory.Delete(_root, recursive: true);
    }

    private static async Task RunAsync(string program, params string[] arguments) =>
        (await s_runner.RunAsync(new() { FileName = program, Arguments = arguments }, CancellationToken.None)).EnsureSuccess();

    private static string Size(DataSize size) => $"size={Text(size)}";

    private static string Text(DataSize size) => size.Bytes.ToString(CultureInfo.InvariantCulture);
}

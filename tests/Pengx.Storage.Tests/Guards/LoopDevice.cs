using Pengx.Testing;

namespace Pengx.Storage.Tests;

/// <summary>A block device on a sparse file of its own, both removed at the end.</summary>
public sealed class LoopDevice : IAsyncDisposable
{
    private static readonly ProcessRunner Runner = new();

    private LoopDevice(string file, string path) => (File, Path) = (file, path);

    public string File { get; }

    public string Path { get; }

    public BlockDevice Device => new DeviceGuard().Inspect(Path);

    /// <summary>Attaches a new file.</summary>
    /// <param name="bytes">The size of the file.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <param name="path">The device, for a test that detaches it and wants it back: of those in the order that others are given, one may be taken meanwhile.</param>
    public static async Task<LoopDevice> CreateAsync(long bytes, CancellationToken cancellationToken, string? path = null)
    {
        Requires.Tool("losetup", "loop");
        Requires.That(Environment.IsPrivilegedProcess && System.IO.File.Exists("/dev/loop-control"), "loop", "loop devices need root and /dev/loop-control");
        var file = System.IO.Path.GetTempFileName();
        await using (var stream = System.IO.File.OpenWrite(file))
        {
            stream.SetLength(bytes);
        }

        try
        {
            var result = (await Runner.RunAsync(new() { FileName = "losetup", Arguments = ["--show", path ?? "--find", file] }, cancellationToken)).EnsureSuccess();
            return new(file, result.Output.Trim());
        }
        catch
        {
            System.IO.File.Delete(file);
            throw;
        }
    }

    public static async Task<ProcessResult> RunAsync(string program, params string[] arguments)
    {
        Requires.Tool(program, "loop");
        return (await Runner.RunAsync(new() { FileName = program, Arguments = arguments }, TestContext.Current.CancellationToken)).EnsureSuccess();
    }

    /// <summary>The file or device that a loop device shows; <see langword="null"/> for one that shows nothing.</summary>
    public static string? BackingOf(string device)
    {
        try
        {
            return System.IO.File.ReadAllText($"/sys/block/{System.IO.Path.GetFileName(device)}/loop/backing_file").Trim();
        }
        catch (IOException)
        {
            return null;
        }
    }

    /// <summary>Overwrites a part of the device.</summary>
    public async Task WriteAsync(long offset, byte[] bytes)
    {
        await using var stream = new FileStream(Path, FileMode.Open, FileAccess.Write, FileShare.ReadWrite);
        stream.Position = offset;
        await stream.WriteAsync(bytes, TestContext.Current.CancellationToken);
        stream.Flush(flushToDisk: true);
    }

    public async ValueTask DisposeAsync()
    {
        // One that its test detached may be another's by now.
        if (BackingOf(Path) == File)
        {
            await Runner.RunAsync(new() { FileName = "losetup", Arguments = ["--detach", Path] });
        }

        System.IO.File.Delete(File);
    }
}

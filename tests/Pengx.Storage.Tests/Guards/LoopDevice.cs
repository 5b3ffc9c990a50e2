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

    public static async Task<LoopDevice> CreateAsync(long bytes, CancellationToken cancellationToken)
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
            var result = (await Runner.RunAsync(new() { FileName = "losetup", Arguments = ["--find", "--show", file] }, cancellationToken)).EnsureSuccess();
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
        await Runner.RunAsync(new() { FileName = "losetup", Arguments = ["--detach", Path] });
        System.IO.File.Delete(File);
    }
}

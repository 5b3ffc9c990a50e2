using Pengx.Testing;

namespace Pengx.Storage.Tests;

/// <summary>A file system that the kernel lists as mounted from whatever device the test names, as one is whose device went away.</summary>
internal sealed class NamedMount : IAsyncDisposable
{
    private static readonly ProcessRunner s_runner = new();
    private readonly string _point;

    private NamedMount(string point) => _point = point;

    /// <summary>Whether it is mounted still.</summary>
    public bool IsThere => MountTable.Read(File.ReadLines("/proc/self/mountinfo")).Any(mount => mount.Point == _point);

    public static async Task<NamedMount> MountAsync(string source, string point)
    {
        Requires.That(Environment.IsPrivilegedProcess, "root", "mounting needs root");
        Directory.CreateDirectory(point);
        var mounted = await s_runner.RunAsync(new() { FileName = "mount", Arguments = ["-t", "tmpfs", "-o", "size=1m", source, point] }, TestContext.Current.CancellationToken);
        Requires.That(mounted.ExitCode == 0, "root", $"no tmpfs can be mounted: {mounted.Error.Trim()}");
        return new(point);
    }

    public async ValueTask DisposeAsync()
    {
        if (IsThere)
        {
            await s_runner.RunAsync(new() { FileName = "umount", Arguments = ["--lazy", _point] }, CancellationToken.None);
        }
    }
}

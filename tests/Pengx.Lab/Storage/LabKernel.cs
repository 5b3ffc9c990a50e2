using Pengx.Testing;

namespace Pengx.Lab;

/// <summary>What tests of storage need of this host beneath the service: modules of its kernel, daemons.</summary>
internal static class LabKernel
{
    /// <summary>Loads modules; skips the test, or fails it where that is demanded, when the kernel has not all of them.</summary>
    public static async Task LoadAsync(params string[] modules)
    {
        LabHost.Require();
        var loaded = await LabHost.RunAsync("modprobe", ["--all", .. modules]);
        Requires.That(loaded.ExitCode == 0, "lab", $"the kernel has not all of {string.Join(", ", modules)}: {loaded.Error.Trim()}");
    }

    /// <summary>Starts a daemon for as long as a test takes; one that runs already goes on afterwards.</summary>
    public static async Task<IAsyncDisposable> StartAsync(string unit)
    {
        if ((await LabHost.RunAsync("systemctl", "is-active", "--quiet", unit)).ExitCode == 0)
        {
            return new Daemon(null);
        }

        await LabHost.OutputAsync("systemctl", "start", unit);
        return new Daemon(unit);
    }

    /// <summary>A folder for a test's files on this host's disk.</summary>
    public static string Folder()
    {
        LabHost.Require();
        return Directory.CreateDirectory(Path.Combine("/var/lib/pengx-lab", Guid.NewGuid().ToString("N")[..8])).FullName;
    }

    /// <summary>Fills a part of a device or file with one byte's value, past the kernel's cache.</summary>
    public static async Task FillAsync(string path, long offset, long bytes, byte value) =>
        await LabHost.OutputAsync("qemu-io", "-f", "raw", "-t", "none", "-c", FormattableString.Invariant($"write -P {value} {offset} {bytes}"), "-c", "flush", path);

    /// <summary>Whether a part of a device or file holds one byte's value only, read past the kernel's cache.</summary>
    public static async Task<bool> IsFilledAsync(string path, long offset, long bytes, byte value)
    {
        var read = await LabHost.RunAsync("qemu-io", "-f", "raw", "-r", "-t", "none", "-c", FormattableString.Invariant($"read -P {value} {offset} {bytes}"), path);
        return read.ExitCode == 0 && !read.Output.Contains("verification failed", StringComparison.OrdinalIgnoreCase);
    }

    private sealed class Daemon(string? unit) : IAsyncDisposable
    {
        public async ValueTask DisposeAsync()
        {
            if (unit is not null)
            {
                await new ProcessRunner().RunAsync(new() { FileName = "systemctl", Arguments = ["stop", unit], Timeout = LabHost.Patience });
            }
        }
    }
}

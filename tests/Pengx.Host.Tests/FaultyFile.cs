using System.Diagnostics;
using System.Globalization;
using Pengx.Testing;

namespace Pengx.Host.Tests;

/// <summary>
/// A file whose blocks can be made to fail with an I/O error, for every program that opens it. Its bytes are served by nbdkit with its
/// error filter, and shown in the file's place by <c>qemu-storage-daemon</c>'s FUSE export.
/// </summary>
internal sealed class FaultyFile : IAsyncDisposable
{
    private readonly string _path;
    private readonly string _directory;

    private FaultyFile(string path, string directory)
    {
        _path = path;
        _directory = directory;
    }

    private string Bytes => Path.Combine(_directory, "bytes");

    private string ReadTrigger => Path.Combine(_directory, "reads-fail");

    private string WriteTrigger => Path.Combine(_directory, "writes-fail");

    private string NbdkitPid => Path.Combine(_directory, "nbdkit.pid");

    private string DaemonPid => Path.Combine(_directory, "daemon.pid");

    /// <summary>Puts one in the place of a file that nothing has open.</summary>
    public static async Task<FaultyFile> PutAsync(string path)
    {
        Requires.Tool("nbdkit", "nbdkit");
        Requires.Tool("qemu-storage-daemon", "qemu");
        Requires.That(Environment.IsPrivilegedProcess && File.Exists("/dev/fuse"), "fuse", "a file in the place of another needs root and /dev/fuse");
        FaultyFile faulty = new(path, Directory.CreateTempSubdirectory("pengx-faulty-").FullName);
        File.Move(path, faulty.Bytes);
        try
        {
            await using (var place = File.Create(path))
            {
                place.SetLength(new FileInfo(faulty.Bytes).Length);
            }

            var socket = Path.Combine(faulty._directory, "nbd");

            // In a session of its own it outlives the call.
            await RunAsync(
                "setsid", "nbdkit", "-P", faulty.NbdkitPid, "-U", socket, "--filter=error", "file", faulty.Bytes,
                "error=EIO", "error-pread-rate=100%", $"error-pread-file={faulty.ReadTrigger}", "error-pwrite-rate=100%", $"error-pwrite-file={faulty.WriteTrigger}");
            await RunAsync(
                "qemu-storage-daemon", "--daemonize", "--pidfile", faulty.DaemonPid,
                "--blockdev", $"driver=nbd,node-name=disk,server.type=unix,server.path={socket}",
                "--export", $"type=fuse,id=export,node-name=disk,mountpoint={path},writable=on");
            return faulty;
        }
        catch
        {
            await faulty.DisposeAsync();
            throw;
        }
    }

    public void ReadsFail(bool fail) => Set(ReadTrigger, fail);

    public void WritesFail(bool fail) => Set(WriteTrigger, fail);

    /// <summary>The file is an ordinary one again. Nothing may have it open.</summary>
    public async ValueTask DisposeAsync()
    {
        await EndAsync(DaemonPid);
        await EndAsync(NbdkitPid);
        if (File.Exists(Bytes))
        {
            File.Delete(_path);
            File.Move(Bytes, _path);
        }

        Directory.Delete(_directory, recursive: true);
    }

    private static void Set(string trigger, bool fail)
    {
        if (fail)
        {
            File.WriteAllBytes(trigger, []);
        }
        else
        {
            File.Delete(trigger);
        }
    }

    private static async Task RunAsync(string program, params string[] arguments) =>
        (await new ProcessRunner().RunAsync(new() { FileName = program, Arguments = arguments }, TestContext.Current.CancellationToken)).EnsureSuccess();

    private static async Task EndAsync(string pidFile)
    {
        if (!File.Exists(pidFile) || !int.TryParse(await File.ReadAllTextAsync(pidFile), CultureInfo.InvariantCulture, out var pid))
        {
            return;
        }

        try
        {
            using var process = Process.GetProcessById(pid);
            await new ProcessRunner().RunAsync(new() { FileName = "kill", Arguments = [pid.ToString(CultureInfo.InvariantCulture)] }, CancellationToken.None);
            await process.WaitForExitAsync().WaitAsync(TimeSpan.FromSeconds(30));
        }
        catch (ArgumentException)
        {
            // It has ended by itself.
        }
    }
}

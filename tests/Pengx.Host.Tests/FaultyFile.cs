using System.Diagnostics;
using System.Globalization;
using Pengx.Testing;

namespace Pengx.Host.Tests;

/// <summary>
/// A file whose blocks can be made to fail with an I/O error, or to come slowly, for every program that opens it. Its bytes are served by
/// nbdkit with its error and rate filters, and shown in the file's place by <c>qemu-storage-daemon</c>'s FUSE export.
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

    private string Rate => Path.Combine(_directory, "rate");

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
                "setsid", "nbdkit", "-P", faulty.NbdkitPid, "-U", socket, "--filter=error", "--filter=rate", "file", faulty.Bytes,
                "error=EIO", "error-pread-rate=100%", $"error-pread-file={faulty.ReadTrigger}", "error-pwrite-rate=100%", $"error-pwrite-file={faulty.WriteTrigger}", $"rate-file={faulty.Rate}");
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

    /// <summary>Lets it be read at 2 MiB/s and no faster, or without a limit again.</summary>
    public void BeSlow(bool slow)
    {
        // In one piece, as nbdkit may read it at any moment.
        var next = Path.Combine(_directory, "rate-next");
        File.WriteAllText(next, slow ? "16M" : "1000G");
        File.Move(next, Rate, overwrite: true);
    }

    /// <summary>Whoever reads on, does not find in memory what was read before.</summary>
    public Task ForgetAsync() => RunAsync("dd", $"if={_path}", "of=/dev/null", "iflag=nocache", "count=0", "status=none");

    /// <summary>Leaves an empty file to be deleted in its place: while a program shows it, nobody can delete it. Nothing may have it open.</summary>
    public async Task GiveUpAsync()
    {
        await EndAsync(DaemonPid);
        await EndAsync(NbdkitPid, kill: true);
        File.Delete(Bytes);
    }

    /// <summary>The file is an ordinary one again. Nothing may have it open.</summary>
    public async ValueTask DisposeAsync()
    {
        await EndAsync(DaemonPid);
        await EndAsync(NbdkitPid, kill: true);
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

    private static async Task EndAsync(string pidFile, bool kill = false)
    {
        if (!File.Exists(pidFile) || !int.TryParse(await File.ReadAllTextAsync(pidFile), CultureInfo.InvariantCulture, out var pid))
        {
            return;
        }

        try
        {
            using var process = Process.GetProcessById(pid);

            // nbdkit takes seconds over a request to end, and keeps nothing back that a kill could lose.
            await new ProcessRunner().RunAsync(new() { FileName = "kill", Arguments = [kill ? "-KILL" : "-TERM", pid.ToString(CultureInfo.InvariantCulture)] }, CancellationToken.None);
            await process.WaitForExitAsync().WaitAsync(TimeSpan.FromSeconds(30));
        }
        catch (ArgumentException)
        {
            // It has ended by itself.
        }

        File.Delete(pidFile);
    }
}

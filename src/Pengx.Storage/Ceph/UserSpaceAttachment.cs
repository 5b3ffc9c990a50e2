using System.Globalization;
using System.Runtime.InteropServices;

namespace Pengx.Storage;

/// <summary>RBD images as loop devices over a file that <c>qemu-storage-daemon</c> exports by FUSE. The daemon outlives this
/// process, as guests do; all that is known of it is read back from the kernel.</summary>
internal sealed partial class UserSpaceAttachment(IProcessRunner runner, CephOptions options, CephConfiguration configuration, TimeProvider time)
{
    private const int Terminate = 15;
    private const int Kill = 9;
    private static readonly TimeSpan s_pause = TimeSpan.FromMilliseconds(20);
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(5);

    /// <summary>The device of a disk; <see langword="null"/> unless all of it works: device, mount and daemon.</summary>
    public string? Find(DiskId disk) =>
        IsMounted(FileOf(disk)) && DaemonOf(disk) is not null && LoopsOf(FileOf(disk)) is [var device] ? device : null;

    /// <summary>Whether anything of an attachment is there.</summary>
    public bool HasTraces(DiskId disk) =>
        Directory.Exists(DirectoryOf(disk)) || IsMounted(FileOf(disk)) || LoopsOf(FileOf(disk)).Count > 0 || DaemonOf(disk) is not null;

    /// <summary>Attaches an image that is not attached.</summary>
    /// <exception cref="PengxException">It cannot be attached; nothing is left.</exception>
    public async Task<string> AttachAsync(string what, DiskId disk, string pool, string image, CancellationToken cancellationToken)
    {
        var path = FileOf(disk);
        if (path.Contains(',', StringComparison.Ordinal))
        {
            throw new InvalidFieldException(nameof(CephOptions.RunDirectory), options.RunDirectory, "it must not contain a comma.");
        }

        try
        {
            Directory.CreateDirectory(DirectoryOf(disk), UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
            using (File.Create(path))
            {
            }

            await StartDaemonAsync(what, disk, pool, image, cancellationToken).ConfigureAwait(false);
            var device = (await RunAsync(what, options.Losetup, ["--find", "--show", "--nooverlap", "--direct-io=on", path], cancellationToken).ConfigureAwait(false)).Output.Trim();
            return Find(disk) == device
                ? device
                : throw new StorageException($"{what}: losetup says that {device} shows {path}, and the kernel does not; nothing is used.");
        }
        catch (Exception exception)
        {
            await DetachAsync(what, disk, CancellationToken.None).ConfigureAwait(false);
            if (exception is IOException or UnauthorizedAccessException)
            {
                throw new StorageException($"{what}: {exception.Message}", exception);
            }

            throw;
        }
    }

    /// <summary>Takes an attachment down, or what is left of one, and demands that it is gone.</summary>
    /// <exception cref="InUseException">Something has the device open.</exception>
    public async Task DetachAsync(string what, DiskId disk, CancellationToken cancellationToken)
    {
        var path = FileOf(disk);
        foreach (var device in LoopsOf(path))
        {
            await RunAsync(what, options.Losetup, ["--detach", device], cancellationToken).ConfigureAwait(false);
        }

        // losetup succeeds while something has the device open, too; the kernel then lets it go at the last close.
        if (!await WaitAsync(() => LoopsOf(path).Count == 0, cancellationToken).ConfigureAwait(false))
        {
            throw new InUseException($"{what}: something has {LoopsOf(path).FirstOrDefault()} open.");
        }

        if (DaemonOf(disk) is { } daemon)
        {
            // Asked, it flushes, closes the image and takes its mount away.
            _ = Signal(daemon, Terminate);
            if (!await WaitAsync(() => DaemonOf(disk) is null, cancellationToken).ConfigureAwait(false))
            {
                _ = Signal(daemon, Kill);
                if (!await WaitAsync(() => DaemonOf(disk) is null, cancellationToken).ConfigureAwait(false))
                {
                    throw new StorageException($"{what}: the storage daemon, process {daemon}, does not end.");
                }
            }
        }

        if (IsMounted(path))
        {
            await RunAsync(what, "umount", ["--lazy", path], cancellationToken).ConfigureAwait(false);
            if (IsMounted(path))
            {
                throw new StorageException($"{what}: {path} is still mounted.");
            }
        }

        try
        {
            if (Directory.Exists(DirectoryOf(disk)))
            {
                Directory.Delete(DirectoryOf(disk), recursive: true);
            }
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new StorageException($"{what}: {exception.Message}", exception);
        }
    }

    private async Task StartDaemonAsync(string what, DiskId disk, string pool, string image, CancellationToken cancellationToken)
    {
        // For guests: the daemon waits for a cluster that is away, as a disk does, rather than telling errors to a file system.
        var result = await runner.RunAsync(
            new()
            {
                FileName = options.QemuStorageDaemon,
                Arguments =
                [
                    "--daemonize", "--pidfile", PidFileOf(disk),
                    "--blockdev", $"driver=rbd,node-name=storage,pool={pool},image={image},conf={Escape(configuration.GuestFile)},user={options.User},discard=unmap,cache.direct=off,cache.no-flush=off",
                    "--blockdev", "driver=raw,node-name=disk,file=storage,discard=unmap",
                    "--export", $"type=fuse,id=export,node-name=disk,mountpoint={FileOf(disk)},writable=on",
                ],
                Timeout = options.CommandTimeout,
            },
            cancellationToken).ConfigureAwait(false);
        if (result.ExitCode != 0)
        {
            var failure = ProcessFailedException.Exited(result);
            throw result.Error.Contains("timed out", StringComparison.OrdinalIgnoreCase) || result.Error.Contains("error connecting", StringComparison.Ordinal)
                ? new UnavailableException($"{what}: the Ceph cluster cannot be reached, or does not answer. {failure.Message}", failure)
                : new StorageException($"{what}: {failure.Message}", failure);
        }
    }

    private async Task<ProcessResult> RunAsync(string what, string program, IReadOnlyList<string> arguments, CancellationToken cancellationToken)
    {
        var result = await runner.RunAsync(new() { FileName = program, Arguments = arguments, Timeout = options.CommandTimeout }, cancellationToken).ConfigureAwait(false);
        var failure = result.ExitCode == 0 ? null : ProcessFailedException.Exited(result);
        return failure is null ? result : throw new StorageException($"{what}: {failure.Message}", failure);
    }

    private async Task<bool> WaitAsync(Func<bool> done, CancellationToken cancellationToken)
    {
        for (var started = time.GetTimestamp(); !done();)
        {
            if (time.GetElapsedTime(started) > s_patience)
            {
                return false;
            }

            await Task.Delay(s_pause, time, cancellationToken).ConfigureAwait(false);
        }

        return true;
    }

    private string DirectoryOf(DiskId disk) => Path.Combine(options.RunDirectory, disk.ToString());

    private string FileOf(DiskId disk) => Path.Combine(DirectoryOf(disk), "disk");

    private string PidFileOf(DiskId disk) => Path.Combine(DirectoryOf(disk), "daemon.pid");

    // Its command line names the disk's own directory: a process number that another has taken over is never mistaken for it.
    private int? DaemonOf(DiskId disk)
    {
        try
        {
            var mount = $"mountpoint={FileOf(disk)},";
            return int.TryParse(File.ReadAllText(PidFileOf(disk)).Trim(), NumberStyles.None, CultureInfo.InvariantCulture, out var pid)
                && File.ReadAllText($"/proc/{pid}/cmdline").Contains(mount, StringComparison.Ordinal) ? pid : null;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    // Never by asking the path itself: with its daemon gone it answers nothing.
    private static bool IsMounted(string path) => MountTable.FindOf(path, File.ReadLines("/proc/self/mountinfo"))?.Point == path;

    private static List<string> LoopsOf(string path)
    {
        List<string> devices = [];
        foreach (var device in Directory.EnumerateDirectories("/sys/block", "loop*"))
        {
            try
            {
                // A file that was removed meanwhile is told with a remark behind its name.
                if (File.ReadAllText(Path.Combine(device, "loop/backing_file")).Trim() is var file && (file == path || file == path + " (deleted)"))
                {
                    devices.Add($"/dev/{Path.GetFileName(device)}");
                }
            }
            catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
            {
                // It shows nothing, or went while it was looked at.
            }
        }

        return devices;
    }

    private static string Escape(string text) => text.Replace(",", ",,", StringComparison.Ordinal);

    [LibraryImport("libc", EntryPoint = "kill", SetLastError = true)]
    private static partial int Signal(int pid, int signal);
}

using System.Collections;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;

namespace Pengx.Qemu;

/// <summary>A QEMU process, started here or found running. It is held by a process descriptor, so that a signal can never hit
/// another process that got the same id.</summary>
internal sealed class QemuProcess : IDisposable
{
    private static readonly TimeSpan s_exitPoll = TimeSpan.FromMilliseconds(10);

    private readonly TimeProvider _time;
    private readonly bool _isChild;
    private readonly Lock _gate = new();
    private int _pidfd;

    private QemuProcess(int pid, int pidfd, bool isChild, TimeProvider time)
    {
        Pid = pid;
        _pidfd = pidfd;
        _isChild = isChild;
        _time = time;
    }

    public int Pid { get; }

    /// <summary>How it ended, in words, where it was our child and has ended.</summary>
    public string? ExitDescription { get; private set; }

    /// <summary>Starts a program in a session of its own, with its working directory at the root, an empty signal mask, and
    /// no descriptor but those given.</summary>
    /// <param name="arguments">The program's absolute path first.</param>
    /// <param name="descriptors">What the program finds as its descriptors 0, 1, 2 and so on.</param>
    /// <param name="time">The clock.</param>
    /// <exception cref="HypervisorException">The system refused.</exception>
    public static unsafe QemuProcess Spawn(IReadOnlyList<string> arguments, ReadOnlySpan<int> descriptors, TimeProvider time)
    {
        // Opaque structures of the C library, with room to spare (glibc: 336, 80 and 128 bytes).
        const int Opaque = 1024;
        const int FirstCopy = 64;
        var attributes = stackalloc byte[Opaque];
        var actions = stackalloc byte[Opaque];
        var signals = stackalloc byte[Opaque];
        Check(NativeMethods.SpawnAttributesInit(attributes));
        Check(NativeMethods.SpawnActionsInit(actions));
        var argv = ToNative(arguments);
        var envp = ToNative(ChildEnvironment());
        List<int> copies = [];
        try
        {
            _ = NativeMethods.SignalSetEmpty(signals);
            Check(NativeMethods.SpawnAttributesSetSignalMask(attributes, signals));

            // .NET ignores SIGPIPE, and an ignored signal stays ignored in the program.
            _ = NativeMethods.SignalSetFill(signals);
            Check(NativeMethods.SpawnAttributesSetSignalDefault(attributes, signals));
            Check(NativeMethods.SpawnAttributesSetFlags(attributes, NativeMethods.SpawnSetSid | NativeMethods.SpawnSetSigMask | NativeMethods.SpawnSetSigDef));
            for (var target = 0; target < descriptors.Length; target++)
            {
                // Above all targets, so that no target overwrites a descriptor that is still to be handed on.
                var source = NativeMethods.FileControl(descriptors[target], NativeMethods.DuplicateCloseOnExec, FirstCopy);
                if (source < 0)
                {
                    throw new HypervisorException($"A descriptor cannot be handed on: {NativeMethods.LastError()}");
                }

                copies.Add(source);
                Check(NativeMethods.SpawnActionsAddDup2(actions, source, target));
            }

            Check(NativeMethods.SpawnActionsAddChdir(actions, "/"));
            if (NativeLibrary.TryGetExport(NativeLibrary.GetMainProgramHandle(), "posix_spawn_file_actions_addclosefrom_np", out _))
            {
                Check(NativeMethods.SpawnActionsAddCloseFrom(actions, descriptors.Length));
            }

            var error = NativeMethods.PosixSpawn(out var pid, argv[0], actions, attributes, argv, envp);
            if (error != 0)
            {
                throw new HypervisorException($"{arguments[0]} could not be started: {Marshal.GetPInvokeErrorMessage(error)}");
            }

            // Our child stays a zombie until we wait for it, so its id cannot have been given to another process yet.
            return new(pid, NativeMethods.PidfdOpen(pid), isChild: true, time);
        }
        finally
        {
            foreach (var copy in copies)
            {
                _ = NativeMethods.Close(copy);
            }

            Free(argv);
            Free(envp);
            _ = NativeMethods.SpawnActionsDestroy(actions);
            _ = NativeMethods.SpawnAttributesDestroy(attributes);
        }
    }

    /// <summary>Takes a running process; <see langword="null"/> when it is gone.</summary>
    /// <param name="pid">Its id.</param>
    /// <param name="time">The clock.</param>
    public static QemuProcess? Open(int pid, TimeProvider time)
    {
        var pidfd = NativeMethods.PidfdOpen(pid);
        return pidfd < 0 ? null : new(pid, pidfd, isChild: false, time);
    }

    /// <summary>Waits until the process is gone.</summary>
    /// <param name="timeout">How long; <see cref="Timeout.InfiniteTimeSpan"/> for ever.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <returns>Whether it is gone.</returns>
    public async Task<bool> WaitForExitAsync(TimeSpan timeout, CancellationToken cancellationToken)
    {
        var start = _time.GetTimestamp();
        var pause = s_exitPoll;
        while (!HasExited())
        {
            if (timeout != Timeout.InfiniteTimeSpan && _time.GetElapsedTime(start) >= timeout)
            {
                return false;
            }

            await Task.Delay(pause, _time, cancellationToken).ConfigureAwait(false);

            // The end is close as a rule (the monitor hung up); a long wait need not be exact.
            pause = _time.GetElapsedTime(start) < TimeSpan.FromSeconds(2) ? s_exitPoll : TimeSpan.FromMilliseconds(250);
        }

        return true;
    }

    /// <summary>Whether the process is gone. Takes the exit status of our child.</summary>
    public unsafe bool HasExited()
    {
        lock (_gate)
        {
            if (_pidfd < 0)
            {
                return true;
            }

            var poll = new NativeMethods.PollFd { Fd = _pidfd, Events = NativeMethods.PollIn };
            if (NativeMethods.Poll(&poll, 1, 0) <= 0)
            {
                return false;
            }

            if (_isChild && NativeMethods.WaitPid(Pid, out var status, NativeMethods.WaitNoHang) == Pid)
            {
                var signal = status & 0x7f;
                ExitDescription = signal == 0
                    ? string.Create(CultureInfo.InvariantCulture, $"exit code {(status >> 8) & 0xff}")
                    : string.Create(CultureInfo.InvariantCulture, $"killed by signal {signal}");
            }

            CloseLocked();
            return true;
        }
    }

    /// <summary>Sends a signal; does nothing when the process is gone.</summary>
    /// <param name="signal">The signal.</param>
    public void Signal(int signal)
    {
        lock (_gate)
        {
            if (_pidfd >= 0)
            {
                _ = NativeMethods.PidfdSendSignal(_pidfd, signal);
            }
        }
    }

    public void Dispose()
    {
        lock (_gate)
        {
            CloseLocked();
        }
    }

    private void CloseLocked()
    {
        if (_pidfd >= 0)
        {
            _ = NativeMethods.Close(_pidfd);
            _pidfd = -1;
        }
    }

    // Settings of the service (secrets among them, perhaps) are none of QEMU's business.
    private static List<string> ChildEnvironment()
    {
        List<string> environment = ["LC_ALL=C", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"];
        foreach (DictionaryEntry variable in Environment.GetEnvironmentVariables())
        {
            if (variable.Key is string name && (name is "TMPDIR" or "HOME" or "CEPH_CONF" or "LD_LIBRARY_PATH"))
            {
                environment.Add($"{name}={variable.Value}");
            }
        }

        return environment;
    }

    private static unsafe byte** ToNative(IReadOnlyList<string> texts)
    {
        var native = (byte**)NativeMemory.AllocZeroed((nuint)(texts.Count + 1), (nuint)sizeof(byte*));
        for (var i = 0; i < texts.Count; i++)
        {
            if (texts[i].Contains('\0', StringComparison.Ordinal))
            {
                throw new ArgumentException("An argument of a program has no NUL.", nameof(texts));
            }

            var bytes = Encoding.UTF8.GetBytes(texts[i]);
            native[i] = (byte*)NativeMemory.AllocZeroed((nuint)bytes.Length + 1);
            bytes.CopyTo(new Span<byte>(native[i], bytes.Length));
        }

        return native;
    }

    private static unsafe void Free(byte** native)
    {
        for (var i = 0; native[i] is not null; i++)
        {
            NativeMemory.Free(native[i]);
        }

        NativeMemory.Free(native);
    }

    private static void Check(int error)
    {
        if (error != 0)
        {
            throw new HypervisorException($"A process cannot be prepared: {Marshal.GetPInvokeErrorMessage(error)}");
        }
    }
}

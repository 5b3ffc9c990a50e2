using System.Diagnostics;
using System.Net.Sockets;

namespace Pengx.Benchmarks.Xenstore;

/// <summary>Debian's C xenstored, started for a measurement; <c>eng/xen-tools.sh</c> unpacks it.</summary>
internal sealed class RealXenstored : IAsyncDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("pengx-bench-").FullName;
    private readonly Process _process;

    internal RealXenstored()
    {
        ProcessStartInfo start = new(Tool("lib/xen-4.17/bin/xenstored")) { RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true };
        start.ArgumentList.Add("-N");
        start.Environment["XENSTORED_RUNDIR"] = _directory;
        start.Environment["XENSTORED_ROOTDIR"] = _directory;
        start.Environment["LD_LIBRARY_PATH"] = Libraries;
        start.Environment["LD_PRELOAD"] = Path.Combine(Folder, "xenstored.so");
        start.Environment["PENGX_XENSTORED_TIED"] = "1";
        _process = Process.Start(start)!;
        _process.OutputDataReceived += static (_, _) => { };
        _process.ErrorDataReceived += static (_, line) => Console.Error.WriteLine(line.Data);
        _process.BeginOutputReadLine();
        _process.BeginErrorReadLine();
    }

    internal static string Libraries => Path.Combine(Folder, "tree/usr/lib/x86_64-linux-gnu");

    internal string SocketPath => Path.Combine(_directory, "socket");

    private static string Folder { get; } = Find();

    internal async Task<Socket> ConnectBareAsync()
    {
        using CancellationTokenSource limit = new(TimeSpan.FromSeconds(30));
        using PeriodicTimer poll = new(TimeSpan.FromMilliseconds(10));
        while (true)
        {
            Socket socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            try
            {
                // Not asynchronously: a socket that was, is never again as fast as the bare calls.
                socket.Connect(new UnixDomainSocketEndPoint(SocketPath));
                return socket;
            }
            catch (SocketException) when (!_process.HasExited)
            {
                socket.Dispose();
                await poll.WaitForNextTickAsync(limit.Token);
            }
        }
    }

    /// <summary>Runs one of Xen's own tools and returns how many bytes it printed.</summary>
    internal async Task<int> RunToolAsync(string tool, params string[] arguments)
    {
        ProcessStartInfo start = new(Tool($"bin/{tool}")) { RedirectStandardOutput = true };
        foreach (var argument in arguments)
        {
            start.ArgumentList.Add(argument);
        }

        start.Environment["XENSTORED_PATH"] = SocketPath;
        start.Environment["LD_LIBRARY_PATH"] = Libraries;
        using var process = Process.Start(start)!;
        var printed = await process.StandardOutput.ReadToEndAsync();
        await process.WaitForExitAsync();
        return process.ExitCode == 0 ? printed.Length : throw new InvalidOperationException($"{tool} failed with {process.ExitCode}.");
    }

    public async ValueTask DisposeAsync()
    {
        _process.Kill();
        await _process.WaitForExitAsync();
        _process.Dispose();
        Directory.Delete(_directory, recursive: true);
    }

    private static string Tool(string path) => Path.Combine(Folder, "tree/usr", path);

    private static string Find()
    {
        for (var directory = new DirectoryInfo(AppContext.BaseDirectory); directory is not null; directory = directory.Parent)
        {
            var folder = Path.Combine(directory.FullName, "artifacts/xen-tools");
            if (File.Exists(Path.Combine(folder, "xenstored.so")))
            {
                return folder;
            }
        }

        throw new InvalidOperationException("artifacts/xen-tools is missing: run eng/xen-tools.sh first.");
    }
}

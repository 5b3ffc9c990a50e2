using System.Diagnostics;
using System.Text;
using Pengx.Client;
using Pengx.Xen;

namespace Pengx.Lab;

/// <summary>The published service on this Xen host: its own process, a real port, its own data directory.</summary>
internal sealed class LabService : IAsyncDisposable
{
    private readonly string _directory;
    private readonly XlGuestKind _kind;
    private readonly HttpClient _http = new(PengxClient.CreateHandler()) { Timeout = LabHost.Patience };
    private readonly StringBuilder _log = new();
    private Process? _process;
    private PengxClient? _client;

    private LabService(string directory, XlGuestKind kind)
    {
        _directory = directory;
        _kind = kind;
    }

    public PengxClient Client => _client ?? throw new InvalidOperationException("The service does not run.");

    public string Log
    {
        get
        {
            lock (_log)
            {
                return _log.ToString();
            }
        }
    }

    public static async Task<LabService> StartAsync(string directory, XlGuestKind kind)
    {
        var service = new LabService(directory, kind);
        try
        {
            await service.StartAsync();
            return service;
        }
        catch
        {
            await service.DisposeAsync();
            throw;
        }
    }

    /// <summary>Starts it, again on the same data directory.</summary>
    public async Task StartAsync()
    {
        var listening = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
        var start = new ProcessStartInfo(LabHost.Service) { RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (var argument in Arguments())
        {
            start.ArgumentList.Add(argument);
        }

        var process = new Process { StartInfo = start, EnableRaisingEvents = true };
        process.OutputDataReceived += Read;
        process.ErrorDataReceived += Read;
        process.Exited += (_, _) => listening.TrySetException(new InvalidOperationException($"The service ended:\n{Log}"));
        process.Start();
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        _process = process;
        var address = new Uri(await listening.Task.WaitAsync(LabHost.Patience, TestContext.Current.CancellationToken));
        _client = new(_http, new() { BaseAddress = address, Timeout = LabHost.Patience });

        void Read(object sender, DataReceivedEventArgs line)
        {
            if (line.Data is null)
            {
                return;
            }

            lock (_log)
            {
                _log.AppendLine(line.Data);
            }

            const string Listening = "Now listening on: ";
            if (line.Data.IndexOf(Listening, StringComparison.Ordinal) is >= 0 and var at)
            {
                listening.TrySetResult(line.Data[(at + Listening.Length)..].Trim());
            }
        }
    }

    /// <summary>Ends it as a crash would: SIGKILL, to it alone.</summary>
    public async Task KillAsync()
    {
        _process!.Kill();
        await _process.WaitForExitAsync(CancellationToken.None);
        _process.Dispose();
        _process = null;
    }

    public async ValueTask DisposeAsync()
    {
        if (_process is not null)
        {
            await KillAsync();
        }

        _http.Dispose();
        TestContext.Current.TestOutputHelper?.WriteLine(Log);
    }

    private IEnumerable<string> Arguments()
    {
        yield return "--urls=http://127.0.0.1:0";
        yield return "--Pengx:Hypervisor=auto"; // which has to find Xen by itself
        yield return $"--Pengx:DataDirectory={_directory}";
        yield return $"--Pengx:SshDirectory={Path.Combine(_directory, "ssh")}";
        yield return "--Pengx:Limits:ShutdownWaitSeconds=120";
        var profile = LabProfiles.For(_kind);
        yield return $"--Pengx:Xen:Kind={profile.Kind}";
        yield return $"--Pengx:Xen:Vnc={profile.Vnc}";
        if (profile.Kernel is not null)
        {
            yield return $"--Pengx:Xen:Kernel={profile.Kernel}";
            yield return $"--Pengx:Xen:Ramdisk={profile.Ramdisk}";
            yield return $"--Pengx:Xen:CommandLine={profile.CommandLine}";
        }

        foreach (var (key, value) in profile.ExtraSettings)
        {
            yield return $"--Pengx:Xen:Settings:{key}={value}";
        }
    }
}

using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Text;
using System.Xml.Linq;

namespace Pengx.Host.Tests;

/// <summary>The service as users run it: its own process, a real port, its own data directory.</summary>
public sealed partial class HostProcess : IAsyncDisposable
{
    private static readonly TimeSpan StartTimeout = TimeSpan.FromSeconds(90);

    /// <summary>Whether a service has found out that KVM runs no guest here, which takes seconds; the others are told.</summary>
    private static volatile bool s_knownAsEmulated;

    private readonly string[] _arguments;
    private readonly bool _ownsDirectory;
    private readonly StringBuilder _log = new();
    private Process? _process;

    private HostProcess(string directory, bool ownsDirectory, string[] arguments)
    {
        DataDirectory = directory;
        _ownsDirectory = ownsDirectory;
        _arguments = arguments;
    }

    public string DataDirectory { get; }

    public HttpClient Http { get; private set; } = new();

    public Uri Address => Http.BaseAddress!;

    public int ProcessId => _process!.Id;

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

    public static async Task<HostProcess> StartAsync(string hypervisor, params string[] arguments)
    {
        var host = new HostProcess(Directory.CreateTempSubdirectory("pengx-host-").FullName, ownsDirectory: true, [$"--Pengx:Hypervisor={hypervisor}", .. arguments]);
        try
        {
            await host.StartAsync();
            return host;
        }
        catch
        {
            await host.DisposeAsync();
            throw;
        }
    }

    /// <summary>Starts the service again on the same data directory.</summary>
    public async Task StartAsync()
    {
        var listening = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
        var start = new ProcessStartInfo("dotnet") { RedirectStandardOutput = true, RedirectStandardError = true };
        start.ArgumentList.Add(Path.Combine(AppContext.BaseDirectory, "Pengx.Host.dll"));
        start.ArgumentList.Add("--urls=http://127.0.0.1:0");
        start.ArgumentList.Add($"--Pengx:DataDirectory={DataDirectory}");
        start.ArgumentList.Add($"--Pengx:SshDirectory={Path.Combine(DataDirectory, "ssh")}");
        start.Environment["TMPDIR"] = DataDirectory;
        foreach (var argument in _arguments)
        {
            start.ArgumentList.Add(argument);
        }

        if (s_knownAsEmulated)
        {
            start.ArgumentList.Add("--Pengx:Qemu:Accelerator=Tcg");
        }

        var process = new Process { StartInfo = start, EnableRaisingEvents = true };
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

            if (line.Data.Contains("Guests run with TCG: KVM does not run a guest here", StringComparison.Ordinal))
            {
                s_knownAsEmulated = true;
            }

            const string Listening = "Now listening on: ";
            if (line.Data.IndexOf(Listening, StringComparison.Ordinal) is >= 0 and var at)
            {
                listening.TrySetResult(line.Data[(at + Listening.Length)..].Trim());
            }
        }

        process.OutputDataReceived += Read;
        process.ErrorDataReceived += Read;
        process.Exited += (_, _) => listening.TrySetException(new InvalidOperationException($"The service ended:\n{Log}"));
        process.Start();
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        _process = process;
        var address = await listening.Task.WaitAsync(StartTimeout);
        Http.Dispose();
        Http = new HttpClient { BaseAddress = new Uri(address), Timeout = TimeSpan.FromMinutes(3) };
    }

    /// <summary>Closes the connections to the service that were kept for later requests.</summary>
    public void HangUp()
    {
        var address = Http.BaseAddress;
        Http.Dispose();
        Http = new HttpClient { BaseAddress = address, Timeout = TimeSpan.FromMinutes(3) };
    }

    /// <summary>Ends the service as a crash would: SIGKILL, to it alone.</summary>
    public async Task KillAsync()
    {
        Assert.Equal(0, Kill(_process!.Id, 9));
        await _process.WaitForExitAsync();
        _process.Dispose();
        _process = null;
    }

    /// <summary>Ends the service as an operator would: SIGTERM.</summary>
    public async Task<int> StopAsync()
    {
        Assert.Equal(0, Kill(_process!.Id, 15));
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        await _process.WaitForExitAsync(limit.Token);
        var code = _process.ExitCode;
        _process.Dispose();
        _process = null;
        return code;
    }

    public async ValueTask DisposeAsync()
    {
        if (_process is { HasExited: false })
        {
            await KillAsync();
        }

        foreach (var pid in GuestProcesses())
        {
            _ = Kill(pid, 9);
        }

        Http.Dispose();
        if (_ownsDirectory)
        {
            Directory.Delete(DataDirectory, recursive: true);
        }
    }

    /// <summary>The QEMU processes that were started for this service's data directory.</summary>
    public IReadOnlyList<int> GuestProcesses()
    {
        List<int> found = [];
        foreach (var entry in Directory.GetDirectories("/proc"))
        {
            if (!int.TryParse(Path.GetFileName(entry), out var pid))
            {
                continue;
            }

            try
            {
                // Of the service's environment a guest's process has only what it needs; its own temporary directory tells it.
                if (File.ReadAllText(Path.Combine(entry, "environ")).Contains($"TMPDIR={DataDirectory}\0", StringComparison.Ordinal)
                    && File.ReadAllText(Path.Combine(entry, "cmdline")).Contains("qemu-system", StringComparison.Ordinal))
                {
                    found.Add(pid);
                }
            }
            catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
            {
                // It ended while we looked.
            }
        }

        return found;
    }

    public async Task<(HttpStatusCode Status, string Body, HttpResponseMessage Response)> SendAsync(HttpMethod method, string path, string? xml = null, params (string Name, string Value)[] headers)
    {
        using var request = new HttpRequestMessage(method, path);
        if (xml is not null)
        {
            request.Content = new StringContent(xml, Encoding.UTF8, "application/xml");
        }

        foreach (var (name, value) in headers)
        {
            Assert.True(request.Headers.TryAddWithoutValidation(name, value), name);
        }

        HttpResponseMessage response;
        try
        {
            response = await Http.SendAsync(request);
        }
        catch (SocketException exception)
        {
            // HttpClient lets it through as it is where the service dies in the moment in which the connection is made.
            throw new HttpRequestException(HttpRequestError.ConnectionError, exception.Message, exception);
        }

        return (response.StatusCode, await response.Content.ReadAsStringAsync(), response);
    }

    public async Task<XElement> GetXmlAsync(string path, params (string Name, string Value)[] headers)
    {
        var (status, body, _) = await SendAsync(HttpMethod.Get, path, null, headers);
        Assert.True(status == HttpStatusCode.OK, $"GET {path}: {(int)status} {body}\n{Log}");
        return XElement.Parse(body);
    }

    /// <summary>Sends a change and demands its success.</summary>
    /// <returns>What the Location header names, or an empty string.</returns>
    public async Task<string> ChangeAsync(HttpMethod method, string path, string? xml, HttpStatusCode expected, params (string Name, string Value)[] headers)
    {
        var (status, body, response) = await SendAsync(method, path, xml, headers);
        Assert.True(status == expected, $"{method} {path}: {(int)status} {body}\n{Log}");
        return response.Headers.Location?.OriginalString ?? "";
    }

    /// <summary>Sends a request that must be refused.</summary>
    /// <returns>The message of the error body.</returns>
    public async Task<string> RefusedAsync(HttpMethod method, string path, string? xml, HttpStatusCode expected, params (string Name, string Value)[] headers)
    {
        var (status, body, _) = await SendAsync(method, path, xml, headers);
        Assert.True(status == expected, $"{method} {path}: {(int)status} {body}\n{Log}");
        var root = XElement.Parse(body);
        Assert.Equal("root", root.Name.LocalName);
        Assert.Equal("False", root.Element("result")?.Value);
        var message = root.Element("message")?.Value ?? "";
        Assert.NotEmpty(message);
        return message;
    }

    [LibraryImport("libc", EntryPoint = "kill", SetLastError = true)]
    private static partial int Kill(int pid, int signal);
}

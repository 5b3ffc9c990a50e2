using System.Diagnostics;
using System.Text;

namespace Pengx.Xen.Tests;

/// <summary>Debian's C xenstored, without Xen, in a folder of its own; it ends with the test, whatever becomes of that.</summary>
public sealed class XenstoredProcess : IAsyncDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly StringBuilder _said = new();
    private Process? _process;

    public XenstoreEndPoint EndPoint => XenstoreEndPoint.At(SocketPath);

    public string SocketPath => _folder.At("socket");

    private static TimeSpan StartLimit { get; } = TimeSpan.FromSeconds(30);

    public async Task StartAsync(CancellationToken cancellationToken)
    {
        ProcessStartInfo start = new(XenTools.Xenstored) { RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true };
        start.ArgumentList.Add("-N");
        start.Environment["XENSTORED_RUNDIR"] = _folder.At(string.Empty);
        start.Environment["XENSTORED_ROOTDIR"] = _folder.At(string.Empty);
        start.Environment["LD_LIBRARY_PATH"] = XenTools.Libraries;
        start.Environment["LD_PRELOAD"] = XenTools.StandIn("xenstored");
        start.Environment["PENGX_XENSTORED_TIED"] = "1";
        _process = Process.Start(start)!;
        _process.OutputDataReceived += Keep;
        _process.ErrorDataReceived += Keep;
        _process.BeginOutputReadLine();
        _process.BeginErrorReadLine();

        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        limit.CancelAfter(StartLimit);
        using PeriodicTimer poll = new(TimeSpan.FromMilliseconds(10));
        while (true)
        {
            try
            {
                await using var client = await XenstoreClient.ConnectAsync(EndPoint, cancellationToken: limit.Token);
                return;
            }
            catch (XenstoreConnectException exception) when (exception.IsTransient && !_process.HasExited)
            {
                // Its socket is there a few milliseconds after it started; there is nothing else to wait for.
                await poll.WaitForNextTickAsync(limit.Token);
            }
            catch (XenstoreConnectException exception)
            {
                throw new InvalidOperationException($"xenstored did not start: {Said}", exception);
            }
        }
    }

    /// <summary>Ends the daemon as a crash would; <see cref="StartAsync"/> makes another at the same place, with an empty store.</summary>
    public async Task KillAsync()
    {
        if (_process is null)
        {
            return;
        }

        var id = _process.Id;
        _process.Kill();
        await _process.WaitForExitAsync(CancellationToken.None);
        _process.Dispose();
        _process = null;
        Assert.False(Directory.Exists($"/proc/{id}"), $"xenstored {id} outlived its end");
    }

    /// <summary>Runs one of Debian's xenstore tools at this daemon and returns what it prints.</summary>
    public async Task<string> RunToolAsync(string tool, params string[] arguments)
    {
        ProcessStartInfo start = new(XenTools.XenstoreTool(tool)) { RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (var argument in arguments)
        {
            start.ArgumentList.Add(argument);
        }

        start.Environment["XENSTORED_PATH"] = SocketPath;
        start.Environment["LD_LIBRARY_PATH"] = XenTools.Libraries;
        using var process = Process.Start(start)!;
        var output = process.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        var error = process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        await process.WaitForExitAsync(TestContext.Current.CancellationToken).WaitAsync(StartLimit);
        Assert.True(process.ExitCode == 0, $"{tool} {string.Join(' ', arguments)}: exit {process.ExitCode}: {await error}");
        return await output;
    }

    public async ValueTask DisposeAsync()
    {
        await KillAsync();
        _folder.Dispose();
    }

    private string Said
    {
        get
        {
            lock (_said)
            {
                return _said.ToString();
            }
        }
    }

    private void Keep(object sender, DataReceivedEventArgs line)
    {
        lock (_said)
        {
            _said.AppendLine(line.Data);
        }
    }
}

/// <summary>One daemon for the tests of a class.</summary>
public sealed class XenstoredFixture : IAsyncLifetime
{
    private bool _isStarted;

    internal XenstoredProcess Daemon { get; } = new();

    public ValueTask InitializeAsync() => ValueTask.CompletedTask;

    /// <summary>In the test and not in the fixture, so that missing tools skip it.</summary>
    internal async Task EnsureStartedAsync()
    {
        if (!_isStarted)
        {
            XenTools.Require();
            await Daemon.StartAsync(TestContext.Current.CancellationToken);
            _isStarted = true;
        }
    }

    public ValueTask DisposeAsync() => Daemon.DisposeAsync();
}

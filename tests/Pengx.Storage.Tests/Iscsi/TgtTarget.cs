using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Pengx.Testing;

namespace Pengx.Storage.Tests;

/// <summary>A real iSCSI target in user space, on loopback, with one unit.</summary>
internal sealed class TgtTarget : IAsyncDisposable
{
    private readonly ProcessRunner _runner = new();
    private readonly Process _daemon;
    private readonly string _control;

    private TgtTarget(Process daemon, string control, int port)
    {
        _daemon = daemon;
        _control = control;
        Port = port;
    }

    public int Port { get; }

    public string Name { get; } = $"iqn.2026-11.org.example:t{Guid.NewGuid():N}";

    public static async Task<TgtTarget> StartAsync(string directory, int? port = null)
    {
        Requires.Tool("tgtd", "iscsi");
        Requires.Tool("tgtadm", "iscsi");
        Requires.Tool("iscsi-ls", "iscsi");
        Requires.That(Environment.IsPrivilegedProcess, "iscsi", "tgtd keeps its control socket beneath /var/run");
        var chosen = port ?? FreePort();
        var control = Random.Shared.Next(100, 30000).ToString(CultureInfo.InvariantCulture);
        ProcessStartInfo start = new("tgtd") { RedirectStandardError = true, RedirectStandardOutput = true };
        foreach (var argument in (string[])["-f", "-C", control, "--iscsi", $"portal=127.0.0.1:{chosen}"])
        {
            start.ArgumentList.Add(argument);
        }

        var daemon = Process.Start(start)!;
        daemon.OutputDataReceived += (_, _) => { };
        daemon.ErrorDataReceived += (_, _) => { };
        daemon.BeginOutputReadLine();
        daemon.BeginErrorReadLine();
        TgtTarget target = new(daemon, control, chosen);
        try
        {
            var image = Path.Combine(directory, $"{target.Name.Split(':')[1]}.img");
            await using (var file = File.Create(image))
            {
                file.SetLength(64 << 20);
            }

            await target.EventuallyAsync("--op", "show", "--mode", "sys");
            await target.AdminAsync("--op", "new", "--mode", "target", "--tid", "1", "-T", target.Name);
            await target.AdminAsync("--op", "new", "--mode", "logicalunit", "--tid", "1", "--lun", "1", "-b", image);
            await target.AdminAsync("--op", "bind", "--mode", "target", "--tid", "1", "-I", "ALL");
            return target;
        }
        catch
        {
            await target.DisposeAsync();
            throw;
        }
    }

    public async Task KillAsync()
    {
        if (!_daemon.HasExited)
        {
            _daemon.Kill();
            await _daemon.WaitForExitAsync(CancellationToken.None);
        }
    }

    public async ValueTask DisposeAsync()
    {
        await KillAsync();
        _daemon.Dispose();
        File.Delete($"/var/run/tgtd/socket.{_control}");
        File.Delete($"/var/run/tgtd/socket.{_control}.lock");
    }

    private static int FreePort()
    {
        using TcpListener listener = new(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    private async Task EventuallyAsync(params string[] arguments)
    {
        using PeriodicTimer timer = new(TimeSpan.FromMilliseconds(50));
        for (var attempt = 0; attempt < 200; attempt++)
        {
            if ((await RunAsync(arguments)).ExitCode == 0)
            {
                return;
            }

            await timer.WaitForNextTickAsync(TestContext.Current.CancellationToken);
        }

        Assert.Fail("tgtd did not start within ten seconds.");
    }

    private async Task AdminAsync(params string[] arguments) => (await RunAsync(arguments)).EnsureSuccess();

    private Task<ProcessResult> RunAsync(string[] arguments) =>
        _runner.RunAsync(new() { FileName = "tgtadm", Arguments = ["-C", _control, "--lld", "iscsi", .. arguments], Timeout = TimeSpan.FromSeconds(20) }, TestContext.Current.CancellationToken);
}

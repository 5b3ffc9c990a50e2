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
    private readonly string _directory;

    private TgtTarget(Process daemon, string control, int port, string name, string directory)
    {
        _daemon = daemon;
        _control = control;
        _directory = directory;
        Port = port;
        Name = name;
    }

    public int Port { get; }

    public string Name { get; }

    /// <summary>Starts one; with the port and the name of an earlier one in the same directory it is that one again.</summary>
    public static async Task<TgtTarget> StartAsync(string directory, int? port = null, string? name = null)
    {
        Requires.Tool("tgtd", "iscsi");
        Requires.Tool("tgtadm", "iscsi");
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
        TgtTarget target = new(daemon, control, chosen, name ?? $"iqn.2026-11.org.example:t{Guid.NewGuid():N}", directory);
        try
        {
            await using (FileStream file = new(target.ImageOf(1), FileMode.OpenOrCreate))
            {
                file.SetLength(Math.Max(file.Length, 64 << 20));
            }

            await target.EventuallyAsync("--op", "show", "--mode", "sys");
            await target.AdminAsync("--op", "new", "--mode", "target", "--tid", "1", "-T", target.Name);
            await target.AdminAsync("--op", "new", "--mode", "logicalunit", "--tid", "1", "--lun", "1", "-b", target.ImageOf(1));
            await target.AdminAsync("--op", "bind", "--mode", "target", "--tid", "1", "-I", "ALL");
            return target;
        }
        catch
        {
            await target.DisposeAsync();
            throw;
        }
    }

    /// <summary>The file beneath a unit.</summary>
    public string ImageOf(int lun) => Path.Combine(_directory, string.Create(CultureInfo.InvariantCulture, $"{Name.Split(':')[1]}-{lun}.img"));

    /// <summary>Lets nobody in without this name and secret.</summary>
    public async Task DemandChapAsync(string user, string secret)
    {
        await AdminAsync("--op", "new", "--mode", "account", "--user", user, "--password", secret);
        await AdminAsync("--op", "bind", "--mode", "account", "--tid", "1", "--user", user);
    }

    /// <summary>Gives a unit this size: a new one, or the one that is there, with what is in it.</summary>
    public async Task SetUnitAsync(int lun, long bytes)
    {
        var number = lun.ToString(CultureInfo.InvariantCulture);
        await RunAsync(["--op", "delete", "--mode", "logicalunit", "--tid", "1", "--lun", number]);
        await using (FileStream file = new(ImageOf(lun), FileMode.OpenOrCreate))
        {
            file.SetLength(bytes);
        }

        await AdminAsync("--op", "new", "--mode", "logicalunit", "--tid", "1", "--lun", number, "-b", ImageOf(lun));
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
        _runner.RunAsync(new() { FileName = "tgtadm", Arguments = ["-C", _control, "--lld", "iscsi", .. arguments], Timeout = TimeSpan.FromMinutes(2) }, TestContext.Current.CancellationToken);
}

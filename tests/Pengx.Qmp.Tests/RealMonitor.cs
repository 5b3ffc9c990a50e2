using System.Diagnostics;
using System.Globalization;

namespace Pengx.Qmp.Tests;

/// <summary>A QEMU of the test's own, gone with the test.</summary>
internal sealed class RealMonitor : IAsyncDisposable
{
    private Process? _qemu;

    public string Directory { get; } = System.IO.Directory.CreateTempSubdirectory("pengx-qmp-").FullName;

    public string SocketPath => Path.Combine(Directory, "qmp");

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public async Task<QmpClient> StartAsync(string machine, params string[] arguments)
    {
        ProcessStartInfo start = new("qemu-system-x86_64");
        string[] display = arguments.Contains("-vnc") ? [] : ["-display", "none"];
        foreach (string argument in (string[])["-machine", machine, "-accel", "tcg", "-nodefaults", .. display, "-qmp", $"unix:{SocketPath},server=on,wait=off", .. arguments])
        {
            start.ArgumentList.Add(argument);
        }

        _qemu = Process.Start(start)!;
        while (true)
        {
            try
            {
                return await QmpClient.ConnectAsync(SocketPath, cancellationToken: Stop);
            }
            catch (QmpConnectException) when (!_qemu.HasExited)
            {
                // QEMU makes its socket a few milliseconds after it started; there is nothing else to wait for.
                await Task.Yield();
            }
        }
    }

    public void Signal(string signal)
    {
        using Process kill = Process.Start("kill", [$"-{signal}", _qemu!.Id.ToString(CultureInfo.InvariantCulture)]);
        kill.WaitForExit();
    }

    public async ValueTask DisposeAsync()
    {
        if (_qemu is not null)
        {
            _qemu.Kill();
            await _qemu.WaitForExitAsync(CancellationToken.None);
            _qemu.Dispose();
        }

        System.IO.Directory.Delete(Directory, recursive: true);
    }
}

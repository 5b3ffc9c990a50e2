using System.Diagnostics;
using System.Globalization;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Pengx.Qmp;
using Pengx.Testing;

namespace Pengx.Xen.Tests;

/// <summary>
/// A real guest in place of a Xen one: a plain QEMU whose disks have the nodes that Xen's disk device would have made. What QEMU cannot
/// know without Xen, which of a guest's devices a disk is, is answered in between by what stands before its monitor.
/// </summary>
internal sealed class FakeMachine : IDisposable
{
    private readonly Process _process;
    private readonly MonitorRelay _relay;
    private readonly string _control;

    private FakeMachine(Process process, MonitorRelay relay, string control)
    {
        _process = process;
        _relay = relay;
        _control = control;
    }

    public int Pid => _process.Id;

    /// <summary>Starts one.</summary>
    /// <param name="configuration">What xl was given.</param>
    /// <param name="monitor">Where its monitor has to be.</param>
    /// <param name="serial">What the guest says is appended here.</param>
    /// <param name="emulatesDrives">Whether the first disk is behind an emulated drive, too.</param>
    public static async Task<FakeMachine> StartAsync(XlDomainConfig configuration, string monitor, string serial, bool emulatesDrives)
    {
        var (behind, control) = (monitor + ".qemu", monitor + ".control");
        ProcessStartInfo start = new(Requires.Find("qemu-system-x86_64")!) { RedirectStandardInput = true };
        List<string> arguments =
        [
            "-nodefaults", "-no-user-config", "-display", "none", "-machine", "pc", "-accel", "tcg", "-cpu", "max", "-m", "160",

            // The driver knows a guest's QEMU by our socket among its arguments.
            "-name", $"unix:{monitor},debug-threads=off",
            "-qmp", $"unix:{behind},server=on,wait=off",
            "-qmp", $"unix:{control},server=on,wait=off",
            "-chardev", $"file,id=serial,path={serial},append=on", "-serial", "chardev:serial",
        ];
        foreach (var disk in configuration.Disks.Where(disk => !disk.IsCdrom))
        {
            var node = $"{disk.Vdev}-{disk.Format}";
            arguments.AddRange(["-blockdev", Node(disk, node), "-device", $"virtio-blk-pci,id=xen-{disk.Vdev},drive={node}"]);
            if (emulatesDrives && disk.Vdev == "xvda")
            {
                arguments.AddRange(["-blockdev", Node(disk, "drive0"), "-device", "ide-hd,drive=drive0"]);
            }
        }

        foreach (var argument in arguments)
        {
            start.ArgumentList.Add(argument);
        }

        File.Delete(monitor);
        var process = Process.Start(start)!;
        while (!process.HasExited)
        {
            try
            {
                // Both are there when the second answers.
                await using var client = await QmpClient.ConnectAsync(control);
                return new(process, new(monitor, behind), control);
            }
            catch (QmpConnectException)
            {
                await Task.Yield();
            }
        }

        throw new InvalidOperationException($"QEMU ended with {process.ExitCode}.");
    }

    /// <summary>Stops the guest's processors, or lets them go.</summary>
    public async Task SwitchAsync(bool isPaused)
    {
        await using var client = await QmpClient.ConnectAsync(_control);
        await client.ExecuteAsync(isPaused ? QmpCommands.Stop : QmpCommands.Cont);
    }

    public void Dispose()
    {
        if (!_process.HasExited)
        {
            _process.Kill();
        }

        _process.WaitForExit();
        _process.Dispose();
        _relay.Dispose();
    }

    private static string Node(XlDisk disk, string name) => new JsonObject
    {
        ["driver"] = disk.Format,
        ["node-name"] = name,
        ["discard"] = "unmap",
        ["file"] = new JsonObject { ["driver"] = "file", ["filename"] = disk.Target, ["locking"] = "off" },
    }.ToJsonString();

    /// <summary>Stands before a monitor, for one client at a time, as that does.</summary>
    private sealed class MonitorRelay : IDisposable
    {
        private readonly Socket _listener = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        private readonly CancellationTokenSource _stop = new();
        private readonly string _path;
        private readonly Task _serving;

        public MonitorRelay(string path, string behind)
        {
            _path = path;
            _listener.Bind(new UnixDomainSocketEndPoint(path));
            _listener.Listen();
            _serving = Task.Run(() => ServeAsync(behind));
        }

        public void Dispose()
        {
            _stop.Cancel();
            _listener.Dispose();
            _serving.GetAwaiter().GetResult();
            _stop.Dispose();
            File.Delete(_path);
        }

        private async Task ServeAsync(string behind)
        {
            while (!_stop.IsCancellationRequested)
            {
                try
                {
                    using var peer = await _listener.AcceptAsync(_stop.Token);
                    using Socket qemu = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
                    await qemu.ConnectAsync(new UnixDomainSocketEndPoint(behind), _stop.Token);
                    await RelayAsync(peer, qemu);
                }
                catch (Exception exception) when (exception is OperationCanceledException or SocketException or IOException or ObjectDisposedException)
                {
                    // That client, or its QEMU, is gone.
                }
            }
        }

        private async Task RelayAsync(Socket peer, Socket qemu)
        {
            using SemaphoreSlim answering = new(1, 1);
            await using NetworkStream client = new(peer);
            await using NetworkStream server = new(qemu);
            var down = Task.Run(async () =>
            {
                using StreamReader answers = new(server, Encoding.UTF8, false, 1024, leaveOpen: true);
                while (await answers.ReadLineAsync(_stop.Token) is { } line)
                {
                    await AnswerAsync(line);
                }
            });
            var up = Task.Run(async () =>
            {
                using StreamReader requests = new(client, Encoding.UTF8, false, 1024, leaveOpen: true);
                while (await requests.ReadLineAsync(_stop.Token) is { } line)
                {
                    if (FindVdev(line) is { } answer)
                    {
                        await AnswerAsync(answer);
                    }
                    else
                    {
                        await server.WriteAsync(Encoding.UTF8.GetBytes(line + "\n"), _stop.Token);
                    }
                }
            });
            await Task.WhenAny(down, up);
            peer.Close();
            qemu.Close();
            await Task.WhenAll(down, up).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);

            async Task AnswerAsync(string line)
            {
                await answering.WaitAsync(_stop.Token);
                try
                {
                    await client.WriteAsync(Encoding.UTF8.GetBytes(line + "\n"), _stop.Token);
                }
                finally
                {
                    answering.Release();
                }
            }
        }

        private static string? FindVdev(string line)
        {
            if (!line.Contains("qom-get", StringComparison.Ordinal) || JsonNode.Parse(line) is not JsonObject request || (string?)request["arguments"]?["property"] != "vdev")
            {
                return null;
            }

            const string Prefix = "/machine/peripheral/xen-";
            var path = (string)request["arguments"]!["path"]!;
            return path.StartsWith(Prefix, StringComparison.Ordinal)
                ? new JsonObject { ["return"] = path[Prefix.Length..].Split('/')[0] + "0", ["id"] = request["id"]?.DeepClone() }.ToJsonString()
                : new JsonObject
                {
                    ["error"] = new JsonObject { ["class"] = "GenericError", ["desc"] = "Property 'ide-hd.vdev' not found" },
                    ["id"] = request["id"]?.DeepClone(),
                }.ToJsonString();
        }
    }
}

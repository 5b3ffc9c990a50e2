using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Pengx.Testing;

namespace Pengx.Qemu.Tests;

/// <summary>An sshd of a test's own, on the loopback interface, with keys of its own: by it this machine plays another host.</summary>
internal sealed class SshServer : IAsyncDisposable
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(30);

    private static readonly string[] s_places = ["/usr/sbin/sshd", "/usr/local/sbin/sshd", "/usr/bin/sshd"];

    private readonly string _directory = Directory.CreateTempSubdirectory("pengx-sshd-").FullName;
    private readonly int _port = FreePort();
    private Process? _process;

    private SshServer()
    {
    }

    /// <summary>What ssh must be told to come here, whatever host it is asked for.</summary>
    public IReadOnlyList<string> ClientOptions =>
    [
        "-F", "none", "-p", _port.ToString(CultureInfo.InvariantCulture), "-i", Of("key"), "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none",
        "-o", "HostName=127.0.0.1", "-o", "HostKeyAlias=pengx-test", "-o", $"UserKnownHostsFile={Of("known")}", "-o", "StrictHostKeyChecking=yes",
    ];

    public static async Task<SshServer> StartAsync()
    {
        foreach (var tool in (string[])["ssh", "sshd", "ssh-keygen"])
        {
            Requires.Tool(tool, "openssh");
        }

        SshServer server = new();
        try
        {
            await server.RunAsync();
            return server;
        }
        catch
        {
            await server.DisposeAsync();
            throw;
        }
    }

    public async ValueTask DisposeAsync()
    {
        if (_process is { } process)
        {
            process.Kill(entireProcessTree: true);
            await process.WaitForExitAsync();
            process.Dispose();
        }

        Directory.Delete(_directory, recursive: true);
    }

    private static int FreePort()
    {
        using TcpListener listener = new(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    private string Of(string name) => Path.Combine(_directory, name);

    private async Task RunAsync()
    {
        ProcessRunner runner = new();
        foreach (var key in (string[])["host", "key"])
        {
            (await runner.RunAsync(new() { FileName = "ssh-keygen", Arguments = ["-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", Of(key)] })).EnsureSuccess();
        }

        File.Copy(Of("key.pub"), Of("authorized"));
        await File.WriteAllTextAsync(Of("known"), $"pengx-test {await File.ReadAllTextAsync(Of("host.pub"))}");
        await File.WriteAllTextAsync(Of("config"), string.Create(CultureInfo.InvariantCulture, $"""
            Port {_port}
            ListenAddress 127.0.0.1
            HostKey {Of("host")}
            AuthorizedKeysFile {Of("authorized")}
            PidFile none
            StrictModes no
            UsePAM no
            PermitRootLogin prohibit-password
            PasswordAuthentication no
            KbdInteractiveAuthentication no
            MaxStartups 100

            """));
        if (Environment.IsPrivilegedProcess)
        {
            // Where sshd as root has no rights; the service's unit makes it as a rule.
            Directory.CreateDirectory("/run/sshd");
        }

        // It starts itself anew for every connection, and so wants its own whole path.
        var sshd = s_places.First(File.Exists);
        _process = Process.Start(new ProcessStartInfo(sshd, ["-D", "-e", "-f", Of("config")]) { RedirectStandardError = true })!;
        _process.ErrorDataReceived += static (_, _) => { };
        _process.BeginErrorReadLine();
        using CancellationTokenSource patience = new(s_patience);
        using PeriodicTimer timer = new(TimeSpan.FromMilliseconds(50));
        while (!await IsUpAsync(patience.Token))
        {
            if (_process.HasExited)
            {
                throw new InvalidOperationException($"sshd ended with {_process.ExitCode}.");
            }

            await timer.WaitForNextTickAsync(patience.Token);
        }
    }

    private async Task<bool> IsUpAsync(CancellationToken cancellationToken)
    {
        using TcpClient client = new();
        try
        {
            await client.ConnectAsync(IPAddress.Loopback, _port, cancellationToken);
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }
}

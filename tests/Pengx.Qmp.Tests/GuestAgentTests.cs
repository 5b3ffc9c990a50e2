using System.Diagnostics;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Pengx.Testing;

namespace Pengx.Qmp.Tests;

/// <summary>The guest agent: a real one on this machine for what it says, a played one for what it does wrong.</summary>
public sealed class GuestAgentTests : IDisposable
{
    private static readonly TimeSpan s_limit = TimeSpan.FromSeconds(30);
    private readonly string _directory = Directory.CreateTempSubdirectory("pengx-qga-").FullName;

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    private string SocketPath => Path.Combine(_directory, "qga");

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Fact]
    public async Task The_real_agent_answers()
    {
        Requires.Tool("qemu-ga", "qemu-ga");
        // What would act on this machine instead of a guest is forbidden to it.
        ProcessStartInfo start = new(Requires.Find("qemu-ga")!)
        {
            ArgumentList =
            {
                "-m", "unix-listen", "-p", SocketPath, "-t", _directory, "-f", Path.Combine(_directory, "pid"),
                "-b", "guest-shutdown,guest-exec,guest-fsfreeze-freeze,guest-suspend-disk,guest-suspend-ram,guest-suspend-hybrid,guest-set-time,guest-set-user-password,guest-set-vcpus,guest-file-open",
            },
        };
        using Process agent = Process.Start(start)!;
        try
        {
            await using QemuGuestAgentClient client = await ConnectAsync(agent);

            await client.ExecuteAsync(QgaCommands.Ping, Stop);
            QgaInfo info = await client.ExecuteAsync(QgaCommands.Info, Stop);
            Assert.Matches(@"^\d+\.\d+", info.Version);
            Assert.False(info.SupportedCommands.Single(command => command.Name == "guest-shutdown").SuccessResponse);
            Assert.Equal(Environment.MachineName, (await client.ExecuteAsync(QgaCommands.HostName, Stop)).HostName);
            Assert.NotNull((await client.ExecuteAsync(QgaCommands.OsInfo, Stop)).KernelRelease);
            Assert.Contains(await client.ExecuteAsync(QgaCommands.NetworkInterfaces, Stop), nic => nic.IpAddresses.Any(address => address.IpAddress == "127.0.0.1"));
            Assert.True(await client.ExecuteAsync(QgaCommands.Time, Stop) > 0);
            Assert.Equal("thawed", await client.ExecuteAsync(QgaCommands.FreezeStatus, Stop));

            QmpCommandException unknown = await Assert.ThrowsAsync<QmpCommandException>(() => client.ExecuteRawAsync("guest-no-such", cancellationToken: Stop));
            Assert.Equal(QmpErrorClass.CommandNotFound, unknown.Class);
            await Assert.ThrowsAsync<QmpCommandException>(() => client.ShutdownAsync(cancellationToken: Stop));

            // Many at once keep their order and their answers apart.
            Task<JsonElement>[] all = [.. Enumerable.Range(0, 200).Select(i => client.ExecuteRawAsync("guest-sync", QmpArguments.Create(new JsonObject { ["id"] = i }), Stop))];
            Assert.Equal(Enumerable.Range(0, 200), (await Task.WhenAll(all)).Select(answer => answer.GetInt32()));
        }
        finally
        {
            agent.Kill();
            await agent.WaitForExitAsync(CancellationToken.None);
        }
    }

    [Fact]
    public async Task Old_replies_and_half_lines_are_thrown_away_before_the_first_command()
    {
        using PlayedAgent agent = await PlayedAgent.StartAsync(SocketPath, greeting: "{\"return\": 17}\n{\"return\": {\"half");
        await using QemuGuestAgentClient client = await agent.ConnectAsync(SocketPath);

        Task ping = client.ExecuteAsync(QgaCommands.Ping, Stop);
        Assert.Equal("guest-ping", (await agent.ReceiveAsync()).Command);
        await agent.SendAsync("{\"return\": {}}\n");
        await ping.WaitAsync(s_limit, Stop);
    }

    [Fact]
    public async Task A_late_reply_is_never_taken_for_the_next_commands()
    {
        using PlayedAgent agent = await PlayedAgent.StartAsync(SocketPath);
        await using QemuGuestAgentClient client = await agent.ConnectAsync(SocketPath);
        using CancellationTokenSource giveUp = CancellationTokenSource.CreateLinkedTokenSource(Stop);

        Task<JsonElement> late = client.ExecuteRawAsync("guest-slow", cancellationToken: giveUp.Token);
        Assert.Equal("guest-slow", (await agent.ReceiveAsync()).Command);
        await giveUp.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => late);
        Task<JsonElement> next = client.ExecuteRawAsync("guest-next", cancellationToken: Stop);
        await agent.SendAsync("{\"return\": \"late\"}\n");
        await agent.AnswerSyncAsync();
        Assert.Equal("guest-next", (await agent.ReceiveAsync()).Command);
        await agent.SendAsync("{\"return\": \"next\"}\n");

        Assert.Equal("next", (await next.WaitAsync(s_limit, Stop)).GetString());
    }

    [Fact]
    public async Task An_agent_that_is_not_there_is_a_timeout_and_one_that_goes_a_disconnect()
    {
        using (PlayedAgent silent = await PlayedAgent.StartAsync(SocketPath))
        {
            Task<QemuGuestAgentClient> connecting = QemuGuestAgentClient.ConnectAsync(SocketPath, new QemuGuestAgentOptions { SyncTimeout = TimeSpan.FromMilliseconds(300) }, Stop);
            QmpTimeoutException timeout = await Assert.ThrowsAsync<QmpTimeoutException>(() => connecting.WaitAsync(s_limit, Stop));
            Assert.Equal("guest-sync-delimited", timeout.Command);
        }

        File.Delete(SocketPath);
        using PlayedAgent agent = await PlayedAgent.StartAsync(SocketPath);
        await using QemuGuestAgentClient client = await agent.ConnectAsync(SocketPath);
        Task ping = client.ExecuteAsync(QgaCommands.Ping, Stop);
        await agent.ReceiveAsync();
        agent.Dispose();
        await Assert.ThrowsAsync<QmpDisconnectedException>(() => ping.WaitAsync(s_limit, Stop));
        await Assert.ThrowsAsync<QmpDisconnectedException>(() => client.ExecuteAsync(QgaCommands.Ping, Stop).WaitAsync(s_limit, Stop));
    }

    [Fact]
    public async Task A_shutdown_that_is_not_refused_has_succeeded()
    {
        using PlayedAgent agent = await PlayedAgent.StartAsync(SocketPath);
        await using QemuGuestAgentClient client = await agent.ConnectAsync(SocketPath, new QemuGuestAgentOptions { RefusalTimeout = TimeSpan.FromMilliseconds(200) });

        Task shutdown = client.ShutdownAsync(cancellationToken: Stop);
        (string command, JsonElement arguments) = await agent.ReceiveAsync();
        Assert.Equal(("guest-shutdown", "powerdown"), (command, arguments.GetProperty("mode").GetString()));
        await shutdown.WaitAsync(s_limit, Stop);
    }

    private async Task<QemuGuestAgentClient> ConnectAsync(Process agent)
    {
        while (true)
        {
            try
            {
                return await QemuGuestAgentClient.ConnectAsync(SocketPath, cancellationToken: Stop);
            }
            catch (QmpConnectException) when (!agent.HasExited)
            {
                await Task.Yield();
            }
        }
    }

    /// <summary>An agent played by the test.</summary>
    private sealed class PlayedAgent : IDisposable
    {
        private readonly Socket _listener = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        private readonly string _greeting;
        private Socket? _connection;
        private string _received = string.Empty;

        private PlayedAgent(string greeting) => _greeting = greeting;

        public static Task<PlayedAgent> StartAsync(string path, string greeting = "")
        {
            PlayedAgent agent = new(greeting);
            agent._listener.Bind(new UnixDomainSocketEndPoint(path));
            agent._listener.Listen(1);
            return Task.FromResult(agent);
        }

        public async Task<QemuGuestAgentClient> ConnectAsync(string path, QemuGuestAgentOptions? options = null)
        {
            Task<QemuGuestAgentClient> connecting = QemuGuestAgentClient.ConnectAsync(path, options, Stop);
            _connection = await _listener.AcceptAsync(Stop);
            await SendAsync(_greeting);
            await AnswerSyncAsync();
            return await connecting.WaitAsync(s_limit, Stop);
        }

        public async Task AnswerSyncAsync()
        {
            (string command, JsonElement arguments) = await ReceiveAsync();
            Assert.Equal("guest-sync-delimited", command);
            await _connection!.SendAsync((byte[])[0xFF, .. Encoding.UTF8.GetBytes($"{{\"return\": {arguments.GetProperty("id").GetInt64()}}}\n")], Stop);
        }

        public async Task<(string Command, JsonElement Arguments)> ReceiveAsync()
        {
            byte[] buffer = new byte[4096];
            while (!_received.Contains('\n', StringComparison.Ordinal))
            {
                int count = await _connection!.ReceiveAsync(buffer, Stop);
                Assert.NotEqual(0, count);
                _received += Encoding.Latin1.GetString(buffer, 0, count);
            }

            int end = _received.IndexOf('\n', StringComparison.Ordinal);
            JsonElement line = JsonElement.Parse(_received[..end].TrimStart('\u00ff'));
            _received = _received[(end + 1)..];
            return (line.GetProperty("execute").GetString()!, line.TryGetProperty("arguments", out JsonElement arguments) ? arguments : default);
        }

        public async Task SendAsync(string text) => await _connection!.SendAsync(Encoding.UTF8.GetBytes(text), Stop);

        public void Dispose()
        {
            _connection?.Dispose();
            _listener.Dispose();
        }
    }
}

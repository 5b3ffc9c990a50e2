using System.Net.Sockets;
using System.Text;
using System.Text.Json;

namespace Pengx.Qemu.Tests;

/// <summary>A guest agent at the end of its channel, which does as it is told and remembers what it was asked.</summary>
internal sealed class ScriptedAgent : IAsyncDisposable
{
    private readonly Socket _listener = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
    private readonly CancellationTokenSource _stop = new();
    private readonly List<string> _commands = [];
    private readonly Task _serving;

    public ScriptedAgent(string path)
    {
        _listener.Bind(new UnixDomainSocketEndPoint(path));
        _listener.Listen();
        _serving = ServeAsync();
    }

    /// <summary>Whether there is no file system to freeze.</summary>
    public bool FreezesNothing { get; set; }

    /// <summary>Whether a freeze is never answered.</summary>
    public bool SwallowsFreeze { get; set; }

    /// <summary>What it was asked since the last time, beside being brought in step; one command told twice counts once.</summary>
    public IReadOnlyList<string> TakeCommands()
    {
        lock (_commands)
        {
            string[] taken = [.. _commands.Distinct()];
            _commands.Clear();
            return taken;
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        _listener.Dispose();
        await _serving;
        _stop.Dispose();
    }

    private async Task ServeAsync()
    {
        try
        {
            while (true)
            {
                using var peer = await _listener.AcceptAsync(_stop.Token);
                await using var stream = new NetworkStream(peer);
                using var reader = new StreamReader(stream, Encoding.Latin1);
                while (await reader.ReadLineAsync(_stop.Token) is { } line)
                {
                    var start = line.IndexOf('{', StringComparison.Ordinal);
                    if (start >= 0 && Answer(line[start..]) is { } answer)
                    {
                        await stream.WriteAsync(answer, _stop.Token);
                    }
                }
            }
        }
        catch (Exception exception) when (exception is OperationCanceledException or SocketException or IOException or ObjectDisposedException)
        {
            // Its test is over.
        }
    }

    private byte[]? Answer(string line)
    {
        using var request = JsonDocument.Parse(line);
        var command = request.RootElement.GetProperty("execute").GetString()!;
        if (command == "guest-sync-delimited")
        {
            return [0xFF, .. Encoding.UTF8.GetBytes($"{{\"return\": {request.RootElement.GetProperty("arguments").GetProperty("id").GetRawText()}}}\n")];
        }

        lock (_commands)
        {
            _commands.Add(command);
        }

        return command == "guest-fsfreeze-freeze" && SwallowsFreeze
            ? null
            : Encoding.UTF8.GetBytes($"{{\"return\": {(FreezesNothing ? 0 : 2)}}}\n");
    }
}

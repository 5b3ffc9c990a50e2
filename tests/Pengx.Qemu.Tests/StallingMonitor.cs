using System.Net.Sockets;

namespace Pengx.Qemu.Tests;

/// <summary>Stands between a guest's QEMU and whoever connects to its monitor from now on. From a certain command on it can hold back
/// what is said, as a QEMU does that hangs: nothing is lost, all of it comes late.</summary>
internal sealed class StallingMonitor : IAsyncDisposable
{
    private readonly CancellationTokenSource _ends = new();
    private readonly Socket _listener = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
    private readonly string _path;
    private readonly Task _accepting;
    private readonly TaskCompletionSource _goesOn = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private volatile byte[]? _command;
    private bool _carriesOut;
    private volatile bool _holdsCommands;
    private volatile bool _holdsAnswers;

    /// <summary>Takes the place of a monitor that nobody is connected to.</summary>
    /// <param name="socket">Its socket.</param>
    public StallingMonitor(string socket)
    {
        _path = socket + "-real";
        File.Move(socket, _path);
        _listener.Bind(new UnixDomainSocketEndPoint(socket));
        _listener.Listen();
        _accepting = AcceptAsync();
    }

    /// <summary>Whether the command has come by.</summary>
    public bool IsStalled => _holdsCommands || _holdsAnswers;

    /// <summary>Stalls at a command, once.</summary>
    /// <param name="command">Its name.</param>
    /// <param name="isCarriedOut">Whether QEMU does what it is told and does not answer; otherwise it does not even read.</param>
    public void StallAt(string command, bool isCarriedOut)
    {
        _carriesOut = isCarriedOut;
        _command = System.Text.Encoding.UTF8.GetBytes($"\"{command}\"");
    }

    /// <summary>Lets everything that was held back through.</summary>
    public void GoOn()
    {
        _command = null;
        (_holdsCommands, _holdsAnswers) = (false, false);
        _goesOn.TrySetResult();
    }

    public async ValueTask DisposeAsync()
    {
        GoOn();
        await _ends.CancelAsync();
        _listener.Dispose();
        await _accepting.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _ends.Dispose();
    }

    private async Task AcceptAsync()
    {
        List<Task> served = [];
        try
        {
            while (true)
            {
                served.Add(ServeAsync(await _listener.AcceptAsync(_ends.Token)));
            }
        }
        finally
        {
            await Task.WhenAll(served).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private async Task ServeAsync(Socket client)
    {
        using Socket qemu = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        using (client)
        {
            await qemu.ConnectAsync(new UnixDomainSocketEndPoint(_path), _ends.Token);
            var (commands, answers) = (PassAsync(client, qemu, areCommands: true), PassAsync(qemu, client, areCommands: false));
            await Task.WhenAny(commands, answers);
            qemu.Close();
            client.Close();
            await Task.WhenAll(commands, answers).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private async Task PassAsync(Socket from, Socket to, bool areCommands)
    {
        var buffer = new byte[64 * 1024];
        while (await from.ReceiveAsync(buffer, _ends.Token) is > 0 and var count)
        {
            // A command comes in one piece.
            if (areCommands && _command is { } command && buffer.AsSpan(0, count).IndexOf(command) >= 0)
            {
                (_holdsCommands, _holdsAnswers) = (!_carriesOut, _carriesOut);
            }

            while (areCommands ? _holdsCommands : _holdsAnswers)
            {
                await _goesOn.Task.WaitAsync(_ends.Token);
            }

            await to.SendAsync(buffer.AsMemory(0, count), _ends.Token);
        }
    }
}

using System.Globalization;
using System.Net.Sockets;

namespace Pengx.Qemu;

/// <summary>The way to another host's driver: an ssh that brings a unix socket of that host here. No program is run there, no port
/// is opened, and who may come is a matter of ssh's keys.</summary>
internal sealed class PeerChannel : IAsyncDisposable
{
    private const int ConnectTries = 40;

    private static readonly TimeSpan s_endTimeout = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan s_poll = TimeSpan.FromMilliseconds(25);

    private readonly string _host;
    private readonly string _socket;
    private readonly Task<ProcessResult> _ssh;
    private readonly CancellationTokenSource _end;
    private readonly TimeProvider _time;

    private PeerChannel(string host, string socket, Task<ProcessResult> ssh, CancellationTokenSource end, TimeProvider time)
    {
        _time = time;
        _host = host;
        _socket = socket;
        _ssh = ssh;
        _end = end;
    }

    /// <summary>Opens the way.</summary>
    /// <param name="environment">What ssh to run.</param>
    /// <param name="host">The host's name or address.</param>
    /// <param name="domain">Whose move it is for.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <exception cref="InvalidFieldException">The host's name breaks its rule.</exception>
    /// <exception cref="HypervisorException">The host cannot be reached; the message has ssh's own words.</exception>
    public static async Task<PeerChannel> OpenAsync(QemuEnvironment environment, string host, DomainId domain, CancellationToken cancellationToken)
    {
        CheckHost(host);
        var socket = SocketOf(environment, domain);
        if (!ListeningSocket.Fits(socket) || socket.Contains(':', StringComparison.Ordinal))
        {
            throw new InvalidFieldException(nameof(QemuOptions.RunDirectory), environment.RunDirectory, "the sockets' paths in it must have at most 107 bytes and no colon; configure a shorter one.");
        }

        if (!ListeningSocket.Fits(environment.Options.PeerSocket) || environment.Options.PeerSocket.Contains(':', StringComparison.Ordinal))
        {
            throw new InvalidFieldException(nameof(QemuOptions.MigrationSocket), environment.Options.PeerSocket, "it must be a path of at most 107 bytes without a colon; configure one.");
        }

        await RemoveRemainsAsync(environment, domain).ConfigureAwait(false);
        CancellationTokenSource end = new();
        var ssh = environment.Processes.RunAsync(
            new()
            {
                FileName = environment.Options.Ssh,
                Arguments = ArgumentsOf(environment.Options, host, socket),
                Timeout = Timeout.InfiniteTimeSpan,
                MaxOutputBytes = 16 * 1024,
            },
            end.Token);
        PeerChannel channel = new(host, socket, ssh, end, environment.Time);
        try
        {
            await channel.WaitUntilOpenAsync(environment, cancellationToken).ConfigureAwait(false);
            return channel;
        }
        catch
        {
            await channel.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>Ends the ssh of a service that is gone, and removes its socket.</summary>
    /// <param name="environment">Where sockets lie.</param>
    /// <param name="domain">Whose move it was for.</param>
    public static async Task RemoveRemainsAsync(QemuEnvironment environment, DomainId domain)
    {
        var socket = SocketOf(environment, domain);
        await EndStrayAsync(socket, environment.Time).ConfigureAwait(false);
        File.Delete(socket);
        File.Delete(LogOf(socket));
    }

    /// <summary>Connects to the other host's driver.</summary>
    /// <param name="cancellationToken">Gives up.</param>
    /// <exception cref="HypervisorException">The way is closed.</exception>
    public async Task<MoveConnection> ConnectAsync(CancellationToken cancellationToken)
    {
        for (var attempt = 1; ; attempt++)
        {
            Socket socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            try
            {
                await socket.ConnectAsync(new UnixDomainSocketEndPoint(_socket), cancellationToken).ConfigureAwait(false);
                return new(socket);
            }
            catch (SocketException exception)
            {
                socket.Dispose();
                if (exception.SocketErrorCode != SocketError.ConnectionRefused || attempt == ConnectTries || _ssh.IsCompleted)
                {
                    throw new HypervisorException($"The way to host {_host} is closed: {await ReadErrorAsync().ConfigureAwait(false) ?? exception.Message}", exception);
                }
            }
            catch
            {
                socket.Dispose();
                throw;
            }

            // The socket's file is there, and ssh is about to listen on it.
            await Task.Delay(s_poll, _time, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>What there is to say of a connection that the other end closed: as a rule nobody listens there.</summary>
    public async Task<HypervisorException> ExplainAsync(Exception? cause)
    {
        var words = await ReadErrorAsync().ConfigureAwait(false) ?? cause?.Message;
        return new($"Host {_host} does not answer: is its service up, with the QEMU driver and the same place for its migration socket?{(words is null ? "" : $" {words}")}", cause);
    }

    public async ValueTask DisposeAsync()
    {
        await _end.CancelAsync().ConfigureAwait(false);
        await ((Task)_ssh).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _end.Dispose();
        File.Delete(_socket);
        File.Delete(LogOf(_socket));
    }

    /// <exception cref="InvalidFieldException">The host's name breaks its rule.</exception>
    public static void CheckHost(string host)
    {
        if (host is not { Length: > 0 and <= 253 } || !char.IsAsciiLetterOrDigit(host[0])
            || !host.All(character => char.IsAsciiLetterOrDigit(character) || character is '.' or '-' or '_' or ':'))
        {
            throw new InvalidFieldException("host", host, "a host must be a name or address of letters, digits and . - _ :, a letter or digit first.");
        }
    }

    private static List<string> ArgumentsOf(QemuOptions options, string host, string socket)
    {
        // The first value that ssh gets for an option holds: what is configured goes first, but for what must not be otherwise.
        List<string> arguments = ["-N", "-T", "-n", "-E", LogOf(socket), "-o", "BatchMode=yes", "-o", "ExitOnForwardFailure=yes", "-o", "ControlMaster=no", "-o", "ControlPath=none"];
        arguments.AddRange(options.SshOptions);
        arguments.AddRange([
            "-o", string.Create(CultureInfo.InvariantCulture, $"ConnectTimeout={(int)Math.Max(1, options.ConnectTimeout.TotalSeconds)}"),
            "-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=4", "-o", "ForwardAgent=no", "-o", "ForwardX11=no",
            "-o", "StreamLocalBindMask=0177", "-o", "StreamLocalBindUnlink=yes",
            "-L", $"{socket}:{options.PeerSocket}", "--", host,
        ]);
        return arguments;
    }

    // In the service's own directory: a domain's may be its QEMU's.
    private static string SocketOf(QemuEnvironment environment, DomainId domain) => Path.Combine(environment.RunDirectory, $"peer-{domain.Value:N}");

    // What ssh has to say, also of single connections while it goes on.
    private static string LogOf(string socket) => socket + ".log";

    private static async Task EndStrayAsync(string socket, TimeProvider time)
    {
        foreach (var pid in ProcessTable.FindByArgument(socket + ":"))
        {
            using var process = QemuProcess.Open(pid, time);

            // Looked at again through the descriptor that a signal cannot miss.
            if (process is not null && ProcessTable.FindByArgument(socket + ":").Contains(pid))
            {
                // It removes its socket when it ends, which must not be the next one's.
                process.Signal(NativeMethods.SigTerm);
                if (!await process.WaitForExitAsync(s_endTimeout, CancellationToken.None).ConfigureAwait(false))
                {
                    process.Signal(NativeMethods.SigKill);
                    await process.WaitForExitAsync(s_endTimeout, CancellationToken.None).ConfigureAwait(false);
                }
            }
        }
    }

    private async Task WaitUntilOpenAsync(QemuEnvironment environment, CancellationToken cancellationToken)
    {
        var start = environment.Time.GetTimestamp();
        while (!File.Exists(_socket))
        {
            if (_ssh.IsCompleted)
            {
                throw new HypervisorException($"Host {_host} cannot be reached by ssh: {await ReadErrorAsync().ConfigureAwait(false) ?? "ssh ended without a word"}");
            }

            if (environment.Time.GetElapsedTime(start) > environment.Options.ConnectTimeout + environment.Options.ConnectTimeout)
            {
                await _end.CancelAsync().ConfigureAwait(false);
                throw new HypervisorException($"Host {_host} cannot be reached by ssh: nothing came of it within {environment.Options.ConnectTimeout.TotalSeconds * 2:0.#} s.");
            }

            await Task.Delay(s_poll, environment.Time, cancellationToken).ConfigureAwait(false);
        }
    }

    private async Task<string?> ReadErrorAsync()
    {
        try
        {
            var log = File.Exists(LogOf(_socket)) ? await File.ReadAllTextAsync(LogOf(_socket)).ConfigureAwait(false) : "";
            var words = (log + (_ssh.IsCompleted ? (await _ssh.ConfigureAwait(false)).Error : "")).Trim();
            return words.Length == 0 ? null : words.ReplaceLineEndings("; ");
        }
        catch (PengxException exception)
        {
            return exception.Message;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or OperationCanceledException)
        {
            return null;
        }
    }
}

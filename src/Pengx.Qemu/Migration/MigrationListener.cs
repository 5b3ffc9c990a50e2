using System.Collections.Concurrent;
using System.Net.Sockets;
using Microsoft.Extensions.Logging;

namespace Pengx.Qemu;

/// <summary>Takes guests from other hosts: listens on a unix socket to which their ssh leads.</summary>
internal sealed class MigrationListener : IAsyncDisposable
{
    private const int MaxConnections = 64;

    private static readonly TimeSpan s_requestTimeout = TimeSpan.FromSeconds(10);

    private readonly QemuEnvironment _environment;
    private readonly Func<DomainId, QemuDomain> _domains;
    private readonly CancellationTokenSource _closing = new();
    private readonly ConcurrentDictionary<Guid, ArrivingGuest> _arrivals = new();
    private readonly ConcurrentDictionary<Task, bool> _served = new();
    private readonly Socket _socket;
    private readonly Task _work;

    private MigrationListener(QemuEnvironment environment, Func<DomainId, QemuDomain> domains, Socket socket)
    {
        _environment = environment;
        _domains = domains;
        _socket = socket;
        _work = AcceptAsync();
    }

    /// <summary>Listens; <see langword="null"/> where that is not possible, which is logged: guests can still leave.</summary>
    /// <param name="environment">Where.</param>
    /// <param name="domains">The domains of the driver.</param>
    public static MigrationListener? TryStart(QemuEnvironment environment, Func<DomainId, QemuDomain> domains)
    {
        var path = environment.Options.ListenSocket;
        if (!ListeningSocket.Fits(path))
        {
            Log.NotListening(environment.Logger, path, "its path has more than 107 bytes", null);
            return null;
        }

        Socket socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            File.Delete(path);
            socket.Bind(new UnixDomainSocketEndPoint(path));

            // Nobody can connect before it listens, and then only the service's user.
            File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserWrite);
            socket.Listen(MaxConnections);
            return new(environment, domains, socket);
        }
        catch (Exception exception) when (exception is SocketException or IOException or UnauthorizedAccessException)
        {
            socket.Dispose();
            Log.NotListening(environment.Logger, path, exception.Message, exception);
            return null;
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _closing.CancelAsync().ConfigureAwait(false);
        _socket.Dispose();
        await _work.ConfigureAwait(false);
        await Task.WhenAll(_served.Keys).ConfigureAwait(false);
        try
        {
            File.Delete(_environment.Options.ListenSocket);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            // Whoever ends a driver may have cleared its directory away before.
        }

        _closing.Dispose();
    }

    private async Task AcceptAsync()
    {
        while (!_closing.IsCancellationRequested)
        {
            Socket accepted;
            try
            {
                accepted = await _socket.AcceptAsync(_closing.Token).ConfigureAwait(false);
            }
            catch (Exception exception) when (exception is OperationCanceledException or ObjectDisposedException)
            {
                return;
            }
            catch (SocketException)
            {
                // The one who came has gone again.
                continue;
            }

            if (_served.Count >= MaxConnections)
            {
                accepted.Dispose();
                continue;
            }

            var serving = Task.Run(() => ServeAsync(accepted), CancellationToken.None);
            _served[serving] = true;
            _ = serving.ContinueWith(done => _served.TryRemove(done, out _), CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
        }
    }

    private async Task ServeAsync(Socket accepted)
    {
        using MoveConnection connection = new(accepted);
        try
        {
            using var patience = CancellationTokenSource.CreateLinkedTokenSource(_closing.Token);
            patience.CancelAfter(s_requestTimeout);
            if (await connection.ReadRequestAsync(patience.Token).ConfigureAwait(false) is not { } request)
            {
                return;
            }

            await (request switch
            {
                { Verb: MoveRequest.Check, Guest: { } guest } => CheckAsync(connection, guest),
                { Verb: MoveRequest.Receive, Guest: { } guest } => ReceiveAsync(connection, request.Move, guest),
                { Verb: MoveRequest.Stream } => StreamAsync(connection, request.Move),
                { Verb: MoveRequest.Outcome } => TellOutcomeAsync(connection, request),
                _ => connection.SendAsync(Refusal($"it does not know the request '{request.Verb}'"), _closing.Token),
            }).ConfigureAwait(false);
        }
        catch (Exception exception)
        {
            // Who asked is told by the end of the connection; what was begun is undone where it was begun.
            Log.MoveRequestFailed(_environment.Logger, exception);
        }
    }

    private async Task CheckAsync(MoveConnection connection, MovingGuest guest)
    {
        MoveReply reply;
        try
        {
            await _domains(new(guest.Id)).CheckArrivalAsync(guest, _closing.Token).ConfigureAwait(false);
            reply = new() { Status = MoveReply.Ready };
        }
        catch (PengxException exception)
        {
            reply = Refusal(exception);
        }

        await connection.SendAsync(reply, _closing.Token).ConfigureAwait(false);
    }

    private async Task ReceiveAsync(MoveConnection connection, Guid move, MovingGuest guest)
    {
        using ArrivingGuest arrival = new(move, guest, connection);
        if (!_arrivals.TryAdd(move, arrival))
        {
            await connection.SendAsync(Refusal("the move is under way already"), _closing.Token).ConfigureAwait(false);
            return;
        }

        try
        {
            using var either = CancellationTokenSource.CreateLinkedTokenSource(_closing.Token, arrival.GivenUp);
            await _domains(new(guest.Id)).ReceiveAsync(arrival, either.Token).ConfigureAwait(false);
        }
        catch (PengxException exception)
        {
            Log.ArrivalFailed(_environment.Logger, new(guest.Id), exception);
            await connection.SendAsync(Refusal(exception), _closing.Token).ConfigureAwait(false);
        }
        finally
        {
            _arrivals.TryRemove(move, out _);
            arrival.SetEnded();
        }
    }

    private async Task StreamAsync(MoveConnection connection, Guid move)
    {
        if (!_arrivals.TryGetValue(move, out var arrival) || !arrival.TryTakeStream(connection))
        {
            await connection.SendAsync(Refusal("it does not wait for this guest"), _closing.Token).ConfigureAwait(false);
            return;
        }

        // The connection is the arrival's from here on; it ends with it.
        await arrival.Ended.ConfigureAwait(false);
    }

    private async Task TellOutcomeAsync(MoveConnection connection, MoveRequest request)
    {
        if (_arrivals.TryGetValue(request.Move, out var arrival))
        {
            // Whoever asks has lost sight of the move: it is given up, unless the guest is being let run in this moment.
            await arrival.GiveUpAsync().ConfigureAwait(false);
            await arrival.Ended.WaitAsync(_closing.Token).ConfigureAwait(false);
        }

        var ran = _environment.FilesOf(new(request.Domain)).HasRunAfter(request.Move);
        await connection.SendAsync(new MoveReply { Status = ran ? MoveReply.Runs : MoveReply.Never }, _closing.Token).ConfigureAwait(false);
    }

    private static MoveReply Refusal(string reason) => new() { Status = MoveReply.Refused, Message = reason };

    private static MoveReply Refusal(PengxException exception) =>
        new() { Status = MoveReply.Refused, Message = exception.Message, IsShort = exception is InsufficientResourceException };
}

/// <summary>A guest on its way here.</summary>
internal sealed class ArrivingGuest(Guid move, MovingGuest guest, MoveConnection control) : IDisposable
{
    private readonly CancellationTokenSource _givenUp = new();
    private readonly TaskCompletionSource<MoveConnection> _stream = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public Guid Move => move;

    public MovingGuest Guest => guest;

    /// <summary>Where the other host is told how it goes, and says when the guest shall run.</summary>
    public MoveConnection Control => control;

    /// <summary>What the guest's state comes over.</summary>
    public Task<MoveConnection> Stream => _stream.Task;

    public Task Ended => _ended.Task;

    public CancellationToken GivenUp => _givenUp.Token;

    public bool TryTakeStream(MoveConnection connection) => _stream.TrySetResult(connection);

    public async Task GiveUpAsync()
    {
        try
        {
            await _givenUp.CancelAsync().ConfigureAwait(false);
        }
        catch (ObjectDisposedException)
        {
            // It has just ended.
        }
    }

    public void SetEnded() => _ended.TrySetResult();

    public void Dispose() => _givenUp.Dispose();
}

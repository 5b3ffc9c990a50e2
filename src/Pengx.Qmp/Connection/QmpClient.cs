using System.Buffers;
using System.Diagnostics;
using System.IO.Pipelines;
using System.Net.Security;
using System.Net.Sockets;
using System.Text.Json;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace Pengx.Qmp;

/// <summary>
/// A session with one QEMU monitor over a unix socket or any duplex stream. One loop reads; whoever has something to send writes;
/// neither ever waits for the other, nor for a reader of events.
/// </summary>
public sealed partial class QmpClient : IQmpClient
{
    private static int s_sessions;

    private readonly Lock _gate = new();
    private readonly Stream _stream;
    private readonly QmpClientOptions _options;
    private readonly ILogger _logger;
    private readonly ILogger _wire;
    private readonly int _session = Interlocked.Increment(ref s_sessions);
    private readonly JsonReaderOptions _readerOptions;
    private readonly CancellationTokenSource _stopping = new();
    private readonly TaskCompletionSource<QmpGreeting> _greeting = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _completion = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private Task _readLoop = Task.CompletedTask;
    private volatile QmpConnectionState _state = QmpConnectionState.Idle;
    private Exception? _reason;
    private bool _quitAcknowledged;
    private volatile bool _isOutOfBandEnabled;
    private volatile bool _writesSingleBytes;

    private QmpClient(Stream stream, QmpClientOptions options)
    {
        _stream = stream;
        _options = options;
        _logger = options.Logger ?? NullLogger.Instance;
        _wire = options.WireLogger ?? NullLogger.Instance;
        _readerOptions = new JsonReaderOptions { MaxDepth = options.MaxDepth };
        _writer = new Utf8JsonWriter(_outgoing, new JsonWriterOptions { SkipValidation = true });
        _earlyEvents = new Queue<QmpEvent>();
        _deadlines = Detached(() => options.TimeProvider.CreateTimer(
            static client => ((QmpClient)client!).ExpireOverdue(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan));

        // A session may end with nobody asking how: that is no unobserved error.
        _ = _completion.Task.ContinueWith(
            static task => _ = task.Exception, CancellationToken.None, TaskContinuationOptions.OnlyOnFaulted | TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
        _ = _greeting.Task.ContinueWith(
            static task => _ = task.Exception, CancellationToken.None, TaskContinuationOptions.OnlyOnFaulted | TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
    }

    /// <inheritdoc/>
    public QmpGreeting Greeting => _greeting.Task.GetAwaiter().GetResult();

    /// <inheritdoc/>
    public bool IsOutOfBandEnabled => _isOutOfBandEnabled;

    /// <inheritdoc/>
    public QmpConnectionState State => _state;

    /// <inheritdoc/>
    public Task Completion => _completion.Task;

    /// <summary>Connects to a monitor's unix socket and negotiates. A failed attempt leaves nothing behind.</summary>
    /// <param name="socketPath">The socket; its path is limited by the system to 107 bytes.</param>
    /// <param name="options">Limits; null for the defaults.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <exception cref="QmpConnectException">The socket is missing, nobody listens on it, or it accepts nobody in time.</exception>
    /// <exception cref="QmpTimeoutException">Nobody greets; a monitor serves one client at a time.</exception>
    /// <exception cref="QmpProtocolException">What answers is not a monitor.</exception>
    /// <exception cref="QmpDisconnectedException">The peer hung up.</exception>
    public static async Task<QmpClient> ConnectAsync(string socketPath, QmpClientOptions? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(socketPath);
        QmpClientOptions limits = (options ?? new QmpClientOptions()).Validate();
        Stream stream = await MonitorSocket.ConnectAsync(socketPath, limits, cancellationToken).ConfigureAwait(false);
        return await StartAsync(stream, limits, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Connects to a monitor wherever it listens, and negotiates. A failed attempt leaves nothing behind.</summary>
    /// <param name="endPoint">A unix socket, or a TCP port with or without TLS.</param>
    /// <param name="options">Limits; null for the defaults.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <exception cref="QmpConnectException">Nobody listens there, nobody accepts in time, or the two sides do not trust each other (TLS).</exception>
    /// <exception cref="QmpTimeoutException">Nobody greets; a monitor serves one client at a time.</exception>
    /// <exception cref="QmpProtocolException">What answers is not a monitor.</exception>
    /// <exception cref="QmpDisconnectedException">The peer hung up.</exception>
    public static async Task<QmpClient> ConnectAsync(QmpEndPoint endPoint, QmpClientOptions? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(endPoint);
        QmpClientOptions limits = (options ?? new QmpClientOptions()).Validate();
        Stream stream = await endPoint.ConnectAsync(limits, cancellationToken).ConfigureAwait(false);
        return await StartAsync(stream, limits, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Negotiates over a stream that is connected already. The client owns the stream from here on, even if this fails.</summary>
    /// <param name="duplex">A stream to read from and write to at the same time.</param>
    /// <param name="options">Limits; null for the defaults.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <exception cref="QmpTimeoutException">No greeting, or no answer to the negotiation, in time.</exception>
    /// <exception cref="QmpProtocolException">What answers is not a monitor.</exception>
    /// <exception cref="QmpDisconnectedException">The peer hung up.</exception>
    public static Task<QmpClient> AttachAsync(Stream duplex, QmpClientOptions? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(duplex);
        if (!duplex.CanRead || !duplex.CanWrite)
        {
            throw new ArgumentException("The stream must be readable and writable.", nameof(duplex));
        }

        return StartAsync(duplex, (options ?? new QmpClientOptions()).Validate(), cancellationToken);
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        lock (_gate)
        {
            if (_state < QmpConnectionState.Closing)
            {
                MoveTo(QmpConnectionState.Closing);
            }
        }

        Close(null);

        // Not every stream lets go of a read when asked to; every one does when it is gone.
        await DisposeStreamAsync().ConfigureAwait(false);
        await _readLoop.ConfigureAwait(false);
    }

    internal static async Task<QmpClient> StartAsync(Stream stream, QmpClientOptions options, CancellationToken cancellationToken)
    {
        QmpClient client = new(stream, options);
        try
        {
            await client.NegotiateAsync(cancellationToken).ConfigureAwait(false);
            return client;
        }
        catch
        {
            await client.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    private async Task NegotiateAsync(CancellationToken cancellationToken)
    {
        lock (_gate)
        {
            MoveTo(QmpConnectionState.Connecting);
            MoveTo(QmpConnectionState.Negotiating);
        }

        _readLoop = Detached(ReadAllAsync);
        QmpGreeting greeting;
        try
        {
            greeting = await _greeting.Task.WaitAsync(_options.GreetingTimeout, _options.TimeProvider, cancellationToken).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            throw new QmpTimeoutException(
                $"No QMP greeting came within {_options.GreetingTimeout.TotalSeconds:0.###} s. A monitor greets one client at a time: another one may hold it.",
                command: null,
                isOutcomeUnknown: false);
        }

        try
        {
            // A monitor reads byte by byte, and before 8.0 it forgets what TLS has decrypted beyond the byte it asked for until more
            // arrives: a record for each byte leaves nothing to be forgotten.
            _writesSingleBytes = _stream is SslStream && !greeting.Version.Qemu.IsAtLeast(8, 0);
            bool isOffered = _options.OutOfBand && greeting.Capabilities.Contains("oob");
            await (isOffered
                ? Enqueue(QmpCommands.QmpCapabilitiesWith, new QmpNegotiation { Enable = ["oob"] }, _options.GreetingTimeout, null, cancellationToken)
                : Enqueue(QmpCommands.QmpCapabilities, QmpEmpty.Instance, _options.GreetingTimeout, null, cancellationToken)).ConfigureAwait(false);
            _isOutOfBandEnabled = isOffered;
        }
        catch (QmpDisconnectedException) when (_reason is QmpProtocolException protocolError)
        {
            throw new QmpProtocolException(protocolError.Message, protocolError);
        }
        catch (QmpCommandException refusal)
        {
            throw new QmpProtocolException($"The peer refused the negotiation: {refusal.Description}", refusal);
        }

        lock (_gate)
        {
            if (_state != QmpConnectionState.Negotiating)
            {
                throw new QmpDisconnectedException("The session ended while it was being set up.", _reason);
            }

            MoveTo(QmpConnectionState.Ready);
        }

        Log.Ready(_logger, _session, greeting.Version, greeting.Version.Package);
    }

    /// <summary>What outlives the call that connected must not log or trace as a part of it.</summary>
    private static TResult Detached<TResult>(Func<TResult> start)
    {
        if (ExecutionContext.IsFlowSuppressed())
        {
            return start();
        }

        using (ExecutionContext.SuppressFlow())
        {
            return start();
        }
    }

    /// <summary>Under the gate. The states are ordered: there is no way back.</summary>
    private void MoveTo(QmpConnectionState state)
    {
        Debug.Assert(state > _state, "A session never goes back.");
        _state = state;
        Log.StateChanged(_logger, _session, state);
    }

    private async Task ReadAllAsync()
    {
        PipeReader reader = PipeReader.Create(_stream, new StreamPipeReaderOptions(bufferSize: 16 * 1024, minimumReadSize: 1024, leaveOpen: true));
        Exception reason;
        try
        {
            reason = await ReadLinesAsync(reader).ConfigureAwait(false);
        }
        catch (QmpProtocolException exception)
        {
            reason = exception;
        }
        catch (Exception exception) when (exception is IOException or SocketException or ObjectDisposedException or OperationCanceledException or InvalidOperationException or NotSupportedException)
        {
            reason = new QmpDisconnectedException($"The connection broke: {exception.Message}", exception);
        }

        Close(reason);
        await reader.CompleteAsync().ConfigureAwait(false);
        await DisposeStreamAsync().ConfigureAwait(false);
    }

    private async Task<Exception> ReadLinesAsync(PipeReader reader)
    {
        // How much of the unfinished line is known to hold no line end: a long line is searched once, not once per read.
        long searched = 0;
        while (true)
        {
            ReadResult result = await reader.ReadAsync(_stopping.Token).ConfigureAwait(false);
            ReadOnlySequence<byte> buffer = result.Buffer;
            while (buffer.Slice(searched).PositionOf((byte)'\n') is { } end)
            {
                Process(buffer.Slice(0, end));
                buffer = buffer.Slice(buffer.GetPosition(1, end));
                searched = 0;
            }

            searched = buffer.Length;
            ThrowIfTooLong(searched);
            reader.AdvanceTo(buffer.Start, buffer.End);
            if (result.IsCompleted)
            {
                return new QmpDisconnectedException(searched == 0
                    ? "The peer closed the connection."
                    : "The peer closed the connection in the middle of a message.");
            }
        }
    }

    private void ThrowIfTooLong(long length)
    {
        if (length > _options.MaxLineBytes)
        {
            throw new QmpProtocolException($"The peer sent a line longer than {_options.MaxLineBytes} bytes.");
        }
    }

    private void Process(in ReadOnlySequence<byte> line)
    {
        ThrowIfTooLong(line.Length);
        if (line.IsSingleSegment)
        {
            Process(line.FirstSpan);
            return;
        }

        byte[] joined = ArrayPool<byte>.Shared.Rent((int)line.Length);
        try
        {
            line.CopyTo(joined);
            Process(joined.AsSpan(0, (int)line.Length));
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(joined);
        }
    }

    private void Process(ReadOnlySpan<byte> line)
    {
        line = line.TrimEnd((byte)'\r');
        if (line.IsEmpty)
        {
            return;
        }

        QmpMessage message = QmpMessage.Parse(line, _readerOptions);
        if (_wire.IsEnabled(LogLevel.Trace))
        {
            LogReceived(line, message);
        }

        switch (message.Kind)
        {
            case QmpMessageKind.Event:
                Publish(message);
                break;
            case QmpMessageKind.Greeting:
                if (!_greeting.TrySetResult(message.ReadGreeting()))
                {
                    throw new QmpProtocolException("The peer sent a second greeting.");
                }

                break;
            default:
                if (!_greeting.Task.IsCompleted)
                {
                    throw new QmpProtocolException("The peer sent a reply before its greeting.");
                }

                Settle(message);
                break;
        }
    }

    /// <summary>Ends the session once; null means that its owner closed it.</summary>
    private void Close(Exception? reason)
    {
        List<IPendingCommand> waiting;
        bool isClean;
        lock (_gate)
        {
            if (_state == QmpConnectionState.Closed)
            {
                return;
            }

            isClean = reason is null || _state == QmpConnectionState.Closing || (_quitAcknowledged && reason is QmpDisconnectedException);
            _reason = isClean ? null : reason;
            MoveTo(QmpConnectionState.Closed);
            waiting = [.. _inFlight.Values, .. _queue, .. _urgent];
            _inFlight.Clear();
            _queue.Clear();
            _urgent.Clear();
            _deadlines.Dispose();
        }

        foreach (IPendingCommand pending in waiting)
        {
            pending.Descriptor?.Dispose();
            pending.Fail(Ended());
        }

        EndSubscriptions(isClean ? null : reason);
        if (isClean)
        {
            _greeting.TrySetException(Ended());
            _completion.TrySetResult();
        }
        else
        {
            Log.Ended(_logger, reason is QmpProtocolException ? LogLevel.Warning : LogLevel.Information, _session, reason!.Message);
            _greeting.TrySetException(reason);
            _completion.TrySetException(reason);
        }

        _stopping.Cancel();
    }

    private QmpDisconnectedException Ended() =>
        new(_reason is null ? "The QMP session was closed." : $"The QMP session ended: {_reason.Message}", _reason);

    private async Task DisposeStreamAsync()
    {
        try
        {
            await _stream.DisposeAsync().ConfigureAwait(false);
        }
        catch (Exception exception) when (exception is IOException or SocketException or ObjectDisposedException)
        {
            // Closing what is already broken has nothing to tell.
        }
    }
}

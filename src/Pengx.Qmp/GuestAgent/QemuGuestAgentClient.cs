using System.Buffers;
using System.IO.Pipelines;
using System.Net.Sockets;
using System.Text.Json;

namespace Pengx.Qmp;

/// <summary>
/// Talks to the guest agent (<c>qemu-ga</c>) over the host's end of its channel. There is no greeting, and nothing says whether an agent
/// is there or has restarted: before the first command, and after each one whose reply was not read, the channel is brought in step
/// (<c>guest-sync-delimited</c>), which throws away what older commands left in it. One command at a time, in the order of the
/// calls. What the agent says comes from the guest: never trust it. Safe for concurrent use.
/// </summary>
public sealed class QemuGuestAgentClient : IAsyncDisposable
{
    private const byte Delimiter = 0xFF;
    private static readonly JsonReaderOptions s_reading = new() { MaxDepth = 512 };

    private readonly Stream _stream;
    private readonly PipeReader _reader;
    private readonly QemuGuestAgentOptions _options;
    private readonly SemaphoreSlim _turn = new(1, 1);
    private readonly CancellationTokenSource _stopping = new();
    private bool _isInStep;
    private bool _isBroken;
    private long _syncId;

    private QemuGuestAgentClient(Stream stream, QemuGuestAgentOptions options)
    {
        _stream = stream;
        _options = options;
        _reader = PipeReader.Create(stream, new StreamPipeReaderOptions(leaveOpen: true));
        _syncId = Random.Shared.NextInt64(1, int.MaxValue);
    }

    /// <summary>Connects to the host's end of an agent's channel and brings it in step.</summary>
    /// <param name="socketPath">The unix socket of the channel's chardev.</param>
    /// <param name="options">Limits; null for the defaults.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <exception cref="QmpConnectException">The socket is missing or nobody listens.</exception>
    /// <exception cref="QmpTimeoutException">No agent answers.</exception>
    /// <exception cref="QmpDisconnectedException">The peer hung up.</exception>
    public static async Task<QemuGuestAgentClient> ConnectAsync(string socketPath, QemuGuestAgentOptions? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(socketPath);
        QemuGuestAgentOptions limits = (options ?? new QemuGuestAgentOptions()).Validate();
        QmpClientOptions connecting = new() { ConnectTimeout = limits.ConnectTimeout, TimeProvider = limits.TimeProvider };
        Stream stream = await MonitorSocket.ConnectAsync(socketPath, connecting, cancellationToken).ConfigureAwait(false);
        return await AttachAsync(stream, limits, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Brings a channel that is connected already in step. The client owns the stream from here on, even if this fails.</summary>
    /// <param name="duplex">A stream to read from and write to at the same time.</param>
    /// <param name="options">Limits; null for the defaults.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <exception cref="QmpTimeoutException">No agent answers.</exception>
    /// <exception cref="QmpDisconnectedException">The peer hung up.</exception>
    public static async Task<QemuGuestAgentClient> AttachAsync(Stream duplex, QemuGuestAgentOptions? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(duplex);
        QemuGuestAgentClient client = new(duplex, (options ?? new QemuGuestAgentOptions()).Validate());
        try
        {
            await client.SyncAsync(cancellationToken).ConfigureAwait(false);
            return client;
        }
        catch
        {
            await client.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>Asks whether the agent is there, and throws away what is left in the channel.</summary>
    /// <param name="cancellationToken">Gives up the wait.</param>
    /// <exception cref="QmpTimeoutException">No agent answers.</exception>
    /// <exception cref="QmpDisconnectedException">The peer hung up.</exception>
    public Task SyncAsync(CancellationToken cancellationToken = default) =>
        InTurnAsync(
            async stop =>
            {
                _isInStep = false;
                await EnsureInStepAsync(stop).ConfigureAwait(false);
                return QmpEmpty.Instance;
            },
            cancellationToken);

    /// <summary>Sends a command and waits for its reply. Cancelling gives up the wait, not the work.</summary>
    /// <typeparam name="TArguments">The arguments.</typeparam>
    /// <typeparam name="TResult">The result.</typeparam>
    /// <param name="command">The command.</param>
    /// <param name="arguments">Its arguments.</param>
    /// <param name="cancellationToken">Gives up the wait.</param>
    /// <exception cref="QmpCommandException">The agent refused.</exception>
    /// <exception cref="QmpTimeoutException">The agent did not answer in time.</exception>
    /// <exception cref="QmpDisconnectedException">The channel is closed.</exception>
    /// <exception cref="QmpProtocolException">The answer is not one.</exception>
    public Task<TResult> ExecuteAsync<TArguments, TResult>(QmpCommand<TArguments, TResult> command, TArguments arguments, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(command);
        ArgumentNullException.ThrowIfNull(arguments);
        return InTurnAsync(
            async stop =>
            {
                await EnsureInStepAsync(stop).ConfigureAwait(false);
                return await WithinAsync(
                    command.Timeout ?? _options.CommandTimeout,
                    command.Name,
                    async limit =>
                    {
                        _isInStep = false;
                        await WriteAsync(command, arguments, delimited: false, limit).ConfigureAwait(false);
                        TResult result = await ReceiveAsync(command, limit).ConfigureAwait(false);
                        _isInStep = true;
                        return result;
                    },
                    stop).ConfigureAwait(false);
            },
            cancellationToken);
    }

    /// <summary>Sends a command without arguments; see <see cref="ExecuteAsync{TArguments, TResult}"/>.</summary>
    /// <typeparam name="TResult">The result.</typeparam>
    /// <param name="command">The command.</param>
    /// <param name="cancellationToken">Gives up the wait.</param>
    public Task<TResult> ExecuteAsync<TResult>(QmpCommand<QmpEmpty, TResult> command, CancellationToken cancellationToken = default) =>
        ExecuteAsync(command, QmpEmpty.Instance, cancellationToken);

    /// <summary>Sends any command, as JSON; see <see cref="ExecuteAsync{TArguments, TResult}"/> for the rules.</summary>
    /// <param name="command">The command's name.</param>
    /// <param name="arguments">A JSON object, or null for none.</param>
    /// <param name="cancellationToken">Gives up the wait.</param>
    public Task<JsonElement> ExecuteRawAsync(string command, JsonElement? arguments = null, CancellationToken cancellationToken = default) =>
        arguments is { } given
            ? ExecuteAsync(new QmpCommand<JsonElement, JsonElement>(command, QmpJsonContext.Default.JsonElement, QmpJsonContext.Default.JsonElement), given, cancellationToken)
            : ExecuteAsync(new QmpCommand<QmpEmpty, JsonElement>(command, QmpJsonContext.Default.QmpEmpty, QmpJsonContext.Default.JsonElement), QmpEmpty.Instance, cancellationToken);

    /// <summary>
    /// Sends a command that answers only if it fails, such as a suspend. It succeeds when no refusal came within
    /// <see cref="QemuGuestAgentOptions.RefusalTimeout"/>, or when the guest went away.
    /// </summary>
    /// <typeparam name="TArguments">The arguments.</typeparam>
    /// <typeparam name="TResult">Not used.</typeparam>
    /// <param name="command">The command.</param>
    /// <param name="arguments">Its arguments.</param>
    /// <param name="cancellationToken">Gives up the wait.</param>
    /// <exception cref="QmpCommandException">The agent refused.</exception>
    public Task SendAsync<TArguments, TResult>(QmpCommand<TArguments, TResult> command, TArguments arguments, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(command);
        ArgumentNullException.ThrowIfNull(arguments);
        return InTurnAsync(
            async stop =>
            {
                await EnsureInStepAsync(stop).ConfigureAwait(false);
                _isInStep = false;
                try
                {
                    return await WithinAsync(
                        _options.RefusalTimeout,
                        command.Name,
                        async limit =>
                        {
                            await WriteAsync(command, arguments, delimited: false, limit).ConfigureAwait(false);
                            await ReceiveAsync(command, limit).ConfigureAwait(false);
                            return QmpEmpty.Instance;
                        },
                        stop).ConfigureAwait(false);
                }
                catch (Exception exception) when (exception is QmpTimeoutException or QmpDisconnectedException)
                {
                    return QmpEmpty.Instance;
                }
            },
            cancellationToken);
    }

    /// <summary>Tells the guest to shut down; see <see cref="SendAsync{TArguments, TResult}"/>.</summary>
    /// <param name="mode"><c>powerdown</c>, <c>reboot</c> or <c>halt</c>.</param>
    /// <param name="cancellationToken">Gives up the wait.</param>
    public Task ShutdownAsync(string mode = "powerdown", CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(mode);
        return SendAsync(QgaCommands.Shutdown, new QgaShutdown { Mode = mode }, cancellationToken);
    }

    /// <summary>Closes the channel; a call that waits fails.</summary>
    public async ValueTask DisposeAsync()
    {
        await _stopping.CancelAsync().ConfigureAwait(false);
        await _stream.DisposeAsync().ConfigureAwait(false);
    }

    private async Task<TResult> InTurnAsync<TResult>(Func<CancellationToken, Task<TResult>> action, CancellationToken cancellationToken)
    {
        using CancellationTokenSource either = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, _stopping.Token);
        try
        {
            await _turn.WaitAsync(either.Token).ConfigureAwait(false);
            try
            {
                return _isBroken ? throw new QmpDisconnectedException("The guest agent's channel is closed.") : await action(either.Token).ConfigureAwait(false);
            }
            catch (Exception exception) when (exception is IOException or SocketException or ObjectDisposedException or QmpDisconnectedException)
            {
                _isBroken = true;
                throw exception as QmpDisconnectedException ?? new QmpDisconnectedException($"The guest agent's channel broke: {exception.Message}", exception);
            }
            finally
            {
                _turn.Release();
            }
        }
        catch (OperationCanceledException) when (_stopping.IsCancellationRequested && !cancellationToken.IsCancellationRequested)
        {
            throw new QmpDisconnectedException("The guest agent's client was closed.");
        }
    }

    private async Task<TResult> WithinAsync<TResult>(TimeSpan timeout, string command, Func<CancellationToken, Task<TResult>> action, CancellationToken cancellationToken)
    {
        using CancellationTokenSource limit = new(timeout, _options.TimeProvider);
        using CancellationTokenSource either = CancellationTokenSource.CreateLinkedTokenSource(limit.Token, cancellationToken);
        try
        {
            return await action(either.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            throw new QmpTimeoutException($"The guest agent did not answer '{command}' within {timeout.TotalSeconds:0.###} s.", command, isOutcomeUnknown: true);
        }
    }

    private async Task EnsureInStepAsync(CancellationToken cancellationToken)
    {
        if (_isInStep)
        {
            return;
        }

        await WithinAsync(
            _options.SyncTimeout,
            QgaCommands.SyncDelimited.Name,
            async limit =>
            {
                QgaSync sync = new() { Id = ++_syncId };
                await WriteAsync(QgaCommands.SyncDelimited, sync, delimited: true, limit).ConfigureAwait(false);
                while (true)
                {
                    // Only what follows a delimiter counts, and of that only our own number: others are answers to those who gave up.
                    byte[] line = await ReadLineAsync(afterDelimiter: true, limit).ConfigureAwait(false);
                    if (IsAnswer(line, sync.Id))
                    {
                        _isInStep = true;
                        return QmpEmpty.Instance;
                    }
                }
            },
            cancellationToken).ConfigureAwait(false);
    }

    private static bool IsAnswer(byte[] line, long id)
    {
        try
        {
            QmpMessage message = QmpMessage.Parse(line, s_reading);
            return message.Kind == QmpMessageKind.Return && JsonElement.Parse(message.Payload) is { ValueKind: JsonValueKind.Number } number
                && number.TryGetInt64(out long answered) && answered == id;
        }
        catch (QmpProtocolException)
        {
            return false;
        }
    }

    private async Task WriteAsync<TArguments, TResult>(QmpCommand<TArguments, TResult> command, TArguments arguments, bool delimited, CancellationToken cancellationToken)
    {
        using PooledBufferWriter output = new();
        if (delimited)
        {
            // It makes the agent's parser drop half a command that somebody else left behind.
            output.GetSpan(1)[0] = Delimiter;
            output.Advance(1);
        }

        using (Utf8JsonWriter writer = new(output))
        {
            writer.WriteStartObject();
            writer.WriteString("execute"u8, command.Name);
            if (typeof(TArguments) != typeof(QmpEmpty))
            {
                writer.WritePropertyName("arguments"u8);
                JsonSerializer.Serialize(writer, arguments, command.Arguments);
            }

            writer.WriteEndObject();
        }

        output.GetSpan(1)[0] = (byte)'\n';
        output.Advance(1);
        await _stream.WriteAsync(output.Written, cancellationToken).ConfigureAwait(false);
        await _stream.FlushAsync(cancellationToken).ConfigureAwait(false);
    }

    private async Task<TResult> ReceiveAsync<TArguments, TResult>(QmpCommand<TArguments, TResult> command, CancellationToken cancellationToken)
    {
        byte[] line = await ReadLineAsync(afterDelimiter: false, cancellationToken).ConfigureAwait(false);
        QmpMessage message = QmpMessage.Parse(line, s_reading);
        switch (message.Kind)
        {
            case QmpMessageKind.Error:
                (string errorClass, string description) = message.ReadError();
                _isInStep = true;
                throw new QmpCommandException(command.Name, errorClass, description);
            case QmpMessageKind.Return when typeof(TResult) == typeof(QmpEmpty):
                return (TResult)(object)QmpEmpty.Instance;
            case QmpMessageKind.Return:
                try
                {
                    Utf8JsonReader reader = new(message.Payload, s_reading);
                    return JsonSerializer.Deserialize(ref reader, command.Result) ?? throw new JsonException("The result is null.");
                }
                catch (JsonException exception)
                {
                    throw new QmpProtocolException($"The result of '{command.Name}' does not fit {typeof(TResult).Name}.", exception);
                }

            default:
                throw new QmpProtocolException("The guest agent sent something that is no reply.");
        }
    }

    private async Task<byte[]> ReadLineAsync(bool afterDelimiter, CancellationToken cancellationToken)
    {
        bool isDelimited = !afterDelimiter;
        while (true)
        {
            ReadResult result = await _reader.ReadAsync(cancellationToken).ConfigureAwait(false);
            ReadOnlySequence<byte> buffer = result.Buffer;
            if (!isDelimited)
            {
                if (buffer.PositionOf(Delimiter) is not { } delimiter)
                {
                    // Old replies: nobody waits for them.
                    _reader.AdvanceTo(buffer.End);
                    ThrowIfEnded(result);
                    continue;
                }

                isDelimited = true;
                buffer = buffer.Slice(buffer.GetPosition(1, delimiter));
            }

            if (buffer.PositionOf((byte)'\n') is { } end)
            {
                byte[] line = buffer.Slice(0, end).ToArray();
                _reader.AdvanceTo(buffer.GetPosition(1, end));
                byte[] bare = line.AsSpan().Trim((byte)Delimiter).TrimEnd((byte)'\r').ToArray();
                if (bare.Length > 0)
                {
                    return bare;
                }

                continue;
            }

            if (buffer.Length > _options.MaxLineBytes)
            {
                throw new QmpProtocolException($"The guest agent sent a line longer than {_options.MaxLineBytes} bytes.");
            }

            _reader.AdvanceTo(buffer.Start, buffer.End);
            ThrowIfEnded(result);
        }
    }

    private static void ThrowIfEnded(ReadResult result)
    {
        if (result.IsCompleted)
        {
            throw new QmpDisconnectedException("The guest agent's channel was closed.");
        }
    }
}

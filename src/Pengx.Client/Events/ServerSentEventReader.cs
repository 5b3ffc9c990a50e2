using System.Buffers;
using System.Globalization;
using System.Text;

namespace Pengx.Client;

/// <summary>
/// Reads server-sent events as the WHATWG HTML standard defines them, each of bounded length; but an event without data is given out too.
/// A long silence is taken for a dead connection.
/// </summary>
internal sealed class ServerSentEventReader(Stream stream, TimeSpan idleTimeout, TimeProvider timeProvider)
{
    private const int LongestEvent = 1 << 20;
    private readonly byte[] _buffer = new byte[8 * 1024];
    private readonly ArrayBufferWriter<byte> _line = new();
    private int _at;
    private int _end;
    private bool _skipLineFeed;
    private bool _begun;

    /// <summary>How long to wait before opening the stream again, as the server last asked; null where it did not.</summary>
    public TimeSpan? Retry { get; private set; }

    /// <summary>The id after which the stream can be resumed; kept over events without an id.</summary>
    public string? LastEventId { get; private set; }

    /// <summary>The next event, or null when the stream has ended; an event cut off by the end is none.</summary>
    public async ValueTask<ServerSentEvent?> ReadAsync(CancellationToken cancellationToken)
    {
        var name = "";
        StringBuilder? data = null;
        while (await ReadLineAsync(cancellationToken).ConfigureAwait(false) is { } line)
        {
            if (line.Length == 0)
            {
                if (data is not null || name.Length > 0)
                {
                    return new ServerSentEvent(name.Length == 0 ? "message" : name, data?.ToString() ?? "", LastEventId);
                }

                continue;
            }

            var colon = line.IndexOf(':', StringComparison.Ordinal);
            var field = colon < 0 ? line : line[..colon];
            var value = colon < 0 ? "" : line[(colon + (colon + 1 < line.Length && line[colon + 1] == ' ' ? 2 : 1))..];
            switch (field)
            {
                case "event":
                    name = value;
                    break;
                case "data":
                    data = data is null ? new StringBuilder(value) : data.Append('\n').Append(value);
                    if (data.Length > LongestEvent)
                    {
                        throw TooLong();
                    }

                    break;
                case "id" when !value.Contains('\0', StringComparison.Ordinal):
                    LastEventId = value.Length == 0 ? null : value;
                    break;
                case "retry" when int.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out var milliseconds):
                    Retry = TimeSpan.FromMilliseconds(milliseconds);
                    break;
            }
        }

        return null;
    }

    /// <summary>The next line, ended by LF, CR or both; null at the end, also in the middle of a line.</summary>
    private async ValueTask<string?> ReadLineAsync(CancellationToken cancellationToken)
    {
        _line.ResetWrittenCount();
        while (true)
        {
            if (_at == _end)
            {
                _at = 0;
                _end = await FillAsync(cancellationToken).ConfigureAwait(false);
                if (_end == 0)
                {
                    return null;
                }
            }

            if (_skipLineFeed)
            {
                _skipLineFeed = false;
                if (_buffer[_at] == '\n')
                {
                    _at++;
                    continue;
                }
            }

            var found = _buffer.AsSpan(_at, _end - _at).IndexOfAny((byte)'\n', (byte)'\r');
            var length = found < 0 ? _end - _at : found;
            if (_line.WrittenCount + length > LongestEvent)
            {
                throw TooLong();
            }

            _line.Write(_buffer.AsSpan(_at, length));
            _at += length;
            if (found < 0)
            {
                continue;
            }

            _skipLineFeed = _buffer[_at++] == '\r';
            var line = Encoding.UTF8.GetString(_line.WrittenSpan);
            var first = !_begun;
            _begun = true;
            return first && line.StartsWith('\ufeff') ? line[1..] : line;
        }
    }

    private async ValueTask<int> FillAsync(CancellationToken cancellationToken)
    {
        using var idle = new CancellationTokenSource(idleTimeout, timeProvider);
        using var linked = CancellationTokenSource.CreateLinkedTokenSource(idle.Token, cancellationToken);
        try
        {
            return await stream.ReadAsync(_buffer, linked.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            throw new TimeoutException($"nothing came for {idleTimeout.TotalSeconds:0.#} s");
        }
    }

    private static InvalidDataException TooLong() => new($"A server-sent event is longer than {LongestEvent} bytes.");
}

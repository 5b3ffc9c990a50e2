using System.Buffers;
using System.Text;

namespace Pengx.Client;

/// <summary>Gives out the items of a list while it arrives, as long as it is plain XML in UTF-8; then <see cref="Rest"/> is what is left.</summary>
internal sealed class ListSource(Stream stream, string list, XmlLimits limits) : IDisposable
{
    private const int Capacity = 16 * 1024;

    // An item that grows beyond this is not looked at again for each few bytes that arrive of it.
    private const int Large = 64 * 1024;

    private readonly Utf8ElementParser _parser = new(limits, reuse: true);
    private byte[] _bytes = ArrayPool<byte>.Shared.Rent(Capacity);
    private int _at;
    private int _end;
    private bool _ended;
    private bool _inList;
    private bool _finished;

    /// <summary>What an ordinary reader must be given before the rest of the stream; null when the list was read to its end.</summary>
    public byte[]? Rest { get; private set; }

    /// <summary>The next item of that name, good until the next call; null when there is none here.</summary>
    public async ValueTask<WireElement?> NextAsync(string name, CancellationToken cancellationToken)
    {
        while (!_finished)
        {
            switch (Step())
            {
                case ParseOutcome.Read when _finished:
                    break;
                case ParseOutcome.Read:
                    if (string.Equals(_parser.Element.Name, name, StringComparison.Ordinal))
                    {
                        return _parser.Element;
                    }

                    break;
                case ParseOutcome.NeedsMore when !_ended:
                    await FillAsync(cancellationToken).ConfigureAwait(false);
                    break;
                default:
                    // Malformed, cut off, or not plain: never decided here.
                    Rest = _inList ? [.. "<"u8, .. Encoding.ASCII.GetBytes(list), .. ">"u8, .. _bytes.AsSpan(_at, _end - _at)] : _bytes.AsSpan(0, _end).ToArray();
                    _finished = true;
                    break;
            }
        }

        return null;
    }

    public void Dispose()
    {
        ArrayPool<byte>.Shared.Return(_bytes);
        _bytes = [];
        _finished = true;
    }

    private ParseOutcome Step()
    {
        var at = _at;
        ParseOutcome outcome;
        if (!_inList)
        {
            outcome = Utf8ElementParser.Prolog(_bytes, ref at, _end);
            outcome = outcome == ParseOutcome.Read ? Utf8ElementParser.Skip(_bytes, ref at, _end) : outcome;
            if (outcome == ParseOutcome.Read)
            {
                outcome = _parser.OpenTag(_bytes, ref at, _end, out var root);
                outcome = outcome == ParseOutcome.Read && root != list ? ParseOutcome.NotSimple : outcome;
            }

            if (outcome != ParseOutcome.Read)
            {
                return outcome;
            }

            _inList = true;
            _at = at;
        }

        outcome = Utf8ElementParser.Skip(_bytes, ref at, _end);
        if (outcome != ParseOutcome.Read)
        {
            return outcome;
        }

        if (_bytes[at + 1] == '/')
        {
            // The end of the list is only judged with all that comes after it.
            if (!_ended)
            {
                return ParseOutcome.NeedsMore;
            }

            var tail = _bytes.AsSpan(at, _end - at);
            var expected = $"</{list}>";
            if (tail.Length < expected.Length || !Ascii.Equals(tail[..expected.Length], expected)
                || tail[expected.Length..].IndexOfAnyExcept(" \r\n\t"u8) >= 0)
            {
                return ParseOutcome.NotSimple;
            }

            _finished = true;
            return ParseOutcome.Read;
        }

        outcome = _parser.Read(_bytes, at, _end, 1);
        if (outcome == ParseOutcome.Read)
        {
            _at = _parser.End;
        }

        return outcome;
    }

    private async ValueTask FillAsync(CancellationToken cancellationToken)
    {
        var left = _end - _at;
        if (_inList && _at > 0)
        {
            _bytes.AsSpan(_at, left).CopyTo(_bytes);
            (_at, _end) = (0, left);
        }

        var wanted = left < Large ? 1 : left / 8;
        for (var read = 0; read < wanted && !_ended;)
        {
            if (_end == _bytes.Length)
            {
                var larger = ArrayPool<byte>.Shared.Rent(2 * _bytes.Length);
                _bytes.AsSpan(0, _end).CopyTo(larger);
                ArrayPool<byte>.Shared.Return(_bytes);
                _bytes = larger;
            }

            var count = await stream.ReadAsync(_bytes.AsMemory(_end), cancellationToken).ConfigureAwait(false);
            _ended = count == 0;
            _end += count;
            read += count;
        }
    }
}

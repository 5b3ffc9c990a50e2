using System.Buffers;
using System.Buffers.Binary;
using System.Text;

namespace Pengx.Xen;

/// <summary>Messages on their way out, in a pooled buffer.</summary>
internal sealed class OutgoingBuffer
{
    internal const int HeaderLength = 16;

    private const int KeptBytes = 64 * 1024;

    private byte[] _buffer = ArrayPool<byte>.Shared.Rent(2 * (HeaderLength + XenstoreLimits.Payload));
    private int _start;
    private int _end;
    private int _leftOfFirst;

    internal bool IsEmpty => _start == _end;

    internal ReadOnlySpan<byte> Unsent => _buffer.AsSpan(_start, _end - _start);

    /// <summary>The first message that is not wholly sent, or what is left of it.</summary>
    internal ReadOnlySpan<byte> FirstUnsent
    {
        get
        {
            var unsent = Unsent;
            if (_leftOfFirst == 0)
            {
                _leftOfFirst = HeaderLength + (int)BinaryPrimitives.ReadUInt32LittleEndian(unsent[12..]);
            }

            return unsent[.._leftOfFirst];
        }
    }

    /// <summary>How long the payload is of one text, a NUL byte and more; or of the rest alone.</summary>
    internal static int PayloadLength(string? text, ReadOnlySpan<byte> rest) =>
        (text is null ? 0 : Encoding.UTF8.GetByteCount(text) + 1) + rest.Length;

    internal void Write(XenstoreOperation operation, uint id, uint transaction, string? text, ReadOnlySpan<byte> rest, int payloadLength)
    {
        Reserve(HeaderLength + payloadLength);
        var message = _buffer.AsSpan(_end, HeaderLength + payloadLength);
        BinaryPrimitives.WriteUInt32LittleEndian(message, (uint)operation);
        BinaryPrimitives.WriteUInt32LittleEndian(message[4..], id);
        BinaryPrimitives.WriteUInt32LittleEndian(message[8..], transaction);
        BinaryPrimitives.WriteUInt32LittleEndian(message[12..], (uint)payloadLength);
        var payload = message[HeaderLength..];
        if (text is not null)
        {
            var length = Encoding.UTF8.GetBytes(text, payload);
            payload[length] = 0;
            payload = payload[(length + 1)..];
        }

        rest.CopyTo(payload);
        _end += message.Length;
    }

    internal void Advance(int sent)
    {
        _start += sent;
        _leftOfFirst = Math.Max(_leftOfFirst - sent, 0);
        if (_start == _end)
        {
            Clear();
        }
    }

    private void Clear()
    {
        // A value may have been a password: it does not stay in memory that others will rent.
        _buffer.AsSpan(0, _end).Clear();
        _start = _end = 0;
        if (_buffer.Length > KeptBytes)
        {
            ArrayPool<byte>.Shared.Return(_buffer, clearArray: true);
            _buffer = ArrayPool<byte>.Shared.Rent(2 * (HeaderLength + XenstoreLimits.Payload));
        }
    }

    private void Reserve(int count)
    {
        if (_end + count <= _buffer.Length)
        {
            return;
        }

        var larger = ArrayPool<byte>.Shared.Rent(Math.Max(_end - _start + count, _buffer.Length * 2));
        Unsent.CopyTo(larger);
        ArrayPool<byte>.Shared.Return(_buffer, clearArray: true);
        _buffer = larger;
        _end -= _start;
        _start = 0;
    }
}

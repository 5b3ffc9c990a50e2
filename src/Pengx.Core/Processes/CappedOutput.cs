using System.Buffers;
using System.Text;

namespace Pengx;

/// <summary>Reads one output of a program to its end, keeps its first bytes, and tells of its lines.</summary>
internal sealed class CappedOutput(int maxBytes, Action<string>? onLine)
{
    /// <summary>A longer line is told in pieces of this size, so that a program cannot fill the memory with one.</summary>
    private const int MaxLineBytes = 64 * 1024;

    private readonly ArrayBufferWriter<byte> _kept = new();
    private readonly ArrayBufferWriter<byte> _line = new();
    private readonly Lock _gate = new();
    private bool _afterCarriageReturn;
    private long _count;

    /// <summary>How many bytes have come.</summary>
    public long Count => Volatile.Read(ref _count);

    /// <summary>What was kept so far.</summary>
    public string Text
    {
        get
        {
            lock (_gate)
            {
                return Encoding.UTF8.GetString(_kept.WrittenSpan);
            }
        }
    }

    public async Task ReadAsync(Stream source, CancellationToken cancellationToken)
    {
        var buffer = new byte[16 * 1024];
        int count;
        while ((count = await source.ReadAsync(buffer, cancellationToken).ConfigureAwait(false)) > 0)
        {
            Interlocked.Add(ref _count, count);
            Keep(buffer.AsSpan(0, count));
            if (onLine is not null)
            {
                Split(buffer.AsSpan(0, count), onLine);
            }
        }

        if (onLine is not null && _line.WrittenCount > 0)
        {
            Tell(onLine);
        }
    }

    private void Keep(ReadOnlySpan<byte> bytes)
    {
        lock (_gate)
        {
            _kept.Write(bytes[..Math.Min(bytes.Length, maxBytes - _kept.WrittenCount)]);
        }
    }

    private void Split(ReadOnlySpan<byte> bytes, Action<string> tell)
    {
        while (!bytes.IsEmpty)
        {
            var end = bytes.IndexOfAny((byte)'\n', (byte)'\r');
            var room = MaxLineBytes - _line.WrittenCount;
            var take = Math.Min(end < 0 ? bytes.Length : end, room);
            if (take > 0)
            {
                _afterCarriageReturn = false;
                _line.Write(bytes[..take]);
                bytes = bytes[take..];
                if (take == room)
                {
                    Tell(tell);
                }

                continue;
            }

            // "\r\n" ends one line, not two.
            if (bytes[0] == '\n' && _afterCarriageReturn)
            {
                _afterCarriageReturn = false;
            }
            else
            {
                _afterCarriageReturn = bytes[0] == '\r';
                Tell(tell);
            }

            bytes = bytes[1..];
        }
    }

    private void Tell(Action<string> tell)
    {
        var text = Encoding.UTF8.GetString(_line.WrittenSpan);
        _line.ResetWrittenCount();
        tell(text);
    }
}

namespace Pengx.Client;

/// <summary>Reads another stream, which stays open, up to a number of bytes, and refuses the next one.</summary>
/// <param name="inner">The stream.</param>
/// <param name="limit">How many bytes are accepted, at first and after each <see cref="Renew"/>.</param>
/// <param name="readAhead">The most that is asked for at once, and is therefore allowed beyond the limit for what lies after it; 0 for no such bound.</param>
/// <param name="token">Stops reads that come without a token.</param>
internal sealed class LimitedStream(Stream inner, long limit, int readAhead, CancellationToken token) : Stream
{
    private long _left = limit + readAhead;

    public override bool CanRead => true;

    public override bool CanSeek => false;

    public override bool CanWrite => false;

    public override long Length => throw new NotSupportedException();

    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    /// <summary>Starts counting anew.</summary>
    public void Renew() => _left = limit + readAhead;

    // XmlReader passes no token: the one given at construction stops its reads.
    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) =>
        Count(await inner.ReadAsync(Cut(buffer), cancellationToken.CanBeCanceled ? cancellationToken : token).ConfigureAwait(false));

    public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    public override int Read(byte[] buffer, int offset, int count) =>
        Count(inner.Read(Cut(buffer.AsMemory(offset, count)).Span));

    public override void Flush()
    {
    }

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    // One byte more than allowed is asked for, so that the limit itself is not refused.
    private Memory<byte> Cut(Memory<byte> buffer)
    {
        var most = Math.Min(readAhead > 0 ? readAhead : int.MaxValue, _left + 1);
        return buffer.Length > most ? buffer[..(int)most] : buffer;
    }

    private int Count(int read)
    {
        _left -= read;
        return _left >= 0
            ? read
            : throw new XmlRefusedException(XmlRefusal.TooLarge, $"The XML is longer than the {limit} bytes that are accepted; send less.");
    }
}

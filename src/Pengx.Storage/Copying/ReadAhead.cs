using Microsoft.Win32.SafeHandles;

namespace Pengx.Storage;

/// <summary>Asks the kernel for the data that come after what is read now.</summary>
/// <remarks>The kernel's own reading ahead begins anew behind each hole, and is short on many hosts. A file whose data lie
/// scattered is then read at the disk's latency instead of its speed. Not safe to use from several threads at once.</remarks>
/// <param name="source">The file or device.</param>
/// <param name="path">Its path, for errors.</param>
/// <param name="length">Its length in bytes.</param>
internal sealed class ReadAhead(SafeFileHandle source, string path, long length)
{
    private const long Window = 16 * 1024 * 1024;
    private const long Piece = 2 * 1024 * 1024;

    private long _position;
    private long _end;

    // How many bytes were asked for and are not read yet.
    private long _ahead;

    /// <summary>Tells what is read next, in ascending order; asks for what follows it.</summary>
    /// <exception cref="StorageException">Where data lie cannot be found out.</exception>
    public void Reading(long offset, long count)
    {
        _ahead -= count;
        if (_position < offset + count)
        {
            (_position, _ahead) = (offset + count, 0);
        }

        while (_ahead < Window && _position < length)
        {
            if (_position >= _end)
            {
                _position = Posix.NextData(source, path, _position, length);
                _end = _position < length ? Posix.NextHole(source, path, _position, length) : length;
                continue;
            }

            var piece = Math.Min(_end - _position, Piece);
            Posix.ReadAhead(source, _position, piece);
            _position += piece;
            _ahead += piece;
        }
    }
}

using System.Buffers.Binary;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using Microsoft.Win32.SafeHandles;

namespace Pengx.Storage;

/// <summary>How far a copy into a file is, so that another attempt can go on there: everything of the source before one offset
/// is in the copy, and durable. Written seldom, and only after the copy's own bytes were flushed; what is torn, of another
/// source, or of a source that has changed since, is not believed.</summary>
internal sealed class CopyJournal : IDisposable
{
    private const string Mark = "pengx-copy 1";
    private const int MaxLength = 4096;

    private readonly string _path;
    private readonly string _subject;
    private SafeFileHandle? _handle;

    private CopyJournal(SafeFileHandle? handle, string path, string subject)
    {
        _handle = handle;
        _path = path;
        _subject = subject;
    }

    /// <summary>Opens the journal of a copy.</summary>
    /// <param name="part">The copy.</param>
    /// <param name="handle">The copy, open.</param>
    /// <param name="source">What the source is, and in which state.</param>
    /// <param name="done">Everything before this offset is in the copy; 0 when nothing is known.</param>
    public static CopyJournal Open(string part, SafeFileHandle handle, FileIdentity source, out long done)
    {
        var path = CopyPart.JournalOf(part);
        var target = Posix.IdentityOf(handle, part);
        var subject = string.Create(
            CultureInfo.InvariantCulture,
            $"{Mark}\nsource {source.FileSystem:x} {source.Inode} {source.BornAt} {source.Length} {source.ModifiedAt} {source.ChangedAt}\ntarget {target.FileSystem:x} {target.Inode} {target.BornAt}\ndone ");
        done = 0;
        SafeFileHandle? journal = null;
        if (Posix.Status(path) is { IsRegular: true })
        {
            journal = Posix.OpenWrite(path);
            var buffer = new byte[MaxLength];
            var text = buffer.AsSpan(0, Posix.Read(journal, path, buffer, 0));
            if (TryRead(text, subject, out var offset) && offset <= source.Length && offset <= target.Length)
            {
                done = offset;
            }
        }

        return new(journal, path, subject);
    }

    /// <summary>Writes down how far the copy is; its bytes must be durable already.</summary>
    public void Record(long done)
    {
        // One sector, and a sum over it: after a power cut it is the old one, the new one, or not believed.
        var text = Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{_subject}{done}\n"));
        var record = new byte[4 + text.Length + SHA256.HashSizeInBytes];
        BinaryPrimitives.WriteInt32LittleEndian(record, text.Length);
        text.CopyTo(record, 4);
        SHA256.HashData(text, record.AsSpan(4 + text.Length));
        _handle ??= Posix.CreateNew(_path);
        Posix.Write(_handle, _path, record, 0);
        Posix.SyncData(_handle, _path);
    }

    public void Dispose() => _handle?.Dispose();

    private static bool TryRead(ReadOnlySpan<byte> record, string subject, out long done)
    {
        done = 0;
        if (record.Length < 4 || BinaryPrimitives.ReadInt32LittleEndian(record) is var length && (length < 0 || length > record.Length - 4 - SHA256.HashSizeInBytes))
        {
            return false;
        }

        var text = record.Slice(4, length);
        if (!SHA256.HashData(text).AsSpan().SequenceEqual(record.Slice(4 + length, SHA256.HashSizeInBytes)))
        {
            return false;
        }

        var line = Encoding.ASCII.GetString(text);
        return line.StartsWith(subject, StringComparison.Ordinal)
            && long.TryParse(line.AsSpan(subject.Length).TrimEnd('\n'), NumberStyles.None, CultureInfo.InvariantCulture, out done);
    }
}

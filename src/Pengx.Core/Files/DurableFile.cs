using System.Runtime.InteropServices;
using System.Runtime.Versioning;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;

namespace Pengx;

/// <summary>Small files that are either the old ones or the new ones, whole, whenever the machine stops.</summary>
[UnsupportedOSPlatform("windows")]
internal static partial class DurableFile
{
    private const int ReadOnlyDirectory = 0x10000 | 0x80000; // O_RDONLY | O_DIRECTORY | O_CLOEXEC

    /// <summary>Replaces a file: temporary file, flush, rename, flush of the directory. Readable by the owner only.</summary>
    /// <typeparam name="T">What is written.</typeparam>
    /// <param name="path">The file.</param>
    /// <param name="value">Its new content.</param>
    /// <param name="type">How it is written.</param>
    /// <param name="cancellationToken">Ends the call; the old file stays.</param>
    public static Task WriteAsync<T>(string path, T value, JsonTypeInfo<T> type, CancellationToken cancellationToken) =>
        WriteAsync(path, stream => JsonSerializer.SerializeAsync(stream, value, type, cancellationToken));

    /// <summary>Reads a file; <see langword="null"/> when there is none.</summary>
    /// <typeparam name="T">What is read.</typeparam>
    /// <param name="path">The file.</param>
    /// <param name="type">How it is read.</param>
    /// <exception cref="JsonException">It is damaged.</exception>
    public static T? Read<T>(string path, JsonTypeInfo<T> type)
        where T : class
    {
        try
        {
            return JsonSerializer.Deserialize(File.ReadAllBytes(path), type);
        }
        catch (Exception exception) when (exception is FileNotFoundException or DirectoryNotFoundException)
        {
            return null;
        }
    }

    /// <summary>Makes a directory's entries durable.</summary>
    /// <param name="directory">The directory.</param>
    public static void FlushDirectory(string directory)
    {
        var descriptor = Open(directory, ReadOnlyDirectory);
        if (descriptor >= 0)
        {
            _ = FileSync(descriptor);
            _ = Close(descriptor);
        }
    }

    /// <summary>Writes a text file as <see cref="WriteAsync"/> does.</summary>
    /// <param name="path">The file.</param>
    /// <param name="text">Its new content.</param>
    /// <param name="cancellationToken">Ends the call; the old file stays.</param>
    public static Task WriteTextAsync(string path, string text, CancellationToken cancellationToken) =>
        WriteAsync(path, stream => stream.WriteAsync(Encoding.UTF8.GetBytes(text), cancellationToken).AsTask());

    private static async Task WriteAsync(string path, Func<Stream, Task> write)
    {
        var temporary = path + ".new";
        var stream = new FileStream(temporary, new FileStreamOptions
        {
            Mode = FileMode.Create,
            Access = FileAccess.Write,
            Options = FileOptions.Asynchronous,
            UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite,
        });
        await using (stream.ConfigureAwait(false))
        {
            await write(stream).ConfigureAwait(false);
            stream.Flush(flushToDisk: true);
        }

        File.Move(temporary, path, overwrite: true);
        FlushDirectory(Path.GetDirectoryName(path)!);
    }

    [LibraryImport("libc", EntryPoint = "open", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Open(string path, int flags);

    [LibraryImport("libc", EntryPoint = "fsync")]
    private static partial int FileSync(int descriptor);

    [LibraryImport("libc", EntryPoint = "close")]
    private static partial int Close(int descriptor);
}

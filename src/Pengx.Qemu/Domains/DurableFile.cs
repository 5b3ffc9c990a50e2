using System.Text.Json;
using System.Text.Json.Serialization.Metadata;

namespace Pengx.Qemu;

/// <summary>Small JSON files that are either the old ones or the new ones, whole, whenever the machine stops.</summary>
internal static class DurableFile
{
    /// <summary>Replaces a file: temporary file, flush, rename, flush of the directory. Readable by the owner only.</summary>
    /// <typeparam name="T">What is written.</typeparam>
    /// <param name="path">The file.</param>
    /// <param name="value">Its new content.</param>
    /// <param name="type">How it is written.</param>
    /// <param name="cancellationToken">Ends the call; the old file stays.</param>
    public static async Task WriteAsync<T>(string path, T value, JsonTypeInfo<T> type, CancellationToken cancellationToken)
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
            await JsonSerializer.SerializeAsync(stream, value, type, cancellationToken).ConfigureAwait(false);
            stream.Flush(flushToDisk: true);
        }

        File.Move(temporary, path, overwrite: true);
        FlushDirectory(Path.GetDirectoryName(path)!);
    }

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
        var descriptor = NativeMethods.Open(directory, NativeMethods.ReadOnly | NativeMethods.CloseOnExec, 0);
        if (descriptor >= 0)
        {
            _ = NativeMethods.FileSync(descriptor);
            _ = NativeMethods.Close(descriptor);
        }
    }
}

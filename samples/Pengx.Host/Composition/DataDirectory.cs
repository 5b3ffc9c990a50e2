namespace Pengx.Host;

/// <summary>The directory that holds everything the service keeps. One service at a time may use it.</summary>
internal sealed class DataDirectory : IDisposable
{
    private readonly FileStream _lock;

    private DataDirectory(string path, FileStream @lock)
    {
        Path = path;
        _lock = @lock;
    }

    public string Path { get; }

    /// <summary>Makes the directory where it is missing, readable by its owner alone, and takes it.</summary>
    /// <exception cref="InvalidOperationException">It cannot be used, or another service has it.</exception>
    public static DataDirectory Open(string path)
    {
        try
        {
            Directory.CreateDirectory(path, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
            return new(path, new FileStream(System.IO.Path.Combine(path, "lock"), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None));
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new InvalidOperationException(
                $"Pengx:DataDirectory '{path}' cannot be used: {exception.Message} If another service runs on it, stop that one or name another directory.", exception);
        }
    }

    public void Dispose() => _lock.Dispose();
}

namespace Pengx.Storage;

/// <summary>The directories that images may lie in. Whatever an image names beneath itself must lie in one of them, wherever
/// symbolic links lead; a name that leads out of them is refused before anything opens it.</summary>
public sealed class ImageRoots
{
    private readonly string[] _directories;

    /// <summary>Names the directories.</summary>
    /// <param name="directories">Absolute paths, each of an existing directory.</param>
    /// <exception cref="ArgumentException">One is not an absolute path.</exception>
    /// <exception cref="StorageException">One does not exist.</exception>
    public ImageRoots(IEnumerable<string> directories)
    {
        ArgumentNullException.ThrowIfNull(directories);
        _directories = [.. directories.Select(directory => directory.StartsWith('/')
            ? Posix.Resolve(directory)
            : throw new ArgumentException($"The image root '{directory}' is not an absolute path.", nameof(directories)))];
    }

    /// <summary>Demands that a file lies in one of the directories.</summary>
    /// <param name="path">Its absolute path.</param>
    /// <exception cref="StorageException">It does not, or is not there.</exception>
    public void Demand(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        var resolved = Posix.Resolve(path);
        if (!_directories.Any(directory => directory == "/" || resolved.StartsWith(directory + "/", StringComparison.Ordinal)))
        {
            throw new StorageException($"The image {path} is refused: it lies in none of the directories that images may lie in ({string.Join(", ", _directories)}).");
        }
    }
}

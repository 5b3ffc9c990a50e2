namespace Pengx.Storage;

/// <summary>What attached images are called: <c>/dev/rbd/POOL/UUID</c>, whichever device shows them. The header of an overlay names
/// what it lies on, and a device's number is another one after every attaching.</summary>
/// <remarks>udev makes the same links for the kernel's driver, where it runs.</remarks>
/// <param name="root">Where devices lie; tests have a directory of their own.</param>
internal sealed class RbdDeviceName(string root = "/dev")
{
    private string Directory => Path.Combine(root, "rbd");

    /// <summary>The name of an image's device.</summary>
    public string PathOf(string pool, string image) => Path.Combine(Directory, pool, image);

    /// <summary>The disk in a pool whose device has a name; <see langword="null"/> for another name.</summary>
    public DiskId? Parse(string pool, string path) =>
        path.StartsWith($"{Directory}/{pool}/", StringComparison.Ordinal) && RbdName.Parse(path[(Directory.Length + pool.Length + 2)..]) is { Complete: true } entry ? entry.Disk : null;

    /// <summary>Makes the name one of a device.</summary>
    /// <exception cref="StorageException">It cannot be made.</exception>
    public string Ensure(string pool, string image, string device)
    {
        var path = PathOf(pool, image);
        try
        {
            // udev's leads from where it lies.
            if (new FileInfo(path).LinkTarget is { } target && Path.GetFullPath(target, Path.GetDirectoryName(path)!) == device)
            {
                return path;
            }

            System.IO.Directory.CreateDirectory(Path.GetDirectoryName(path)!);
            var fresh = $"{path}.{Guid.NewGuid():N}";
            File.CreateSymbolicLink(fresh, device);
            File.Move(fresh, path, overwrite: true);
            return path;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new StorageException($"{device} cannot be called {path}: {exception.Message}", exception);
        }
    }

    /// <summary>Takes the name of an image away that has no device any more.</summary>
    /// <exception cref="StorageException">It cannot be taken away.</exception>
    public void Remove(string pool, string image)
    {
        var path = PathOf(pool, image);
        try
        {
            // udev may have been faster.
            File.Delete(path);
        }
        catch (DirectoryNotFoundException)
        {
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new StorageException($"{path} cannot be removed: {exception.Message}", exception);
        }
    }
}

using System.Runtime.Versioning;
using System.Text;

namespace Pengx.Orchestration;

/// <summary>A user's <c>authorized_keys</c>, of which only a marked block is Pengx's.</summary>
[SupportedOSPlatform("linux")]
internal static class AuthorizedKeysFile
{
    private const string Begin = "# BEGIN pengx";
    private const string End = "# END pengx";
    private const int MaxLength = 4 * 1024 * 1024;
    private const UnixFileMode OthersWrite = UnixFileMode.GroupWrite | UnixFileMode.OtherWrite;
    private const UnixFileMode OwnersFile = UnixFileMode.UserRead | UnixFileMode.UserWrite;

    /// <summary>Puts keys into the block of a file that is its owner's alone, in one go and for good; does nothing where that is so already.</summary>
    /// <param name="path">The file; it is made where there is none and there are keys.</param>
    /// <param name="keys">The keys, checked, a line each.</param>
    /// <returns>Whether the file was written.</returns>
    /// <exception cref="WrongStateException">The file is not as it should be; a person has to look.</exception>
    /// <exception cref="UnavailableException">Another program wrote it in between.</exception>
    /// <exception cref="StorageException">It cannot be read or written.</exception>
    public static bool Update(string path, IReadOnlyList<string> keys)
    {
        try
        {
            var directory = Path.GetDirectoryName(path)!;
            CheckDirectory(directory);
            var old = Read(path);
            var content = Merge(old ?? [], keys, path);
            if (content.AsSpan().SequenceEqual(old ?? []) && (keys.Count == 0 || HostFile.Status(path)?.Mode == OwnersFile))
            {
                return false;
            }

            Write(path, directory, old, content);
            return true;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new StorageException($"{path} cannot be updated: {error.Message}", error);
        }
    }

    private static void CheckDirectory(string directory)
    {
        if (HostFile.Status(directory) is not { } status)
        {
            return;
        }

        if (status.IsLink)
        {
            throw new WrongStateException($"{directory} is a symbolic link, which is not followed; configure the path of the authorized keys behind it.");
        }

        if ((status.Mode & OthersWrite) != 0)
        {
            throw new WrongStateException($"{directory} can be written by others than its owner; take that right from them first (chmod go-w).");
        }
    }

    private static byte[]? Read(string path)
    {
        if (HostFile.Status(path) is not { } status)
        {
            return null;
        }

        if (!status.IsRegular)
        {
            throw new WrongStateException(status.IsLink
                ? $"{path} is a symbolic link, which is not followed; configure the path of the authorized keys behind it."
                : $"{path} is not a regular file.");
        }

        return status.Size <= MaxLength ? File.ReadAllBytes(path) : throw new WrongStateException($"{path} is larger than {MaxLength} bytes.");
    }

    private static byte[] Merge(byte[] old, IReadOnlyList<string> keys, string path)
    {
        var block = keys.Count == 0 ? [] : Encoding.UTF8.GetBytes($"{Begin}\n{string.Join('\n', keys)}\n{End}\n");
        if (FindBlock(old, path) is var (start, end))
        {
            return [.. old.AsSpan(0, start), .. block, .. old.AsSpan(end)];
        }

        // At the end: of two lines for one key the first holds, and an administrator's may carry restrictions.
        return block.Length == 0 ? old
            : old.Length == 0 || old[^1] == '\n' ? [.. old, .. block]
            : [.. old, (byte)'\n', .. block];
    }

    /// <summary>Where the block begins and ends, its marks included.</summary>
    private static (int Start, int End)? FindBlock(byte[] content, string path)
    {
        (int Start, int End)? found = null;
        int? begun = null;
        for (int at = 0, next; at < content.Length; at = next)
        {
            var newline = content.AsSpan(at).IndexOf((byte)'\n');
            next = newline < 0 ? content.Length : at + newline + 1;
            var line = content.AsSpan(at..next).TrimEnd("\r\n"u8);
            var (begins, ends) = (line.SequenceEqual(Encoding.ASCII.GetBytes(Begin)), line.SequenceEqual(Encoding.ASCII.GetBytes(End)));
            if ((begins && (begun is not null || found is not null)) || (ends && begun is null))
            {
                throw Damaged();
            }

            if (begins)
            {
                begun = at;
            }
            else if (ends)
            {
                found = (begun!.Value, next);
                begun = null;
            }
        }

        return begun is null ? found : throw Damaged();

        WrongStateException Damaged() => new($"{path} does not hold '{Begin}' and '{End}' once each, in this order; put that right or delete both lines.");
    }

    private static void Write(string path, string directory, byte[]? old, byte[] content)
    {
        if (HostFile.Status(directory) is null)
        {
            Directory.CreateDirectory(directory, OwnersFile | UnixFileMode.UserExecute);
            HostFile.SyncDirectory(Path.GetDirectoryName(directory) ?? "/");
        }

        // Always the same name, so that a crash leaves one at most, and the next run takes it away.
        var temporary = Path.Combine(directory, ".authorized_keys.pengx");
        File.Delete(temporary);
        try
        {
            using (var file = new FileStream(temporary, new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write, UnixCreateMode = OwnersFile }))
            {
                if (old is not null && HostFile.Status(path) is { } status)
                {
                    HostFile.Give(file.SafeFileHandle, temporary, status);
                }

                file.Write(content);
                file.Flush(flushToDisk: true);
            }

            var now = Read(path);
            if (now is null != old is null || !now.AsSpan().SequenceEqual(old))
            {
                throw new UnavailableException($"{path} was changed by another program in between; try again.");
            }

            File.Move(temporary, path, overwrite: true);
        }
        catch
        {
            File.Delete(temporary);
            throw;
        }

        HostFile.SyncDirectory(directory);
    }
}

using System.Text.Json;

namespace Pengx.Orchestration;

/// <summary>Keeps a secret between its request and the tool that is to know it: in a file of the owner's alone.</summary>
internal static class StorageSecrets
{
    public static string? Keep(string directory, string? secret)
    {
        if (secret is null)
        {
            return null;
        }

        try
        {
            const UnixFileMode Owner = UnixFileMode.UserRead | UnixFileMode.UserWrite;
            var path = Path.Combine(directory, Guid.NewGuid().ToString("N"));
            var options = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write };
            if (OperatingSystem.IsWindows())
            {
                Directory.CreateDirectory(directory);
            }
            else
            {
                Directory.CreateDirectory(directory, Owner | UnixFileMode.UserExecute);
                options.UnixCreateMode = Owner;
            }

            using var file = new FileStream(path, options);
            file.Write(System.Text.Encoding.ASCII.GetBytes(secret));
            file.Flush(flushToDisk: true);
            return path;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw Unusable(directory, error);
        }
    }

    public static void Forget(string? path)
    {
        if (path is not null)
        {
            File.Delete(path);
        }
    }

    /// <summary>Removes what no operation will hand on any more: of a service that was killed before the operation was journaled, or of
    /// an operation that was cancelled before its first step.</summary>
    /// <param name="directory">Where secrets wait.</param>
    /// <param name="journal">The operations.</param>
    /// <param name="before">Younger ones may be of operations that are just being journaled.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    /// <exception cref="StorageException">The directory cannot be read, or nothing removed from it.</exception>
    public static async Task ForgetLeftAsync(string directory, IOperationJournal journal, DateTimeOffset before, CancellationToken cancellationToken)
    {
        var left = Find(directory, before);
        if (left.Count == 0)
        {
            return;
        }

        await foreach (var record in journal.ListAsync(new() { UnfinishedOnly = true, Limit = int.MaxValue }, cancellationToken).ConfigureAwait(false))
        {
            if (record.Kind.StartsWith("storage.", StringComparison.Ordinal))
            {
                try
                {
                    left.Remove(JsonSerializer.Deserialize(record.Checkpoint.StateJson, JournalJson.Default.StorageState)!.Order.ChapSecretFile ?? string.Empty);
                }
                catch (JsonException)
                {
                    // Which secret this one waits for cannot be told.
                    return;
                }
            }
        }

        try
        {
            foreach (var path in left)
            {
                File.Delete(path);
            }
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw Unusable(directory, error);
        }
    }

    private static HashSet<string> Find(string directory, DateTimeOffset before)
    {
        try
        {
            return Directory.Exists(directory)
                ? [.. Directory.EnumerateFiles(directory).Where(path => Guid.TryParseExact(Path.GetFileName(path), "N", out _) && File.GetLastWriteTimeUtc(path) < before)]
                : [];
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw Unusable(directory, error);
        }
    }

    private static StorageException Unusable(string directory, Exception error) => new($"The directory for secrets, {directory}, cannot be used: {error.Message}", error);
}

using System.Text;

namespace Pengx.Orchestration;

/// <summary>Keeps this PM's identifier in a file, so that it is the same after every restart.</summary>
public static class LocalHostFile
{
    private const string FileName = "pm.id";

    /// <summary>Reads this PM's identity, generating and keeping its identifier the first time.</summary>
    /// <param name="dataDirectory">The service's data directory; it is made if it is missing.</param>
    /// <param name="name">The PM's name; the host's name when not given.</param>
    /// <param name="id">The identifier where it is configured; it is then not kept.</param>
    /// <exception cref="UnavailableException">The file cannot be read or written, or holds something else.</exception>
    public static LocalHost Load(string dataDirectory, string? name = null, PmId? id = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(dataDirectory);
        var shown = string.IsNullOrWhiteSpace(name) ? Environment.MachineName : name.Trim();
        if (id is { } configured)
        {
            return new LocalHost { Id = configured, Name = shown };
        }

        var path = Path.Combine(dataDirectory, FileName);
        try
        {
            if (!File.Exists(path))
            {
                Directory.CreateDirectory(dataDirectory);
                Write(path, PmId.New());
            }

            return PmId.TryParse(File.ReadAllText(path), out var kept)
                ? new LocalHost { Id = kept, Name = shown }
                : throw new UnavailableException($"{path} holds no UUID; put this PM's UUID back into it, or configure it.");
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new UnavailableException($"This PM's UUID cannot be kept in {path}: {error.Message}", error);
        }
    }

    private static void Write(string path, PmId id)
    {
        var temporary = $"{path}.{Guid.NewGuid():N}";
        using (var file = new FileStream(temporary, FileMode.CreateNew, FileAccess.Write))
        {
            file.Write(Encoding.ASCII.GetBytes($"{id}\n"));
            file.Flush(flushToDisk: true);
        }

        try
        {
            File.Move(temporary, path, overwrite: false);
        }
        catch (IOException) when (File.Exists(path))
        {
            // Another start was faster; its identifier holds.
            File.Delete(temporary);
        }
    }
}

using System.Security.Cryptography;

namespace Pengx.Storage;

// What makes a directory a place for backups.
public sealed partial class LocalStorage
{
    private const string DescriptionSuffix = ".backup.json";
    private const string DescriptionPart = ".part";
    private const int DigestBuffer = 1024 * 1024;
    private const int MaxDescription = 4 * 1024 * 1024;

    /// <inheritdoc/>
    public async Task<BackupFile> DigestAsync(Storlink storlink, DiskId disk, DiskFormat format, IProgress<ByteProgress>? progress = null, CancellationToken cancellationToken = default)
    {
        var path = await AskAsync(storlink, () => PathOf(storlink, disk, format), cancellationToken).ConfigureAwait(false);
        using var handle = await AskAsync(storlink, () => Posix.OpenRead(path), cancellationToken).ConfigureAwait(false);
        var length = await AskAsync(
            storlink,
            () => Posix.IsOpenForWritingElsewhere(handle, path) ? throw new InUseException($"The image {path} is open for writing; close it first.") : Posix.LengthOf(handle, path),
            cancellationToken).ConfigureAwait(false);
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);

        // Not a shared one: a read that was given up may still write into it.
        var buffer = new byte[DigestBuffer];
        for (long offset = 0; offset < length;)
        {
            var (from, count) = (offset, (int)Math.Min(DigestBuffer, length - offset));
            var read = await AskAsync(storlink, () => Posix.Read(handle, path, buffer.AsSpan(0, count), from), _options.StallTimeout, cancellationToken).ConfigureAwait(false);
            if (read == 0)
            {
                throw new StorageException($"The image {path} became shorter while it was read.");
            }

            hash.AppendData(buffer, 0, read);
            offset += read;
            progress?.Report(new(offset, length));
        }

        return new(Path.GetFileName(path), length, Convert.ToHexStringLower(hash.GetHashAndReset()));
    }

    /// <inheritdoc/>
    public Task WriteDescriptionAsync(Storlink storlink, BackupId backup, ReadOnlyMemory<byte> content, CancellationToken cancellationToken = default) =>
        AskAsync(
            storlink,
            () =>
            {
                var directory = DirectoryOf(storlink);
                var (path, part) = DescriptionOf(directory, backup);
                File.Delete(part);
                using (var handle = Posix.CreateNew(part))
                {
                    Posix.Write(handle, part, content.Span, 0);
                    RandomAccess.FlushToDisk(handle);
                }

                File.Move(part, path, overwrite: true);
                Posix.SyncDirectory(directory);
            },
            _options.StallTimeout,
            cancellationToken);

    /// <inheritdoc/>
    public Task<byte[]?> ReadDescriptionAsync(Storlink storlink, BackupId backup, CancellationToken cancellationToken = default) =>
        AskAsync(storlink, () =>
        {
            var (path, _) = DescriptionOf(DirectoryOf(storlink), backup);
            if (Posix.Status(path) is not { } status)
            {
                return null;
            }

            if (!status.IsRegular)
            {
                throw new StorageException($"{path} is not a plain file, and is not read as a backup's description.");
            }

            using var handle = Posix.OpenRead(path);
            var length = Posix.LengthOf(handle, path);
            if (length > MaxDescription)
            {
                throw new StorageException($"{path} has {length} bytes; a backup's description has at most {MaxDescription}.");
            }

            var content = new byte[length];
            var read = RandomAccess.Read(handle, content, 0);
            return read == length ? content : throw new StorageException($"{path} became shorter while it was read.");
        }, cancellationToken);

    /// <inheritdoc/>
    public Task DeleteDescriptionAsync(Storlink storlink, BackupId backup, CancellationToken cancellationToken = default) =>
        AskAsync(storlink, () =>
        {
            var directory = DirectoryOf(storlink);
            var (path, part) = DescriptionOf(directory, backup);
            File.Delete(path);
            File.Delete(part);
            Posix.SyncDirectory(directory);
        }, cancellationToken);

    /// <inheritdoc/>
    public Task<IReadOnlyList<BackupId>> ListDescriptionsAsync(Storlink storlink, CancellationToken cancellationToken = default) =>
        AskAsync<IReadOnlyList<BackupId>>(storlink, () =>
        [
            .. Directory.EnumerateFiles(DirectoryOf(storlink), $"*{DescriptionSuffix}*", new EnumerationOptions { AttributesToSkip = FileAttributes.None })
                .Select(path => ParseDescription(Path.GetFileName(path))).OfType<BackupId>().Distinct(),
        ], cancellationToken);

    private static (string Path, string Part) DescriptionOf(string directory, BackupId backup) =>
        (Path.Combine(directory, $"{backup}{DescriptionSuffix}"), Path.Combine(directory, $".{backup}{DescriptionSuffix}{DescriptionPart}"));

    private static BackupId? ParseDescription(string name)
    {
        var rest = name.StartsWith('.') && name.EndsWith(DescriptionPart, StringComparison.Ordinal) ? name[1..^DescriptionPart.Length] : name;
        return rest.EndsWith(DescriptionSuffix, StringComparison.Ordinal)
            && BackupId.TryParse(rest[..^DescriptionSuffix.Length], out var id)
            && rest == $"{id}{DescriptionSuffix}"
                ? id
                : null;
    }
}

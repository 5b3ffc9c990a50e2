namespace Pengx;

/// <summary>An optional ability of a storage backend that keeps volumes as plain files: checksums of them, and a small description
/// beside them, so that a backup can be proven whole, and be read without Pengx. Found by
/// <see cref="IStorageBackend.TryGetFeature{TFeature}"/>.</summary>
public interface IBackupFiles
{
    /// <summary>Reads the whole file of a volume and makes its SHA-256 checksum. The volume must be at rest.</summary>
    /// <param name="storlink">The storage link.</param>
    /// <param name="disk">The disk.</param>
    /// <param name="format">The format recorded for it.</param>
    /// <param name="progress">Told of bytes read.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <exception cref="StorageException">There is no such volume, or it cannot be read; the message names the file.</exception>
    Task<BackupFile> DigestAsync(Storlink storlink, DiskId disk, DiskFormat format, IProgress<ByteProgress>? progress = null, CancellationToken cancellationToken = default);

    /// <summary>Writes a backup's description beside its volumes: wholly or not at all, durable when this returns. One that is there
    /// is replaced.</summary>
    /// <param name="storlink">The storage link.</param>
    /// <param name="backup">The backup.</param>
    /// <param name="content">The description.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    Task WriteDescriptionAsync(Storlink storlink, BackupId backup, ReadOnlyMemory<byte> content, CancellationToken cancellationToken = default);

    /// <summary>Reads a backup's description; <see langword="null"/> when there is none.</summary>
    /// <param name="storlink">The storage link.</param>
    /// <param name="backup">The backup.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    /// <exception cref="StorageException">It cannot be read, or is far too long; the message names the file.</exception>
    Task<byte[]?> ReadDescriptionAsync(Storlink storlink, BackupId backup, CancellationToken cancellationToken = default);

    /// <summary>Removes a backup's description, half written ones, too. None: succeeds.</summary>
    /// <param name="storlink">The storage link.</param>
    /// <param name="backup">The backup.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    Task DeleteDescriptionAsync(Storlink storlink, BackupId backup, CancellationToken cancellationToken = default);

    /// <summary>The backups that have a description on the storage link, half written ones included.</summary>
    /// <param name="storlink">The storage link.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    Task<IReadOnlyList<BackupId>> ListDescriptionsAsync(Storlink storlink, CancellationToken cancellationToken = default);
}

/// <summary>The file of a volume, and its checksum.</summary>
/// <param name="Name">The file's name in the storage link's directory.</param>
/// <param name="Bytes">Its length.</param>
/// <param name="Sha256">Its SHA-256 checksum, in lower-case hexadecimal.</param>
public sealed record BackupFile(string Name, long Bytes, string Sha256);

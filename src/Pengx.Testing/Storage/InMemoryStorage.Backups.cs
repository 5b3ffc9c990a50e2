using System.Security.Cryptography;
using System.Text;

namespace Pengx.Testing;

// Checksums are made of what a volume shows, its content standing for its bytes.
public sealed partial class InMemoryStorage : IBackupFiles
{
    private readonly Dictionary<(StorlinkId Storlink, BackupId Backup), byte[]> _descriptions = [];

    /// <summary>Damages a volume, as a failing disk does.</summary>
    /// <param name="disk">The disk.</param>
    /// <param name="content">What it shows from then on.</param>
    public void Damage(DiskId disk, string content)
    {
        lock (_gate)
        {
            var key = _volumes.Keys.First(key => key.Disk == disk);
            _volumes[key] = _volumes[key] with { Content = content, Written = _volumes[key].Written.Clear() };
        }
    }

    /// <inheritdoc/>
    public Task<BackupFile> DigestAsync(Storlink storlink, DiskId disk, DiskFormat format, IProgress<ByteProgress>? progress = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(storlink);
        Enter(nameof(DigestAsync), cancellationToken);
        lock (_gate)
        {
            // An overlay's file has what it holds itself, and a header that names what lies beneath.
            var volume = Demand(storlink, disk);
            var content = Encoding.UTF8.GetBytes(volume.Backing is { } backing
                ? $"{volume.Over(null)} on {backing.Location}"
                : Seen(volume).ToString());
            progress?.Report(new(content.Length, content.Length));
            return Task.FromResult(new BackupFile($"{disk}.{format.Name}", content.Length, Convert.ToHexStringLower(SHA256.HashData(content))));
        }
    }

    /// <inheritdoc/>
    public Task WriteDescriptionAsync(Storlink storlink, BackupId backup, ReadOnlyMemory<byte> content, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(storlink);
        Enter(nameof(WriteDescriptionAsync), cancellationToken);
        lock (_gate)
        {
            _descriptions[(storlink.Id, backup)] = content.ToArray();
            return Task.CompletedTask;
        }
    }

    /// <inheritdoc/>
    public Task<byte[]?> ReadDescriptionAsync(Storlink storlink, BackupId backup, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(storlink);
        Enter(nameof(ReadDescriptionAsync), cancellationToken);
        lock (_gate)
        {
            return Task.FromResult(_descriptions.GetValueOrDefault((storlink.Id, backup)));
        }
    }

    /// <inheritdoc/>
    public Task DeleteDescriptionAsync(Storlink storlink, BackupId backup, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(storlink);
        Enter(nameof(DeleteDescriptionAsync), cancellationToken);
        lock (_gate)
        {
            _descriptions.Remove((storlink.Id, backup));
            return Task.CompletedTask;
        }
    }

    /// <inheritdoc/>
    public Task<IReadOnlyList<BackupId>> ListDescriptionsAsync(Storlink storlink, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(storlink);
        Enter(nameof(ListDescriptionsAsync), cancellationToken);
        lock (_gate)
        {
            return Task.FromResult<IReadOnlyList<BackupId>>([.. _descriptions.Keys.Where(key => key.Storlink == storlink.Id).Select(key => key.Backup)]);
        }
    }
}

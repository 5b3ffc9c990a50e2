namespace Pengx;

/// <summary>The backups in the database. Changes hold after <see cref="IStoreSession.SaveAsync"/>.</summary>
public interface IBackupRepository
{
    /// <summary>One of them; <see langword="null"/> when there is none.</summary>
    /// <param name="id">Its identifier.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    Task<Backup?> FindAsync(BackupId id, CancellationToken cancellationToken = default);

    /// <summary>Those of one machine, by creation.</summary>
    /// <param name="vm">The machine.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    Task<IReadOnlyList<Backup>> ListByVmAsync(VmId vm, CancellationToken cancellationToken = default);

    /// <summary>Adds one, with revision 0.</summary>
    /// <param name="row">What to add.</param>
    void Add(Backup row);

    /// <summary>Replaces one; its revision must be the stored one, and counts up by one.</summary>
    /// <param name="row">What it shall be.</param>
    void Update(Backup row);

    /// <summary>Deletes one; its revision must be the stored one.</summary>
    /// <param name="row">What to delete.</param>
    void Delete(Backup row);
}

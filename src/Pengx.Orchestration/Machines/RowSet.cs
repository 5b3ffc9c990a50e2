namespace Pengx.Orchestration;

/// <summary>Rows that come and go together. Both directions are idempotent, so a step that was interrupted is run again.</summary>
internal sealed record RowSet
{
    public VirtualMachine? Machine { get; init; }

    public Template? Template { get; init; }

    public Storlink? Storlink { get; init; }

    public Backup? Backup { get; init; }

    public IReadOnlyList<Disk> Disks { get; init; } = [];

    public IReadOnlyList<VmInterface> Interfaces { get; init; } = [];

    public IReadOnlyList<Snapshot> Snapshots { get; init; } = [];

    public Task AddAsync(IPengxStore store, CancellationToken cancellationToken) => store.ChangeAsync(
        async session =>
        {
            if (Storlink is not null && await session.Storlinks.FindAsync(Storlink.Id, cancellationToken).ConfigureAwait(false) is null)
            {
                session.Storlinks.Add(Storlink with { Revision = 0 });
            }

            if (Template is not null && await session.Templates.FindAsync(Template.Id, cancellationToken).ConfigureAwait(false) is null)
            {
                session.Templates.Add(Template with { Revision = 0 });
            }

            if (Machine is not null && await session.VirtualMachines.FindAsync(Machine.Id, cancellationToken).ConfigureAwait(false) is null)
            {
                session.VirtualMachines.Add(Machine with { Revision = 0 });
            }

            if (Backup is not null && await session.Backups.FindAsync(Backup.Id, cancellationToken).ConfigureAwait(false) is null)
            {
                session.Backups.Add(Backup with { Revision = 0 });
            }

            foreach (var snapshot in Snapshots)
            {
                if (await session.Snapshots.FindAsync(snapshot.Id, cancellationToken).ConfigureAwait(false) is null)
                {
                    session.Snapshots.Add(snapshot with { Revision = 0 });
                }
            }

            foreach (var disk in Disks)
            {
                if (await session.Disks.FindAsync(disk.Id, cancellationToken).ConfigureAwait(false) is not { } there)
                {
                    session.Disks.Add(disk with { Revision = 0 });
                }
                else if (there.Owner != disk.Owner)
                {
                    throw new InUseException($"Image {disk.Id} already is a disk of {there.Owner.Kind} {there.Owner.Id:D}.");
                }
            }

            foreach (var nic in Interfaces)
            {
                if (await session.VmInterfaces.FindAsync(nic.Id, cancellationToken).ConfigureAwait(false) is null)
                {
                    session.VmInterfaces.Add(nic with { Revision = 0 });
                }
            }
        },
        cancellationToken);

    public Task RemoveAsync(IPengxStore store, CancellationToken cancellationToken) => store.ChangeAsync(
        async session =>
        {
            foreach (var nic in Interfaces)
            {
                if (await session.VmInterfaces.FindAsync(nic.Id, cancellationToken).ConfigureAwait(false) is { } row)
                {
                    session.VmInterfaces.Delete(row);
                }
            }

            foreach (var disk in Disks)
            {
                // Another's disk is not ours to take away, as where it came first.
                if (await session.Disks.FindAsync(disk.Id, cancellationToken).ConfigureAwait(false) is { } row && row.Owner == disk.Owner)
                {
                    session.Disks.Delete(row);
                }
            }

            foreach (var snapshot in Snapshots)
            {
                if (await session.Snapshots.FindAsync(snapshot.Id, cancellationToken).ConfigureAwait(false) is { } row)
                {
                    session.Snapshots.Delete(row);
                }
            }

            if (Backup is not null && await session.Backups.FindAsync(Backup.Id, cancellationToken).ConfigureAwait(false) is { } backup)
            {
                session.Backups.Delete(backup);
            }

            if (Machine is not null && await session.VirtualMachines.FindAsync(Machine.Id, cancellationToken).ConfigureAwait(false) is { } machine)
            {
                session.VirtualMachines.Delete(machine);
            }

            if (Template is not null && await session.Templates.FindAsync(Template.Id, cancellationToken).ConfigureAwait(false) is { } template)
            {
                session.Templates.Delete(template);
            }

            if (Storlink is not null && await session.Storlinks.FindAsync(Storlink.Id, cancellationToken).ConfigureAwait(false) is { } storlink)
            {
                session.Storlinks.Delete(storlink);
            }
        },
        cancellationToken);
}

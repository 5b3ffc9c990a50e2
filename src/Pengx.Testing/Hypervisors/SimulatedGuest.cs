namespace Pengx.Testing;

/// <summary>A guest of the <see cref="SimulatedHost"/>, to be steered by a test: how it behaves, and what it does on its own.</summary>
public sealed class SimulatedGuest
{
    private readonly SimulatedHost _host;

    internal SimulatedGuest(SimulatedHost host, DomainId id)
    {
        _host = host;
        Id = id;
    }

    /// <summary>The guest's domain.</summary>
    public DomainId Id { get; }

    /// <summary>Whether the guest shuts down when it is asked to.</summary>
    public bool ObeysShutdown { get; set; } = true;

    /// <summary>Whether the guest reboots when it is asked to.</summary>
    public bool ObeysReboot { get; set; } = true;

    /// <summary>Whether the guest lets a device go when it is unplugged.</summary>
    public bool AllowsUnplug { get; set; } = true;

    /// <summary>Whether the guest takes more processors or memory while it runs.</summary>
    public bool AllowsGrowing { get; set; } = true;

    /// <summary>Whether an agent in the guest answers, which freezes its file systems when asked.</summary>
    public bool HasAgent { get; set; }

    /// <summary>Whether a shutdown was asked of the guest since it started.</summary>
    public bool ShutdownRequested => _host.WithRunning(Id, running => running.ShutdownRequested, false);

    /// <summary>The name that the running domain has; <see langword="null"/> while it does not run.</summary>
    public string? Name => _host.WithRunning<string?>(Id, running => running.Name, null);

    /// <summary>The disks that are plugged in now.</summary>
    public IReadOnlyList<DomainDisk> Disks => _host.WithRunning<IReadOnlyList<DomainDisk>>(Id, running => [.. running.Disks], []);

    /// <summary>The network interfaces that are plugged in now.</summary>
    public IReadOnlyList<DomainNic> Nics => _host.WithRunning<IReadOnlyList<DomainNic>>(Id, running => [.. running.Nics], []);

    /// <summary>The ISO image in the CD-ROM drive.</summary>
    public string? IsoPath => _host.WithRunning<string?>(Id, running => running.Definition.IsoPath, null);

    /// <summary>What the guest remembers: gone when it ends, and back where it goes on with memory that was kept.</summary>
    public string? Remembered
    {
        get => _host.WithRunning<string?>(Id, running => running.Remembered, null);
        set => _host.WithRunning(Id, running => running.Remembered = value, value);
    }

    /// <summary>How often the guest was started.</summary>
    public int Starts { get; internal set; }

    /// <summary>The guest shuts itself down, as after <c>poweroff</c> typed inside.</summary>
    public void ShutDown() => _host.End(Id, VmState.Shutdown);

    /// <summary>The guest ends by a fault.</summary>
    public void Crash() => _host.End(Id, VmState.Crashed);

    /// <summary>The guest reboots on its own.</summary>
    public void Reboot() => _host.RebootGuest(Id);

    /// <summary>The backups that a disk's changed blocks are noted since, on any of its layers.</summary>
    /// <param name="vdev">The disk's device.</param>
    public IReadOnlyList<BackupId> NotedSince(string vdev) => _host.WithRunning<IReadOnlyList<BackupId>>(
        Id,
        running => [.. running.Notes.Keys.Where(note => running.Disks.Any(disk => disk.Vdev == vdev && disk.Layers.Contains(note.Layer))).Select(note => note.Since).Distinct()],
        []);

    /// <summary>Makes what was noted of a disk's changed blocks worthless, as a hypervisor finds it that could not store it.</summary>
    /// <param name="vdev">The disk's device.</param>
    /// <param name="fault">Why.</param>
    public void BreakNotes(string vdev, string fault) => ChangeNotes(vdev, (notes, key) => notes[key] = notes[key] with { Fault = fault });

    /// <summary>Loses what was noted of a disk's changed blocks, as a hypervisor does that keeps it in memory alone.</summary>
    /// <param name="vdev">The disk's device.</param>
    public void LoseNotes(string vdev) => ChangeNotes(vdev, (notes, key) => notes.Remove(key));

    /// <summary>The guest writes to a disk: what the disk's top image shows from now on, where <see cref="SimulatedHost.Storage"/> is set.</summary>
    /// <param name="vdev">The disk's device.</param>
    /// <param name="content">What the disk then holds.</param>
    public void Write(string vdev, string content) => _host.Write(Id, vdev, content);

    private void ChangeNotes(string vdev, Action<Dictionary<(DiskLayer Layer, BackupId Since), SimulatedHost.SimulatedNote>, (DiskLayer Layer, BackupId Since)> change) => _host.WithRunning(
        Id,
        running =>
        {
            foreach (var key in running.Notes.Keys.Where(note => running.Disks.Any(disk => disk.Vdev == vdev && disk.Layers.Contains(note.Layer))).ToList())
            {
                change(running.Notes, key);
            }

            return true;
        },
        false);
}

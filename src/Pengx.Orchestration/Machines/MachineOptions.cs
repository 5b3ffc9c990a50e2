namespace Pengx.Orchestration;

/// <summary>How machines are made, started and stopped.</summary>
public sealed class MachineOptions
{
    /// <summary>How long a shutdown waits for the guest before it succeeds with the guest still running.</summary>
    /// <value>30 seconds.</value>
    public TimeSpan ShutdownWait { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>How long a reboot waits for the guest before it succeeds with the guest running on as it was.</summary>
    /// <value>30 seconds.</value>
    public TimeSpan RebootWait { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>Whether machines made from a template are qcow2 overlays of its disks instead of full copies.</summary>
    /// <value>Off.</value>
    public bool LinkedClones { get; set; }

    /// <summary>How many images a disk may consist of, one upon the other, when a snapshot is taken: every layer costs at every read.</summary>
    /// <value>32; 60 at most.</value>
    public int MaxDiskLayers { get; set; } = 32;

    /// <summary>The virtual processors that every machine can be grown to while it runs, where it starts with fewer.</summary>
    /// <value>4.</value>
    public int HotplugCpus { get; set; } = 4;

    /// <summary>How many bytes of images are copied or moved in a second at most, by each operation.</summary>
    /// <value>Not set: as fast as it goes.</value>
    public long? CopyBytesPerSecond { get; set; }

    /// <summary>The format of backups' images.</summary>
    /// <value>qcow2: a backup takes no more space than what was written.</value>
    public DiskFormat BackupFormat { get; set; } = DiskFormat.Qcow2;

    /// <summary>The virtual processors of a template that is booted to install it.</summary>
    /// <value>1.</value>
    public int TemplateCpus { get; set; } = 1;

    /// <summary>The memory in MiB of a template that is booted to install it.</summary>
    /// <value>1024.</value>
    public long TemplateMemoryMiB { get; set; } = 1024;

    /// <summary>Directories whose <c>.iso</c> files can be put into a template's CD-ROM drive.</summary>
    public IList<string> IsoDirectories { get; } = [];

    /// <summary>How long a storage link's measured size and free space are good.</summary>
    /// <value>5 seconds.</value>
    public TimeSpan CapacityLifetime { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>How long measuring one storage link may take before its figures are left out.</summary>
    /// <value>5 seconds.</value>
    public TimeSpan MeasureTimeout { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>How often this PM says that it is up.</summary>
    /// <value>30 seconds; peers count a PM as down after <see cref="PhysicalMachine.HeartbeatTimeout"/>.</value>
    public TimeSpan HeartbeatInterval { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>The directory where this PM's own public SSH key is looked for: the first good one of <c>id_ed25519.pub</c>,
    /// <c>id_ecdsa.pub</c> and <c>id_rsa.pub</c>.</summary>
    /// <value>Not set: <c>.ssh</c> in the home of the service's user.</value>
    public string? SshDirectory { get; set; }

    /// <summary>The file that takes the public SSH keys of all PMs; an absolute path. Symbolic links are not followed.</summary>
    /// <value>Not set: <c>authorized_keys</c> in <see cref="SshDirectory"/>.</value>
    public string? AuthorizedKeysPath { get; set; }

    internal string? ResolvedSshDirectory => SshDirectory
        ?? (Environment.GetFolderPath(Environment.SpecialFolder.UserProfile) is { Length: > 0 } home ? Path.Combine(home, ".ssh") : null);

    internal string? ResolvedAuthorizedKeysPath => AuthorizedKeysPath
        ?? (ResolvedSshDirectory is { } directory ? Path.Combine(directory, "authorized_keys") : null);
}

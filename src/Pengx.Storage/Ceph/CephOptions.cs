namespace Pengx.Storage;

/// <summary>How an RBD image is made usable on a host.</summary>
public enum CephAttachMode
{
    /// <summary>By QEMU's own RBD driver: nothing is attached, the hypervisor opens the image itself.</summary>
    Qemu,

    /// <summary>By the kernel's RBD driver, as <c>/dev/rbdN</c>: for Xen, and for whatever needs a block device. Needs root and
    /// the kernel module <c>rbd</c>.</summary>
    Kernel,

    /// <summary>By <c>qemu-storage-daemon</c> and a loop device, as <c>/dev/loopN</c>: where a block device is needed and the
    /// kernel has no RBD driver. Needs root, FUSE and loop devices.</summary>
    UserSpace,
}

/// <summary>How <see cref="RbdStorage"/> reaches a Ceph cluster. The user's key is read from a file by Ceph's own libraries and
/// never seen here.</summary>
public sealed class CephOptions
{
    /// <summary>The cluster's configuration file.</summary>
    /// <value>Default <c>/etc/ceph/ceph.conf</c>.</value>
    public string ConfigurationFile { get; set; } = "/etc/ceph/ceph.conf";

    /// <summary>The Ceph user, without <c>client.</c>. It needs the capabilities <c>mon 'profile rbd' osd 'profile rbd pool=…'
    /// mgr 'profile rbd pool=…'</c>.</summary>
    /// <value>Default <c>admin</c>.</value>
    public string User { get; set; } = "admin";

    /// <summary>The file with the user's key.</summary>
    /// <value>Default none: the one that the configuration names, or where Ceph looks for it.</value>
    public string? Keyring { get; set; }

    /// <summary>Where the configuration files lie that are made from <see cref="ConfigurationFile"/>: one with bounds on every
    /// wait, for tools, and one for guests, whose definitions name it. It must survive a restart of the host.</summary>
    /// <value>Default <c>/var/lib/pengx/ceph</c>.</value>
    public string StateDirectory { get; set; } = "/var/lib/pengx/ceph";

    /// <summary>Where what is attached in user space is mounted.</summary>
    /// <value>Default <c>/run/pengx-ceph</c>.</value>
    public string RunDirectory { get; set; } = "/run/pengx-ceph";

    /// <summary>Where the locks lie by which processes of this host keep off each other's disks.</summary>
    /// <value>Default <c>/run/pengx/leases</c>.</value>
    public string LeaseDirectory { get; set; } = "/run/pengx/leases";

    /// <summary>How images are made usable on this host.</summary>
    /// <value>Default <see cref="CephAttachMode.Qemu"/>.</value>
    public CephAttachMode Attach { get; set; }

    /// <summary>How long connecting to the cluster may take, of tools and of guests that start.</summary>
    /// <value>Default 15 seconds.</value>
    public TimeSpan ConnectTimeout { get; set; } = TimeSpan.FromSeconds(15);

    /// <summary>How long the cluster may take for one operation on an object before a tool gives up. Guests wait for as long as
    /// it takes: an error would damage their file systems.</summary>
    /// <value>Default 30 seconds.</value>
    public TimeSpan OperationTimeout { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>How long a tool may run that neither copies nor removes data.</summary>
    /// <value>Default 2 minutes.</value>
    public TimeSpan CommandTimeout { get; set; } = TimeSpan.FromMinutes(2);

    /// <summary>How long it may take to free the space of a removed image. One that takes longer goes on to be listed as
    /// incomplete, and the next removal of the disk continues.</summary>
    /// <value>Default 30 minutes.</value>
    public TimeSpan RemoveTimeout { get; set; } = TimeSpan.FromMinutes(30);

    /// <summary>How long a copy may go without moving by one percent.</summary>
    /// <value>Default 30 minutes.</value>
    public TimeSpan StallTimeout { get; set; } = TimeSpan.FromMinutes(30);

    /// <summary>How long removing an image waits for those who have it open: the cluster takes 30 seconds to notice that one of
    /// them has crashed.</summary>
    /// <value>Default 35 seconds.</value>
    public TimeSpan WatchExpiry { get; set; } = TimeSpan.FromSeconds(35);

    /// <summary>How long to wait for others that work on the same disk.</summary>
    /// <value>Default 2 minutes.</value>
    public TimeSpan LockTimeout { get; set; } = TimeSpan.FromMinutes(2);

    /// <summary>The program <c>rbd</c>: a name looked up in PATH, or an absolute path.</summary>
    public string Rbd { get; set; } = "rbd";

    /// <summary>The program <c>ceph</c>: a name looked up in PATH, or an absolute path.</summary>
    public string Ceph { get; set; } = "ceph";

    /// <summary>The program <c>qemu-img</c>, with its RBD driver (Debian: <c>qemu-block-extra</c>).</summary>
    public string QemuImg { get; set; } = "qemu-img";

    /// <summary>The program <c>qemu-storage-daemon</c>, with its RBD driver.</summary>
    public string QemuStorageDaemon { get; set; } = "qemu-storage-daemon";

    /// <summary>The program <c>losetup</c>.</summary>
    public string Losetup { get; set; } = "losetup";

    /// <summary>Checks the options and takes a copy.</summary>
    /// <exception cref="InvalidFieldException">One breaks its rule.</exception>
    internal CephOptions Validate()
    {
        CheckPath(nameof(ConfigurationFile), ConfigurationFile);
        CheckPath(nameof(StateDirectory), StateDirectory);
        CheckPath(nameof(RunDirectory), RunDirectory);
        CheckPath(nameof(LeaseDirectory), LeaseDirectory);
        if (Keyring is not null)
        {
            CheckPath(nameof(Keyring), Keyring);
        }

        if (!RbdName.IsPlain(User))
        {
            throw new InvalidFieldException(nameof(User), User, "it has letters, digits, '_', '.' and '-', and does not begin with '-' or '.'.");
        }

        if (!Enum.IsDefined(Attach))
        {
            throw new InvalidFieldException(nameof(Attach), Attach.ToString(), "it must be Qemu, Kernel or UserSpace.");
        }

        foreach (var (name, value) in new[]
        {
            (nameof(Rbd), Rbd), (nameof(Ceph), Ceph), (nameof(QemuImg), QemuImg), (nameof(QemuStorageDaemon), QemuStorageDaemon), (nameof(Losetup), Losetup),
        })
        {
            if (string.IsNullOrWhiteSpace(value))
            {
                throw new InvalidFieldException(name, value, "it must name a program.");
            }
        }

        foreach (var (name, value) in new[]
        {
            (nameof(ConnectTimeout), ConnectTimeout), (nameof(OperationTimeout), OperationTimeout), (nameof(CommandTimeout), CommandTimeout),
            (nameof(RemoveTimeout), RemoveTimeout), (nameof(StallTimeout), StallTimeout), (nameof(WatchExpiry), WatchExpiry), (nameof(LockTimeout), LockTimeout),
        })
        {
            // Ceph takes whole seconds, and 0 for "for ever".
            if (value < TimeSpan.FromSeconds(1) || value > TimeSpan.FromDays(1))
            {
                throw new InvalidFieldException(name, value.ToString(), "it must be at least a second and at most a day.");
            }
        }

        return (CephOptions)MemberwiseClone();
    }

    // They are written into a configuration file and into lists of options, so nothing in them may end a line or begin a comment.
    private static void CheckPath(string name, string value)
    {
        if (!Path.IsPathFullyQualified(value) || value.Any(letter => char.IsControl(letter) || letter is '#' or ';' or '"' or '\'' or '\\') || value.Trim() != value)
        {
            throw new InvalidFieldException(name, value, "it must be an absolute path without control characters, quotes, '\\', '#' and ';'.");
        }
    }
}

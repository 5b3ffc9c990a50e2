namespace Pengx;

/// <summary>Where the bytes of an image lie, in the form a hypervisor opens them.</summary>
public abstract record DiskLocation
{
    private protected DiskLocation()
    {
    }
}

/// <summary>A file.</summary>
/// <param name="Path">Its absolute path.</param>
public sealed record FileLocation(string Path) : DiskLocation
{
    /// <summary>The path.</summary>
    public override string ToString() => Path;
}

/// <summary>A block device.</summary>
/// <param name="Path">Its absolute path, such as <c>/dev/vg/lv</c>.</param>
public sealed record BlockLocation(string Path) : DiskLocation
{
    /// <summary>The path.</summary>
    public override string ToString() => Path;
}

/// <summary>An RBD image.</summary>
/// <param name="Pool">The pool.</param>
/// <param name="Image">The image.</param>
public sealed record RbdLocation(string Pool, string Image) : DiskLocation
{
    /// <summary>The configuration file of the cluster: an absolute path, which names its monitors and where the user's key lies.</summary>
    /// <value>Default none: the file that Ceph's libraries look for.</value>
    public string? ConfigurationFile { get; init; }

    /// <summary>The Ceph user, without <c>client.</c>.</summary>
    /// <value>Default none: Ceph's own default, <c>admin</c>.</value>
    public string? User { get; init; }

    /// <summary><c>pool/image</c>.</summary>
    public override string ToString() => $"{Pool}/{Image}";
}

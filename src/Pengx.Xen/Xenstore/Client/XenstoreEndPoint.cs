namespace Pengx.Xen;

/// <summary>Where a xenstore daemon is reached: its unix socket, or the kernel's device that leads to it.</summary>
public sealed class XenstoreEndPoint
{
    /// <summary>The environment variable that names the socket or the device, as for Xen's own library.</summary>
    public const string PathVariable = "XENSTORED_PATH";

    /// <summary>The environment variable that names the folder of the socket, as for Xen's own library.</summary>
    public const string FolderVariable = "XENSTORED_RUNDIR";

    private static readonly string[] s_usual = ["/run/xenstored/socket", "/var/run/xenstored/socket", "/dev/xen/xenbus", "/proc/xen/xenbus"];

    private XenstoreEndPoint(string path) => Path = path;

    /// <summary>The socket, or the device.</summary>
    public string Path { get; }

    /// <summary>
    /// What this host uses: <see cref="PathVariable"/>, else the socket in <see cref="FolderVariable"/>, else the first of the usual places that
    /// is there (the daemon's socket in domain 0, <c>/dev/xen/xenbus</c> in a guest).
    /// </summary>
    public static XenstoreEndPoint Default
    {
        get
        {
            if (Environment.GetEnvironmentVariable(PathVariable) is { Length: > 0 } path)
            {
                return At(path);
            }

            return Environment.GetEnvironmentVariable(FolderVariable) is { Length: > 0 } folder
                ? At(System.IO.Path.Combine(folder, "socket"))
                : At(Array.Find(s_usual, System.IO.Path.Exists) ?? s_usual[0]);
        }
    }

    /// <summary>A socket or a device; which one it is shows when it is opened.</summary>
    /// <param name="path">Its path; that of a socket is limited by the system to 107 bytes.</param>
    public static XenstoreEndPoint At(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        return path.Contains('\0', StringComparison.Ordinal)
            ? throw new ArgumentException("A path holds no NUL character.", nameof(path))
            : new XenstoreEndPoint(path);
    }

    /// <inheritdoc/>
    public override string ToString() => Path;
}

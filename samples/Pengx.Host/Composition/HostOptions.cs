
namespace Pengx.Host;

/// <summary>The section <c>Pengx</c> of the configuration.</summary>
internal sealed class PengxHostOptions
{
    public const string Section = "Pengx";

    public string DataDirectory { get; set; } = "";

    public string Hypervisor { get; set; } = "auto";

    public DatabaseOptions Database { get; set; } = new();

    public PmOptions Pm { get; set; } = new();

    public AuthenticationOptions Authentication { get; set; } = new();

    public IList<string> IsoDirectories { get; init; } = [];

    public bool LinkedClones { get; set; }

    public string BackupFormat { get; set; } = "qcow2";

    public string SshDirectory { get; set; } = "";

    public string AuthorizedKeysPath { get; set; } = "";

    public XenHostOptions Xen { get; set; } = new();

    public QemuHostOptions Qemu { get; set; } = new();

    public LimitOptions Limits { get; set; } = new();

    /// <summary>The data directory: as configured, else the system's for root and the user's own for others.</summary>
    public string ResolvedDataDirectory => DataDirectory.Length > 0
        ? Path.GetFullPath(DataDirectory)
        : Environment.IsPrivilegedProcess
            ? "/var/lib/pengx"
            : Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.LocalApplicationData), "pengx");
}

internal sealed class DatabaseOptions
{
    public string Provider { get; set; } = "Sqlite";
}

internal sealed class PmOptions
{
    public string Name { get; set; } = "";

    public string Uuid { get; set; } = "";
}

internal sealed class AuthenticationOptions
{
    public IList<ApiKeyOptions> ApiKeys { get; init; } = [];
}

internal sealed class LimitOptions
{
    public int MaxBodyBytes { get; set; } = 1024 * 1024;

    public int ShutdownWaitSeconds { get; set; } = 30;

    public int ConcurrentOperations { get; set; } = 8;

    /// <summary>How many MiB of images an operation copies or moves in a second at most; 0 for as fast as it goes.</summary>
    public int CopyMiBPerSecond { get; set; }

    public int DiskLayers { get; set; } = 32;
}

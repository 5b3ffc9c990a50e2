using Pengx.Testing;

namespace Pengx.Storage.Tests;

/// <summary>A volume group of its own: on the disk that <c>PENGX_LAB_DISK</c> names, with the kernel's device-mapper, or else on
/// a loop device with an LVM configuration that sees nothing but it, so that a kernel without device-mapper serves as well. Where the
/// variable says <c>loop</c>, device-mapper works on loop devices.</summary>
public sealed partial class LvmTestHost : IAsyncDisposable
{
    /// <summary>Names an empty disk that the tests may overwrite; then they run on real device-mapper.</summary>
    public const string DiskVariable = "PENGX_LAB_DISK";

    private const string Loop = "loop";

    // There is one such disk for all tests.
    private static readonly SemaphoreSlim s_labDisk = new(1);

    private readonly string _directory;
    private readonly List<LoopDevice> _loops = [];

    private LvmTestHost(string directory, bool hasDeviceMapper)
    {
        _directory = directory;
        HasDeviceMapper = hasDeviceMapper;
        Group = $"pengxt{Guid.NewGuid():N}"[..14];
        Options = new()
        {
            Activation = hasDeviceMapper ? LvmActivation.DeviceMapper : LvmActivation.Loop,
            SystemDirectory = hasDeviceMapper ? null : Path.Combine(directory, "etc"),
            LeaseDirectory = Path.Combine(directory, "leases"),
            HostName = "host1",
        };
    }

    public static bool HasLabDisk => LabDisk.Length > 0;

    private static string LabDisk => Environment.GetEnvironmentVariable(DiskVariable) ?? "";

    // One disk that is named serves one test; loop devices are each test's own.
    private static bool SharesDisk => LabDisk is not ("" or Loop);

    public ProcessRunner Runner { get; } = new();

    public LvmOptions Options { get; }

    public bool HasDeviceMapper { get; }

    /// <summary>The volume group's name.</summary>
    public string Group { get; }

    /// <summary>The devices under it.</summary>
    public IReadOnlyList<string> Devices { get; private set; } = [];

    public Storlink Storlink => TemporaryStorlink.For($"/dev/{Group}", level: StorlinkLevel.Block);

    /// <summary>Prepares devices, and a volume group on the first of them.</summary>
    /// <param name="megabytes">The size of each device; a disk of the laboratory has its own.</param>
    /// <param name="devices">How many devices.</param>
    /// <param name="withGroup">Whether to make the volume group.</param>
    public static async Task<LvmTestHost> CreateAsync(int megabytes = 512, int devices = 1, bool withGroup = true)
    {
        Requires.Tool("lvm", "lvm");
        Requires.Tool("blkdiscard", "lvm");
        Requires.Tool("qemu-img", "qemu");
        LvmTestHost host = new(Directory.CreateTempSubdirectory("pengx-lvm-").FullName, HasLabDisk && (devices == 1 || !SharesDisk));
        if (host.HasDeviceMapper && SharesDisk)
        {
            await s_labDisk.WaitAsync(TestContext.Current.CancellationToken);
        }

        try
        {
            await host.PrepareAsync(megabytes, devices, withGroup);
            return host;
        }
        catch
        {
            await host.DisposeAsync();
            throw;
        }
    }

    /// <summary>Runs LVM itself, beside what is tested.</summary>
    public async Task<ProcessResult> LvmAsync(string verb, params string[] arguments) =>
        (await Runner.RunAsync(Command(verb, arguments), TestContext.Current.CancellationToken)).EnsureSuccess();

    /// <summary>The loop devices that lie on the test's devices.</summary>
    public IReadOnlyList<string> Loops() =>
        [.. Directory.EnumerateDirectories("/sys/block", "loop*").Where(directory => LoopDevice.BackingOf(directory) is { } backing && Devices.Contains(backing))];

    public async ValueTask DisposeAsync()
    {
        if (HasDeviceMapper && Devices.Count > 0)
        {
            await Runner.RunAsync(Command("vgremove", "--force", "--force", "--yes", Group));
            await Runner.RunAsync(Command("pvremove", ["--force", "--force", "--yes", .. Devices]));
        }

        foreach (var loop in Loops())
        {
            await Runner.RunAsync(new() { FileName = "losetup", Arguments = ["--detach", $"/dev/{Path.GetFileName(loop)}"] });
        }

        foreach (var loop in _loops)
        {
            await loop.DisposeAsync();
        }

        if (!HasDeviceMapper && Directory.Exists($"/dev/{Group}"))
        {
            Directory.Delete($"/dev/{Group}", recursive: true);
        }

        Directory.Delete(_directory, recursive: true);
        if (HasDeviceMapper && SharesDisk)
        {
            s_labDisk.Release();
        }
    }

    private ProcessCommand Command(string verb, params string[] arguments) => new()
    {
        FileName = Options.Lvm,
        Arguments = HasDeviceMapper ? [verb, .. arguments] : [verb, "--driverloaded", "n", .. arguments],
        Environment = Options.SystemDirectory is { } directory ? new Dictionary<string, string> { ["LVM_SYSTEM_DIR"] = directory } : new(),
        Timeout = Options.Timeout,
    };

    private async Task PrepareAsync(int megabytes, int devices, bool withGroup)
    {
        var token = TestContext.Current.CancellationToken;
        if (HasDeviceMapper && SharesDisk)
        {
            Devices = [LabDisk];
            await LoopDevice.RunAsync("wipefs", "--all", Devices[0]);
        }
        else
        {
            for (var i = 0; i < devices; i++)
            {
                _loops.Add(await LoopDevice.CreateAsync((long)megabytes << 20, token));
            }

            Devices = [.. _loops.Select(loop => loop.Path)];
        }

        if (!HasDeviceMapper)
        {
            Directory.CreateDirectory(Options.SystemDirectory!);
            await File.WriteAllTextAsync(
                Path.Combine(Options.SystemDirectory!, "lvm.conf"),
                $$"""
                devices {
                    use_devicesfile = 0
                    hints = "none"
                    md_component_detection = 0
                    filter = [ {{string.Concat(Devices.Select(device => $"\"a|^{device}$|\", "))}}"r|.*|" ]
                }
                global {
                    locking_dir = "{{_directory}}/lock"
                    use_lvmpolld = 0
                    event_activation = 0
                    system_id_source = "lvmlocal"
                }
                local {
                    system_id = "host1"
                }
                backup {
                    backup = 0
                    archive = 0
                }
                activation {
                    udev_sync = 0
                    udev_rules = 0
                    monitoring = 0
                }
                """,
                token);
        }

        if (withGroup)
        {
            await LvmAsync("pvcreate", "--yes", Devices[0]);
            await LvmAsync("vgcreate", Group, Devices[0]);
        }
    }
}

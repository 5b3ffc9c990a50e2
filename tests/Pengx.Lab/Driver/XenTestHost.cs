using System.Globalization;
using Pengx.Xen;

namespace Pengx.Lab;

/// <summary>This host for one test of the driver: a state and a run directory of its own, disks, and in the end nothing of it left.</summary>
internal sealed class XenTestHost : IAsyncDisposable
{
    private readonly LabGuests _guests;
    private readonly Dictionary<DomainId, string> _counters = [];

    private XenTestHost(LabGuests guests, XlGuestKind kind)
    {
        _guests = guests;
        Kind = kind;
        Options = new()
        {
            StateDirectory = guests.PathOf("state"),
            RunDirectory = guests.PathOf("run"),
            Guests = LabProfiles.For(kind),
            StartTimeout = LabHost.Patience,
            StopTimeout = LabHost.Patience,
            DeviceTimeout = TimeSpan.FromMinutes(1),
            ResizeTimeout = TimeSpan.FromMinutes(1),
            RebootInterval = TimeSpan.FromSeconds(60),
        };
    }

    public XlGuestKind Kind { get; }

    public XenOptions Options { get; }

    public LabGuests Guests => _guests;

    /// <param name="kind">How guests are virtualized.</param>
    /// <param name="folder">Where the test's own folder is made, on a share for instance.</param>
    public static XenTestHost Create(XlGuestKind kind, string? folder = null) => new(LabGuests.Create(folder), kind);

    public XenHypervisorDriver CreateDriver() => new(Options);

    /// <summary>A guest that counts on a disk as soon as it is up.</summary>
    public async Task<DomainDefinition> CreateBootableAsync()
    {
        var id = DomainId.New();
        var boot = DiskId.New();

        // The guest counts on its second disk. PV and PVH guests get their kernel from the host, so their first one is empty.
        var first = Kind == XlGuestKind.Hvm ? DiskOf(boot, _guests.CopyBootDisk($"{boot}.raw"), "xvda") : await CreateDiskAsync("xvda");
        var counter = await CreateDiskAsync("xvdb");
        _counters[id] = counter.Layers[0].Location.ToString()!;
        return new()
        {
            Id = id,
            Name = $"lab {Kind} guest",
            Cpus = 1,
            MaxCpus = 3,
            Memory = DataSize.FromMiB(192),
            MaxMemory = DataSize.FromMiB(192),
            Disks = [first, counter],
            Nics = [new() { Mac = MacAddress.NewXen(), Switch = LabHost.Bridge }],
            VncPassword = "secret12",
        };
    }

    /// <summary>An empty raw disk.</summary>
    public async Task<DomainDisk> CreateDiskAsync(string vdev, DiskFormat format = DiskFormat.Raw)
    {
        var id = DiskId.New();
        return DiskOf(id, await _guests.CreateDiskAsync($"{id}.{format.Name}", format.Name), vdev, format);
    }

    public static DomainDisk DiskOf(DiskId id, string path, string vdev, DiskFormat format = DiskFormat.Raw) =>
        new() { Id = id, Layers = [new(new FileLocation(path), format)], Vdev = vdev };

    /// <summary>An empty overlay on an image.</summary>
    public async Task<DiskLayer> CreateOverlayAsync(DiskLayer backing, DiskId id)
    {
        var path = _guests.PathOf($"{id}.qcow2");
        await LabHost.OutputAsync("qemu-img", "create", "-q", "-f", "qcow2", "-F", backing.Format.Name, "-b", backing.Location.ToString()!, path);
        return new(new FileLocation(path), DiskFormat.Qcow2);
    }

    /// <summary>The newest number that a PV or PVH guest has said to be flushed, by now.</summary>
    /// <param name="name">Its domain's name.</param>
    public static long NewestFlushed(string name) => Numbers(name, "PENGX-GUEST flushed ").DefaultIfEmpty().Max();

    /// <summary>The number that a PV or PVH guest found on its disk when it started last.</summary>
    /// <param name="name">Its domain's name.</param>
    public static long ResumedAt(string name) => Numbers(name, "PENGX-GUEST counter resumes at ").Last();

    /// <summary>Waits until a PV or PVH guest has flushed a number that it began after the call, and tells it.</summary>
    /// <param name="id">The guest.</param>
    /// <param name="name">Its domain's name; made of its UUID unless said.</param>
    public static async Task<long> FlushAnotherAsync(DomainId id, string? name = null)
    {
        name ??= XlName.For(id).Value;
        var known = NewestFlushed(name);
        return await LabHost.UntilAsync($"flushed beyond {known + 1}", () => Task.FromResult(NewestFlushed(name)), newest => newest >= known + 2);
    }

    private static IEnumerable<long> Numbers(string name, string said) =>
        from line in LabGuests.ConsoleOf(name).Split('\n')[..^1]
        let start = line.IndexOf(said, StringComparison.Ordinal)
        where start >= 0 && long.TryParse(line.AsSpan(start + said.Length).Trim(), NumberStyles.None, CultureInfo.InvariantCulture, out _)
        select long.Parse(line.AsSpan(start + said.Length).Trim(), CultureInfo.InvariantCulture);

    /// <summary>Where a guest counts.</summary>
    public string CounterOf(DomainId id) => _counters[id];

    /// <summary>Waits until a guest is up: it counts, and goes on counting from what it found.</summary>
    public async Task WaitUntilBootedAsync(DomainId id)
    {
        var before = await LabGuests.PeekCounterAsync(CounterOf(id));
        await LabGuests.WaitForCounterAsync(CounterOf(id), before + 1);
    }

    /// <summary>Makes a guest's kernel panic.</summary>
    public static async Task PanicAsync(DomainId id) =>
        await LabHost.OutputAsync("xl", "sysrq", (await DomainOfAsync(id)).ToString(CultureInfo.InvariantCulture), "c");

    /// <summary>The number of a domain, as xl itself says.</summary>
    public static async Task<int> DomainOfAsync(DomainId id)
    {
        var row = (await LabHost.OutputAsync("xl", "vm-list")).Split('\n').Single(line => line.StartsWith(id.ToString(), StringComparison.Ordinal));
        return int.Parse(row.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture);
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var id in _counters.Keys)
        {
            if ((await LabHost.OutputAsync("xl", "vm-list")).Split('\n').FirstOrDefault(line => line.StartsWith(id.ToString(), StringComparison.Ordinal)) is { } row)
            {
                await LabHost.RunAsync("xl", "destroy", row.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1]);
            }
        }

        await _guests.DisposeAsync();
    }
}

/// <summary>How guests run in emulation.</summary>
internal static class LabProfiles
{
    // Debian's QEMU for Xen has no cipher for VNC passwords.
    public static XlGuestProfile For(XlGuestKind kind) => Bare(kind) with { Vnc = XlVncConsole.WithoutPassword };

    private static XlGuestProfile Bare(XlGuestKind kind) => kind switch
    {
        XlGuestKind.Hvm => new() { Kind = kind, ExtraSettings = new Dictionary<string, XlConfigValue> { ["hdtype"] = "ahci", ["tsc_mode"] = "native" } },
        XlGuestKind.Pvh => Direct(kind) with { ExtraSettings = new Dictionary<string, XlConfigValue> { ["tsc_mode"] = "native" } },
        _ => Direct(kind),
    };

    private static XlGuestProfile Direct(XlGuestKind kind) =>
        new() { Kind = kind, Kernel = LabHost.Kernel, Ramdisk = LabHost.Initramfs, CommandLine = LabHost.KernelArguments };
}

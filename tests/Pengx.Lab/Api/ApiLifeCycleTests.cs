using System.Globalization;
using System.Text.RegularExpressions;
using Pengx.Client;
using Pengx.Storage.Tests;
using Pengx.Xen;

namespace Pengx.Lab;

/// <summary>A guest's whole life on real Xen, through the service's API, held against what xl and xenstore say.</summary>
public sealed partial class ApiLifeCycleTests : IAsyncDisposable
{
    private readonly LabGuests _guests = LabGuests.Create();
    private LabService? _service;

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    private PengxClient Client => _service!.Client;

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        if (_service is not null)
        {
            await _service.DisposeAsync();
        }

        await _guests.DisposeAsync();
    }

    /// <summary>What the API says of the host is what xl says.</summary>
    [Fact]
    public async Task Host_is_shown_as_xl_shows_it()
    {
        _service = await LabService.StartAsync(_guests.PathOf("data"), XlGuestKind.Pvh);
        var info = await LabHost.OutputAsync("xl", "info");
        var pm = await Client.Hosts.GetOwnAsync(Token);
        Assert.Equal(Number(info, "nr_cpus"), pm.CpuCores);
        Assert.Equal(Number(info, "total_memory"), pm.Memory);
        Assert.Contains(pm.Interfaces, card => card.Name == LabHost.Bridge);

        var performance = await Client.Hosts.GetPerformanceAsync(Token);
        Assert.Equal(pm.Id, performance.Id);
        Assert.Equal(Number(info, "threads_per_core"), performance.Smt);
        Assert.Equal(Number(info, "nr_cpus"), performance.TotalCpuCores);
        Assert.Equal(Number(info, "total_memory"), performance.TotalMemory);
        Assert.Equal((0, 0, 0L), (performance.VmCount, performance.UsedCpuCores, performance.UsedMemory));
        Assert.InRange(performance.MemoryUtilization, 100.0 * 2048 / performance.TotalMemory, 100);
        Assert.InRange(performance.CpuUtilization, 0, 100);
        Assert.True(performance is { ReceivedBytes: > 0, SentBytes: > 0 });
    }

    /// <summary>PVH: created from a template, through every verb, to nothing left.</summary>
    [Fact]
    public Task PVH_guest_lives_a_whole_life() => LiveAsync(XlGuestKind.Pvh);

    /// <summary>PV does.</summary>
    [Fact]
    public Task PV_guest_lives_a_whole_life() => LiveAsync(XlGuestKind.Pv);

    /// <summary>HVM does.</summary>
    [Fact]
    public Task HVM_guest_lives_a_whole_life() => LiveAsync(XlGuestKind.Hvm);

    /// <summary>On a volume group: made from a template, run, deleted, and no volume left.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Guest_on_a_volume_group_runs_and_leaves_nothing(bool thin)
    {
        await LabKernel.LoadAsync("loop", "dm-mod", "dm-thin-pool");
        await using var lvm = await LvmTestHost.CreateAsync(512);
        if (thin)
        {
            await lvm.LvmAsync("lvcreate", "--yes", "--type", "thin-pool", "-n", "pool", "-L", "128M", "--addtag", "pengx", lvm.Group);
            await lvm.LvmAsync("lvchange", "--errorwhenfull", "y", $"{lvm.Group}/pool");
        }

        // The operator's image, known by its content.
        var image = Guid.NewGuid();
        await lvm.LvmAsync("lvcreate", "--yes", "-n", image.ToString(), "-L", "4M", lvm.Group);
        await LabKernel.FillAsync($"/dev/{lvm.Group}/{image}", 65536, 65536, 0x5a);
        await lvm.LvmAsync("lvchange", "-an", $"{lvm.Group}/{image}");
        _service = await LabService.StartAsync(_guests.PathOf("data"), XlGuestKind.Pv);
        var link = (await Client.Storlinks.CreateAsync(new() { Name = "lab", Link = $"/dev/{lvm.Group}", Type = "LO", Level = "BL" }, cancellationToken: Token)).Id!.Value;
        var template = (await Client.Templates.AddAsync(
            new() { Name = "golden", Os = "OTHER", OsArch = "X64", Disks = [new() { Storlink = link, Id = image, Format = "raw" }] },
            cancellationToken: Token)).Id!.Value;
        var vm = (await Client.Machines.CreateAsync(
            new() { Name = "lab guest", Template = template, Storlink = link, CpuCores = 1, Memory = 192, MaxMemory = 192, DiskFormat = "raw", ExtraDiskSize = 8, Networks = ["0"] },
            cancellationToken: Token)).Id!.Value;
        _guests.Own(vm);
        string[] paths = [.. (await Client.Disks.ListAsync(vm, Token).ToListAsync(Token)).OrderBy(disk => disk.Order).Select(disk => $"/dev/{lvm.Group}/{disk.Id}")];

        // The guest counts on the volume, at what xl shows as its disk.
        await Client.Machines.StartAsync(vm, cancellationToken: Token);
        var domain = (await XlDomain.FindAsync(vm)).Domain;
        var targets = await DiskTargetsAsync(domain);
        Assert.All(paths, path => Assert.Contains(targets, target => target.EndsWith($":{path}", StringComparison.Ordinal) || target == path));
        var counted = await WaitForVolumeCounterAsync(paths[1], 1);
        counted = await WaitForVolumeCounterAsync(paths[1], counted + 2);
        Assert.True(await LabKernel.IsFilledAsync(paths[0], 65536, 65536, 0x5a));
        await Client.Machines.PowerOffAsync(vm, cancellationToken: Token);
        Assert.Null(await XlDomain.TryFindAsync(vm));
        await lvm.LvmAsync("lvchange", "-ay", "-K", paths[1]["/dev/".Length..]);
        Assert.True(await PeekVolumeCounterAsync(paths[1]) >= counted);

        await Client.Machines.DeleteAsync(vm, cancellationToken: Token);
        await Client.Templates.DeleteAsync(template, cancellationToken: Token);
        await Client.Storlinks.DeleteAsync(link, cancellationToken: Token);
        Assert.Equal(thin ? "pool" : "", (await lvm.LvmAsync("lvs", "--noheadings", "-o", "lv_name", lvm.Group)).Output.Trim());
        Assert.All(paths, path => Assert.False(File.Exists(path)));
        Assert.Equal("0", (await LabHost.OutputAsync("xenstore-list", "/local/domain")).Trim());
    }

    private Task<long> WaitForVolumeCounterAsync(string path, long number) =>
        LabHost.UntilAsync($"counter beyond {number}", () => PeekVolumeCounterAsync(path), newest => newest > number);

    /// <summary>The newest record on a volume, read past this host's cache, which does not see what the guest writes.</summary>
    private async Task<long> PeekVolumeCounterAsync(string path)
    {
        var copy = _guests.PathOf("counter.raw");
        await LabHost.OutputAsync("dd", $"if={path}", $"of={copy}", "bs=1M", "count=2", "iflag=direct", "status=none");
        return await LabGuests.PeekCounterAsync(copy);
    }

    private async Task LiveAsync(XlGuestKind kind)
    {
        _service = await LabService.StartAsync(_guests.PathOf("data"), kind);
        var store = _guests.PathOf("store");
        Directory.CreateDirectory(store);
        var link = (await Client.Storlinks.CreateAsync(new() { Name = "lab", Link = store, Type = "LO", Level = "FL" }, cancellationToken: Token)).Id!.Value;
        var template = await AddTemplateAsync(store, link, kind);

        // A VM from the template. HVM boots from the template's disk; all count on the extra one.
        var created = await Client.Machines.CreateAsync(
            new()
            {
                Name = "lab guest",
                Template = template,
                Storlink = link,
                CpuCores = 1,
                Memory = 192,
                MaxMemory = 192,
                DiskFormat = "raw",
                ExtraDiskSize = 8,
                Networks = ["0"],
                Description = "'quotes', \"more\" and \\ of them",
            },
            cancellationToken: Token);
        var vm = created.Id!.Value;
        _guests.Own(vm);
        var disks = await Client.Disks.ListAsync(vm, Token).ToListAsync(Token);
        Assert.Equal([0, 1], disks.Select(disk => disk.Order));
        var counter = Path.Combine(store, $"{disks[1].Id}.raw");
        Assert.Equal("SHUTDOWN", (await Client.Machines.GetAsync(vm, Token)).Status);

        // Started: xl sees what the API says.
        await Client.Machines.StartAsync(vm, cancellationToken: Token);
        var first = await XlDomain.FindAsync(vm);
        Assert.Equal(192, first.Memory);
        await LabGuests.WaitForCounterAsync(counter, 1);
        var shown = await Client.Machines.GetAsync(vm, Token);
        Assert.Equal(("RUNNING", kind != XlGuestKind.Pvh), (shown.Status, shown.VncPort is > 0));

        // An HVM guest gives some of its memory back while it boots: its video memory is not in the balloon's target.
        var memory = (await XlDomain.FindAsync(vm)).Memory;
        var performance = await Client.Hosts.GetPerformanceAsync(Token);
        Assert.Equal((1, 1), (performance.VmCount, performance.UsedCpuCores));
        var later = (await XlDomain.FindAsync(vm)).Memory;
        Assert.InRange(performance.UsedMemory, Math.Min(memory, later), Math.Max(memory, later));

        // Paused, resumed.
        await Client.Machines.SuspendAsync(vm, cancellationToken: Token);
        Assert.Equal("PAUSED", (await Client.Machines.GetAsync(vm, Token)).Status);
        Assert.Equal('p', (await XlDomain.FindAsync(vm)).State[2]);
        var standing = await LabGuests.PeekCounterAsync(counter);
        await Client.Machines.ResumeAsync(vm, cancellationToken: Token);
        await LabGuests.WaitForCounterAsync(counter, standing + 2);

        // A disk is plugged in while it runs; the guest lets it go, and its file is gone. Another one and an interface stay.
        var (added, hot) = await PlugDiskAsync(vm, first.Domain, store, link);
        await Client.Disks.DeleteAsync(vm, added, cancellationToken: Token);
        await ExpectGoneAsync(first.Domain, hot);
        (added, hot) = await PlugDiskAsync(vm, first.Domain, store, link);
        await Client.Interfaces.CreateAsync(vm, new() { InterfaceName = LabHost.Bridge }, cancellationToken: Token);
        Assert.Equal(2, (await LabHost.OutputAsync("xl", "network-list", first.Domain.ToString(CultureInfo.InvariantCulture))).Trim().Split('\n').Length - 1);

        // Resized online: a second processor, and less memory. xl takes an HVM guest's video memory off what it is told.
        var resized = await Client.Machines.ResizeAsync(vm, new() { CpuCores = 2, Memory = 176 }, cancellationToken: Token);
        Assert.Equal(2, (await XlDomain.FindAsync(vm)).Cpus);
        Assert.InRange((await XlDomain.FindAsync(vm)).Memory - (kind == XlGuestKind.Hvm ? 168 : 176), -4, 4);
        Assert.DoesNotContain("not followed", resized.Message!, StringComparison.Ordinal);
        Assert.NotEmpty(resized.Message!);

        // The guest reboots by itself: another domain, on the right disks, counting on.
        var before = await LabGuests.PeekCounterAsync(counter);
        await LabHost.OutputAsync("xl", "sysrq", first.Domain.ToString(CultureInfo.InvariantCulture), "b");
        var second = await LabHost.UntilAsync("reboot", () => XlDomain.TryFindAsync(vm), found => found is { } now && now.Domain != first.Domain && !now.IsPaused);
        await LabGuests.WaitForCounterAsync(counter, before + 2);
        Assert.Contains(await DiskTargetsAsync(second!.Domain), target => target.EndsWith($":{hot}", StringComparison.Ordinal));
        await LabHost.UntilAsync("running", async () => (await Client.Machines.GetAsync(vm, Token)).Status, status => status == "RUNNING");

        // The service is killed while the guest runs, and finds it again.
        await _service.KillAsync();
        var alone = await LabGuests.PeekCounterAsync(counter);
        await LabGuests.WaitForCounterAsync(counter, alone + 2);
        await _service.StartAsync();
        Assert.Equal("RUNNING", (await Client.Machines.GetAsync(vm, Token)).Status);
        Assert.Equal(second.Domain, (await XlDomain.FindAsync(vm)).Domain);

        // Rebooted and reset by the API.
        await Client.Machines.RebootAsync(vm, cancellationToken: Token);
        var third = await XlDomain.FindAsync(vm);
        Assert.NotEqual(second.Domain, third.Domain);
        var counted = await LabGuests.PeekCounterAsync(counter);
        await LabGuests.WaitForCounterAsync(counter, counted + 2);
        await Client.Machines.ResetAsync(vm, cancellationToken: Token);
        var fourth = await XlDomain.FindAsync(vm);
        Assert.NotEqual(third.Domain, fourth.Domain);
        counted = await LabGuests.PeekCounterAsync(counter);
        await LabGuests.WaitForCounterAsync(counter, counted + 2);

        // The disk goes, too. Since the reboot an HVM guest's is behind an emulated AHCI drive, which its QEMU never unplugs: it stays whole
        // while the guest runs.
        if (kind == XlGuestKind.Hvm)
        {
            var refused = await Assert.ThrowsAsync<PengxApiException>(() => Client.Disks.DeleteAsync(vm, added, cancellationToken: Token));
            Assert.Contains("emulated drive", refused.Message, StringComparison.Ordinal);
            Assert.Contains(await DiskTargetsAsync(fourth.Domain), target => target.EndsWith($":{hot}", StringComparison.Ordinal));
        }
        else
        {
            await Client.Disks.DeleteAsync(vm, added, cancellationToken: Token);
            await ExpectGoneAsync(fourth.Domain, hot);
        }

        // Shut down, started, destroyed.
        await Client.Machines.ShutdownAsync(vm, cancellationToken: Token);
        Assert.Equal("SHUTDOWN", (await Client.Machines.GetAsync(vm, Token)).Status);
        if (kind == XlGuestKind.Hvm)
        {
            await Client.Disks.DeleteAsync(vm, added, cancellationToken: Token);
            Assert.False(File.Exists(hot));
        }

        Assert.Null(await XlDomain.TryFindAsync(vm));
        var flushed = await _guests.ReadCounterAsync(counter);
        await Client.Machines.StartAsync(vm, cancellationToken: Token);
        await LabGuests.WaitForCounterAsync(counter, flushed + 1);
        await Client.Machines.PowerOffAsync(vm, cancellationToken: Token);
        Assert.Null(await XlDomain.TryFindAsync(vm));
        Assert.True(await _guests.ReadCounterAsync(counter) > flushed);

        // Deleted, and nothing left: no domain, node, process or file.
        await Client.Machines.DeleteAsync(vm, cancellationToken: Token);
        await Client.Templates.DeleteAsync(template, cancellationToken: Token);
        await Client.Storlinks.DeleteAsync(link, cancellationToken: Token);
        Assert.Empty(Directory.EnumerateFileSystemEntries(store));
        Assert.Equal(["Domain-0"], (await LabHost.OutputAsync("xl", "list")).Trim().Split('\n').Skip(1).Select(line => line.Split(' ')[0]));
        Assert.DoesNotContain(vm.ToString(), await LabHost.OutputAsync("xenstore-ls", "-f"), StringComparison.Ordinal);
        Assert.Equal("0", (await LabHost.OutputAsync("xenstore-list", "/local/domain")).Trim());
        Assert.Empty(LabProcesses.Find(vm.ToString()));
        Assert.False(Directory.Exists(Path.Combine(_guests.PathOf("data"), "xen", vm.ToString())));
        Assert.False(File.Exists($"/run/pengx-xen/{vm}.qmp"));
    }

    /// <summary>Plugs a disk into a machine that runs.</summary>
    /// <returns>The disk and its file.</returns>
    private async Task<(Guid Disk, string File)> PlugDiskAsync(Guid vm, int domain, string store, int link)
    {
        var disk = (await Client.Disks.CreateAsync(vm, new() { Size = 8, Storlink = link, Description = "hot" }, cancellationToken: Token)).Id!.Value;
        var file = Directory.EnumerateFiles(store, $"{disk}.*").Single();
        Assert.Contains(await DiskTargetsAsync(domain), target => target.EndsWith($":{file}", StringComparison.Ordinal));
        return (disk, file);
    }

    private static async Task ExpectGoneAsync(int domain, string file)
    {
        Assert.DoesNotContain(await DiskTargetsAsync(domain), target => target.EndsWith($":{file}", StringComparison.Ordinal));
        Assert.False(File.Exists(file));
    }

    private async Task<Guid> AddTemplateAsync(string store, int link, XlGuestKind kind)
    {
        var image = Guid.NewGuid();
        var path = Path.Combine(store, $"{image}.raw");
        if (kind == XlGuestKind.Hvm)
        {
            File.Copy(LabHost.BootImage, path);
        }
        else
        {
            await LabHost.OutputAsync("qemu-img", "create", "-q", "-f", "raw", path, "4M");
        }

        return (await Client.Templates.AddAsync(
            new() { Name = "golden", Os = "OTHER", OsArch = "X64", Disks = [new() { Storlink = link, Id = image, Format = "raw" }] },
            cancellationToken: Token)).Id!.Value;
    }

    /// <summary>What libxl has behind the disks of a domain: <c>aio:/path</c>.</summary>
    private static async Task<IReadOnlyList<string>> DiskTargetsAsync(int domain)
    {
        var tree = await LabHost.OutputAsync("xenstore-ls", "-f", $"/libxl/{domain}/device/vbd");
        return [.. Params().Matches(tree).Select(match => match.Groups[1].Value)];
    }

    private static long Number(string info, string key) =>
        long.Parse(Regex.Match(info, $@"(?m)^{key} +: (\d+)").Groups[1].ValueSpan, CultureInfo.InvariantCulture);

    [GeneratedRegex("(?m)/params = \"(.*)\"$")]
    private static partial Regex Params();
}

/// <summary>A domain as xl itself lists it.</summary>
internal sealed record XlDomain(int Domain, long Memory, int Cpus, string State)
{
    public bool IsPaused => State[2] == 'p';

    public static async Task<XlDomain> FindAsync(Guid id) => await TryFindAsync(id) ?? throw new InvalidOperationException($"xl lists no domain {id}.");

    public static async Task<XlDomain?> TryFindAsync(Guid id)
    {
        foreach (var line in (await LabHost.OutputAsync("xl", "list", "-v")).Split('\n'))
        {
            var columns = line.Split((char[])[' ', '\t'], StringSplitOptions.RemoveEmptyEntries);
            if (columns.Length >= 9 && columns[^3] == id.ToString() && columns[^5][5] != 'd')
            {
                return new(
                    int.Parse(columns[^8], CultureInfo.InvariantCulture), long.Parse(columns[^7], CultureInfo.InvariantCulture),
                    int.Parse(columns[^6], CultureInfo.InvariantCulture), columns[^5]);
            }
        }

        return null;
    }
}

/// <summary>Processes by what is on their command lines.</summary>
internal static class LabProcesses
{
    public static IReadOnlyList<string> Find(string text) =>
        [.. Directory.EnumerateDirectories("/proc").Where(path => int.TryParse(Path.GetFileName(path), out _)).Select(ReadCommand).Where(command => command.Contains(text, StringComparison.Ordinal))];

    private static string ReadCommand(string directory)
    {
        try
        {
            return File.ReadAllText(Path.Combine(directory, "cmdline")).Replace('\0', ' ');
        }
        catch (IOException)
        {
            return "";
        }
    }
}

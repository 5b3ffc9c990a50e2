using System.Globalization;
using System.Text.Json;
using Pengx.Testing;

namespace Pengx.Xen.Tests;

/// <summary>The driver on a Xen whose guests are real ones that count on their second disk, and the images of such guests.</summary>
internal sealed class LiveGuests : XenDriverTest
{
    private const string Flushed = "PENGX-GUEST flushed ";
    private static readonly TimeSpan s_patience = TimeSpan.FromMinutes(3);
    private readonly ProcessRunner _processes = new();

    public LiveGuests()
        : base(speed: 1)
    {
        Xen.Guests.RunsMachines = true;
    }

    public new FakeXen Xen => base.Xen;

    public new FakeXenstoreServer Store => base.Store;

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public static void Require()
    {
        Requires.Tool("qemu-system-x86_64", "qemu");
        Requires.Tool("qemu-img", "qemu");
        _ = GuestImage.Require();
    }

    public new XenHypervisorDriver CreateDriver(Action<XenOptions>? configure = null) => base.CreateDriver(configure);

    /// <summary>A guest that boots from <c>xvda</c>, counts on <c>xvdb</c> and has some more disks.</summary>
    public DomainDefinition CreateGuest(int more = 0)
    {
        var boot = DiskId.New();
        var disks = Enumerable.Range(1, 1 + more).Select(index => Empty(Vdev.At(index)));
        return Define() with { Disks = [Of(boot, GuestImage.CopyTo(Folder.At($"{boot}.raw")), "xvda"), .. disks] };
    }

    /// <summary>A disk and itself with an overlay, whose image is made.</summary>
    public async Task<DiskReplacement> OverlayAsync(DomainDisk disk)
    {
        var id = DiskId.New();
        return new(disk, disk with { Id = id, Layers = [await CreateOverlayAsync(disk.Layers[0], id), .. disk.Layers] });
    }

    public async Task<DiskLayer> CreateOverlayAsync(DiskLayer backing, DiskId id)
    {
        var path = Folder.At($"{id}.qcow2");
        await ToolAsync("qemu-img", "create", "-q", "-f", "qcow2", "-F", backing.Format.Name, "-b", PathOf(backing), path);
        return new(new FileLocation(path), DiskFormat.Qcow2);
    }

    /// <summary>Writes something into an image that nothing uses, beyond what the guest uses: work for a merge.</summary>
    public Task FillAsync(DiskLayer layer) => ToolAsync("qemu-io", "-f", layer.Format.Name, "-c", "write -P 165 2M 2M", PathOf(layer));

    /// <summary>The newest number that the guest has said to be flushed, by now.</summary>
    public long Newest(DomainId id)
    {
        var path = Xen.SerialOf(id);
        if (!File.Exists(path))
        {
            return 0;
        }

        using FileStream log = new(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
        using StreamReader reader = new(log);
        return reader.ReadToEnd().Split('\n')[..^1].Select(NumberOf).DefaultIfEmpty().Max();
    }

    /// <summary>Waits for a number that the guest began after the call.</summary>
    public async Task<long> FlushAnotherAsync(DomainId id)
    {
        var known = Newest(id);
        await UntilAsync(() => Task.FromResult(Newest(id) >= known + 2));
        return Newest(id);
    }

    public string MonitorOf(DomainId id) => SocketOf(id);

    /// <summary>Waits for what another thread brings about; bounded.</summary>
    public static async Task UntilAsync(Func<Task<bool>> isSo)
    {
        using CancellationTokenSource patience = CancellationTokenSource.CreateLinkedTokenSource(Token);
        patience.CancelAfter(s_patience);
        using PeriodicTimer timer = new(TimeSpan.FromMilliseconds(20));
        while (!await isSo())
        {
            Assert.True(await timer.WaitForNextTickAsync(patience.Token));
        }
    }

    /// <summary>The newest number of the guest's counter that a chain shows.</summary>
    public async Task<long> ReadNewestAsync(DiskLayer top)
    {
        var flat = Folder.At($"flat-{Guid.NewGuid():N}.raw");
        await ToolAsync("qemu-img", "convert", "-U", "-f", top.Format.Name, "-O", "raw", PathOf(top), flat);
        var newest = await GuestCounter.ReadNewestAsync(flat, Token);
        File.Delete(flat);
        return newest;
    }

    /// <summary>Fails unless two chains show the same, as another process finds them: without what their QEMU keeps in memory.</summary>
    public Task CompareAsync(DiskLayer one, DiskLayer other) =>
        ToolAsync("qemu-img", "compare", "-q", "-U", "-f", one.Format.Name, "-F", other.Format.Name, PathOf(one), PathOf(other));

    /// <summary>The chain that images state in their headers.</summary>
    public async Task<IReadOnlyList<DiskLayer>> ReadChainAsync(DiskLayer top)
    {
        using var info = JsonDocument.Parse(await ToolAsync("qemu-img", "info", "-U", "--backing-chain", "--output=json", "-f", top.Format.Name, PathOf(top)));
        List<DiskLayer> chain = [];
        string? stated = null;
        foreach (var image in info.RootElement.EnumerateArray())
        {
            Assert.True(DiskFormatNames.TryParse(image.GetProperty("format").GetString(), out var format));
            chain.Add(new(new FileLocation(image.GetProperty("filename").GetString()!), format));

            // Named in full, with its format: nothing is left to be probed or to be resolved.
            Assert.True(stated is null || stated == $"{chain[^1].Location} {format.Name}", $"the header says '{stated}', the image is '{chain[^1]}'");
            stated = image.TryGetProperty("backing-filename", out var backing)
                ? $"{backing.GetString()} {image.GetProperty("backing-filename-format").GetString()}"
                : null;
        }

        Assert.Null(stated);
        return chain;
    }

    public static string PathOf(DiskLayer layer) => ((FileLocation)layer.Location).Path;

    private static DomainDisk Of(DiskId id, string path, string vdev) => new() { Id = id, Layers = [new(new FileLocation(path), DiskFormat.Raw)], Vdev = vdev };

    private DomainDisk Empty(string vdev)
    {
        var id = DiskId.New();
        var path = Folder.At($"{id}.raw");
        using (var file = File.Create(path))
        {
            file.SetLength(4 * 1024 * 1024);
        }

        return Of(id, path, vdev);
    }

    private static long NumberOf(string line)
    {
        var start = line.IndexOf(Flushed, StringComparison.Ordinal);
        return start >= 0 && long.TryParse(line.AsSpan(start + Flushed.Length).Trim(), NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number : 0;
    }

    private async Task<string> ToolAsync(string tool, params string[] arguments)
    {
        var result = await _processes.RunAsync(new() { FileName = Requires.Find(tool)!, Arguments = arguments }, Token);
        return result.EnsureSuccess().Output;
    }
}

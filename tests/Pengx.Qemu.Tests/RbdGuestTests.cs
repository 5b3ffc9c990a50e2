using System.Globalization;
using Pengx.Storage;
using Pengx.Storage.Tests;
using Pengx.Testing;

namespace Pengx.Qemu.Tests;

/// <summary>A guest whose disks are RBD images of a real cluster, opened by QEMU's own driver.</summary>
public sealed class RbdGuestTests(CephCluster cluster) : IAsyncLifetime
{
    private readonly QemuTestHost _host = new();
    private readonly ProcessRunner _runner = new();

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        QemuTestHost.RequireQemu();
        await cluster.RequireAsync();
    }

    public ValueTask DisposeAsync() => _host.DisposeAsync();

    [Fact]
    public async Task A_guest_boots_from_an_image_and_what_it_flushed_is_in_the_cluster_after_a_destroy()
    {
        Storlink storlink = new()
        {
            Id = new(1), Pm = PmId.New(), Name = "ceph", Link = CephCluster.StoragePool, Type = StorlinkType.Ceph, Level = StorlinkLevel.Object,
        };
        RbdStorage storage = new(_runner, cluster.Options(_host.Root));
        VolumeSpec boot = new()
        {
            Disk = DiskId.New(),
            Format = DiskFormat.Raw,
            Size = new(new FileInfo(GuestImage.Require()).Length),
            Source = new(new FileLocation(GuestImage.Require()), DiskFormat.Raw),
        };
        VolumeSpec counter = new() { Disk = DiskId.New(), Format = DiskFormat.Raw, Size = DataSize.FromMiB(2) };
        VolumeSpec plugged = new() { Disk = DiskId.New(), Format = DiskFormat.Raw, Size = DataSize.FromMiB(3) };
        foreach (var spec in new[] { boot, counter, plugged })
        {
            await storage.CreateAsync(storlink, spec, cancellationToken: Token);
        }

        await using var driver = await _host.StartDriverAsync(Token);
        var (domains, devices) = (driver.Domains, ((IHypervisorDriver)driver).Devices);
        var definition = _host.CreateBootable() with { Disks = [await DiskAsync(boot, "xvda"), await DiskAsync(counter, "xvdb")] };
        var id = definition.Id;
        await domains.DefineAsync(definition, Token);
        await domains.StartAsync(id, Token);
        await using var console = QemuTestHost.ConsoleOf(driver, id, Token);
        await console.ExpectUpAsync();
        await console.ExpectAsync("flushed 10");

        // A running guest keeps its disk, and its process's arguments keep the secret.
        await Assert.ThrowsAsync<InUseException>(() => storage.GrowAsync(storlink, counter.Disk, DiskFormat.Raw, DataSize.FromMiB(4), Token));
        Assert.Contains(await storage.ListUsersAsync(storlink, counter.Disk, Token), user => user.IsLocal);
        var key = (await File.ReadAllTextAsync(cluster.Keyring, Token)).Split("key = ")[1].Split('\n')[0].Trim();
        Assert.DoesNotContain(key, await File.ReadAllTextAsync($"/proc/{_host.PidOf(id)}/cmdline", Token), StringComparison.Ordinal);

        // An image is plugged in and goes again.
        await devices.PlugDiskAsync(id, await DiskAsync(plugged, "xvdd"), Token);
        await console.ExpectAsync("added 3145728");
        await devices.UnplugDiskAsync(id, plugged.Disk, Token);
        await storage.DeleteAsync(storlink, plugged.Disk, Token);

        await domains.DestroyAsync(id, Token);
        await console.ReadToEndAsync();
        var printed = console.Seen.Where(line => line.StartsWith("PENGX-GUEST flushed ", StringComparison.Ordinal)).Select(line => long.Parse(line.Split(' ')[2], CultureInfo.InvariantCulture)).Max();
        var path = _host.PathOf("counter.raw");
        var location = (RbdLocation)await storage.AttachAsync(storlink, counter.Disk, DiskFormat.Raw, Token);
        (await _runner.RunAsync(
            new() { FileName = "qemu-img", Arguments = ["convert", "-f", "raw", "-O", "raw", $"rbd:{location}:conf={location.ConfigurationFile}:id={location.User}", path] },
            Token)).EnsureSuccess();
        await using var image = File.OpenRead(path);
        Assert.True((await GuestCounter.ReadAsync(image, Token)).Newest >= printed);

        await domains.UndefineAsync(id, Token);
        await storage.DeleteAsync(storlink, boot.Disk, Token);
        await storage.DeleteAsync(storlink, counter.Disk, Token);
        await foreach (var entry in storage.ListAsync(storlink, Token))
        {
            Assert.Fail($"{entry} is left.");
        }

        async Task<DomainDisk> DiskAsync(VolumeSpec spec, string vdev) =>
            new() { Id = spec.Disk, Layers = [new(await storage.AttachAsync(storlink, spec.Disk, spec.Format, Token), spec.Format)], Vdev = vdev };
    }
}

using Pengx;
using Pengx.Qemu;
using Pengx.Storage;

// Boots the test guest (eng/guest.sh builds it), shows what it says and does, plugs a disk in, shuts it down, leaves nothing behind.
var image = new DiskLayer(new FileLocation(args.FirstOrDefault() ?? Path.GetFullPath("artifacts/guest/guest.raw")), DiskFormat.Raw);
var work = Directory.CreateTempSubdirectory("pengx-quickstart-").FullName;
var end = new CancellationTokenSource(TimeSpan.FromMinutes(3)).Token;
var storage = new LocalStorage(new ProcessRunner());
var link = new Storlink { Id = new(1), Pm = PmId.New(), Name = "disks", Link = work, Type = StorlinkType.Local, Level = StorlinkLevel.File };
await using IHypervisorDriver qemu = new QemuHypervisorDriver(new() { StateDirectory = Path.Combine(work, "qemu") });
Console.WriteLine((await qemu.ProbeAsync(end)).Reason);
await qemu.StartAsync(end);
var events = PrintEventsAsync(qemu.WatchAsync(end));

DomainId guest = VmId.New();
var memory = DataSize.FromMiB(192);
await qemu.Domains.DefineAsync(new() { Id = guest, Name = "quickstart", Cpus = 1, MaxCpus = 2, Memory = memory, MaxMemory = memory, Disks = [await DiskAsync(0, 64, image)] }, end);
await qemu.Domains.StartAsync(guest, end);
qemu.TryGetFeature<ISerialConsole>(out var console);
await foreach (var line in console!.ReadLinesAsync(guest, end))
{
    Console.WriteLine($"guest: {line}");
    if (line.StartsWith("PENGX-GUEST up", StringComparison.Ordinal))
    {
        await qemu.Devices.PlugDiskAsync(guest, await DiskAsync(1, 16), end);
    }
    else if (line.StartsWith("PENGX-GUEST disk vdb added", StringComparison.Ordinal))
    {
        await qemu.Domains.RequestShutdownAsync(guest, end);
    }
}

await qemu.Domains.WaitUntilStoppedAsync(guest, end);
await qemu.Domains.UndefineAsync(guest, end);
await events;
Directory.Delete(work, recursive: true);

async Task<DomainDisk> DiskAsync(int index, long mebibytes, DiskLayer? source = null)
{
    var disk = await storage.CreateAsync(link, new() { Disk = DiskId.New(), Format = DiskFormat.Qcow2, Size = DataSize.FromMiB(mebibytes), Source = source }, cancellationToken: end);
    return new() { Id = disk.Disk, Vdev = Vdev.At(index), Layers = [new(await storage.AttachAsync(link, disk.Disk, disk.Format, end), disk.Format)] };
}

async Task PrintEventsAsync(IAsyncEnumerable<DomainEvent> happened)
{
    await foreach (var item in happened)
    {
        Console.WriteLine($"event: {item.Kind}, now {item.State}");
        if (item.Kind == DomainEventKind.Stopped)
        {
            return;
        }
    }
}

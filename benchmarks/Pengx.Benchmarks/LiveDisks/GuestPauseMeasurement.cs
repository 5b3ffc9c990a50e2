using System.Diagnostics;
using System.Net.Sockets;
using Pengx.Qemu;
using Pengx.Testing;

namespace Pengx.Benchmarks.LiveDisks;

/// <summary>
/// How long a guest stands still for a snapshot of 1, 4 and 16 disks, as it sees it itself: the test guest writes and flushes record after
/// record without a break on one of them and tells each on its serial console; measured is the longest silence while the driver's snapshot
/// verb runs, beside the longest in as long a time right before. Run with <c>guest-pause-real [DIRECTORY]</c>; the guest is built by
/// <c>eng/guest.sh</c>.
/// </summary>
internal static class GuestPauseMeasurement
{
    private const int Rounds = 15;
    private const long DiskBytes = 64L << 20;

    /// <summary>What the time of a record is taken to belong to the snapshot after its verb has ended.</summary>
    private static readonly TimeSpan s_tail = TimeSpan.FromMilliseconds(50);

    public static async Task RunAsync(string? place)
    {
        var directory = Directory.CreateDirectory(Path.Combine(place ?? Path.GetTempPath(), $"pxp-{Environment.ProcessId}")).FullName;
        try
        {
            Console.WriteLine($"\n{Environment.ProcessorCount} processors; median, and lowest to highest, in milliseconds.\n");
            Console.WriteLine("| snapshot of | between two records | longest silence before | longest silence in it | the verb |\n|---|---|---|---|---|");
            foreach (var disks in (int[])[1, 4, 16])
            {
                await MeasureAsync(Path.Combine(directory, $"g{disks}"), disks);
            }
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }

    private static async Task MeasureAsync(string directory, int count)
    {
        Directory.CreateDirectory(directory);
        var run = Path.Combine(directory, "run");
        await using QemuHypervisorDriver driver = new(new() { StateDirectory = Path.Combine(directory, "state"), RunDirectory = run, VncListen = QemuVncListen.None });
        var live = driver.TryGetFeature<ILiveDisks>(out var found) ? found : throw new InvalidOperationException("The driver has no live disks.");
        DomainDisk boot = new() { Id = DiskId.New(), Vdev = Vdev.At(0), Layers = [new(new FileLocation(await MakeBootAsync(directory)), DiskFormat.Raw)] };
        List<DomainDisk> disks = [];
        for (var index = 0; index < count; index++)
        {
            var id = DiskId.New();
            var path = Path.Combine(directory, $"{id}.raw");
            await using (var file = File.Create(path))
            {
                file.SetLength(DiskBytes);
            }

            disks.Add(new() { Id = id, Vdev = Vdev.At(1 + index), Layers = [new(new FileLocation(path), DiskFormat.Raw)] });
        }

        var domain = DomainId.New();
        await driver.StartAsync();
        await driver.Domains.DefineAsync(new()
        {
            Id = domain,
            Name = "benchmark",
            Cpus = 1,
            MaxCpus = 1,
            Memory = DataSize.FromMiB(160),
            MaxMemory = DataSize.FromMiB(160),
            Disks = [boot, .. disks],
        });
        await driver.Domains.StartAsync(domain);
        try
        {
            using SerialConsole console = await SerialConsole.ConnectAsync(Path.Combine(run, domain.Value.ToString("N"), "serial"));
            await console.WaitForRecordsAsync(200);
            List<double> usual = [], before = [], within = [], verbs = [];
            for (var round = 0; round < Rounds; round++)
            {
                List<DiskReplacement> next = [];
                foreach (var disk in disks)
                {
                    next.Add(await OverlayAsync(directory, disk));
                }

                await console.WaitForRecordsAsync(100);
                var start = Stopwatch.GetTimestamp();
                await live.OverlayAsync(domain, next);
                verbs.Add(Stopwatch.GetElapsedTime(start).TotalMilliseconds);
                await Task.Delay(s_tail);
                var end = Stopwatch.GetTimestamp();
                await console.WaitForRecordsAsync(2);
                var earlier = console.Silences(start - (end - start), start);
                earlier.Sort();
                usual.Add(earlier[earlier.Count / 2]);
                before.Add(earlier[^1]);
                within.Add(console.Silences(start, end).Max());
                disks = [.. next.Select(one => one.After)];
            }

            Console.WriteLine($"| {count} disk{(count == 1 ? "" : "s")} | {PairedSample.Show(usual)} | {PairedSample.Show(before)} | {PairedSample.Show(within)} | {PairedSample.Show(verbs)} |");
        }
        finally
        {
            await driver.Domains.DestroyAsync(domain);
        }
    }

    /// <summary>The guest's disk, with a counter that makes no pauses: its kernel's arguments stand in the file system as they are.</summary>
    private static async Task<string> MakeBootAsync(string directory)
    {
        var path = Path.Combine(directory, "boot.raw");
        var image = await File.ReadAllBytesAsync(GuestImage.Find() ?? throw new InvalidOperationException("There is no guest: run eng/guest.sh."));
        var at = image.AsSpan().IndexOf("sysrq_always_enabled"u8);
        "pengx.counter=0     "u8.CopyTo(image.AsSpan(at));
        await File.WriteAllBytesAsync(path, image);
        return path;
    }

    private static async Task<DiskReplacement> OverlayAsync(string directory, DomainDisk disk)
    {
        var id = DiskId.New();
        var path = Path.Combine(directory, $"{id}.qcow2");
        var beneath = disk.Layers[0];
        (await new ProcessRunner().RunAsync(new() { FileName = "qemu-img", Arguments = ["create", "-q", "-f", "qcow2", "-F", beneath.Format.Name, "-b", beneath.Location.ToString()!, path] })).EnsureSuccess();
        return new(disk, disk with { Id = id, Layers = [new(new FileLocation(path), DiskFormat.Qcow2), .. disk.Layers] });
    }

    /// <summary>When a guest told its records.</summary>
    private sealed class SerialConsole : IDisposable
    {
        private static readonly TimeSpan s_patience = TimeSpan.FromMinutes(2);
        private readonly Socket _socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        private readonly List<long> _told = [];

        public static async Task<SerialConsole> ConnectAsync(string path)
        {
            SerialConsole console = new();
            await console._socket.ConnectAsync(new UnixDomainSocketEndPoint(path));
            new Thread(console.Read) { IsBackground = true }.Start();
            return console;
        }

        public async Task WaitForRecordsAsync(int more)
        {
            using CancellationTokenSource patience = new(s_patience);
            for (var wanted = Count() + more; Count() < wanted;)
            {
                await Task.Delay(1, patience.Token);
            }
        }

        /// <summary>The times between two records that end, or would end, after a moment, up to the first record after another, in milliseconds.</summary>
        public List<double> Silences(long from, long to)
        {
            lock (_told)
            {
                return [.. _told.Zip(_told.Skip(1)).Where(pair => pair.Second >= from && pair.First <= to).Select(pair => Stopwatch.GetElapsedTime(pair.First, pair.Second).TotalMilliseconds)];
            }
        }

        public void Dispose() => _socket.Dispose();

        private int Count()
        {
            lock (_told)
            {
                return _told.Count;
            }
        }

        private void Read()
        {
            var buffer = new byte[4096];
            try
            {
                while (_socket.Receive(buffer) is > 0 and var length)
                {
                    // One line for each record.
                    var now = Stopwatch.GetTimestamp();
                    lock (_told)
                    {
                        _told.AddRange(Enumerable.Repeat(now, buffer.AsSpan(0, length).Count((byte)'\n')));
                    }
                }
            }
            catch (SocketException)
            {
                // The guest is gone, or we are.
            }
            catch (ObjectDisposedException)
            {
            }
        }
    }
}

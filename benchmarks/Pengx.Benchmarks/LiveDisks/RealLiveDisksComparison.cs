using System.Diagnostics;
using System.Globalization;
using Pengx.Qemu;

namespace Pengx.Benchmarks.LiveDisks;

/// <summary>
/// The driver's snapshot verb on 1, 4 and 16 disks, and its merge of written data, against the bare QMP commands scripted by hand on a
/// blocking socket to a second QEMU with the same disks, in alternating rounds of one run. Run with <c>live-disks-real [DIRECTORY]</c>.
/// What the driver does beyond the bare commands: it reads the chains before, writes the stored definition and its own record durably,
/// and, after a merge, lets the guest stand still while it changes over.
/// </summary>
internal static class RealLiveDisksComparison
{
    private const int SnapshotRounds = 15;
    private const int MergeRounds = 7;
    private const long DiskBytes = 256L << 20;
    private const long WrittenBytes = 64L << 20;

    internal static async Task RunAsync(string? place)
    {
        string directory = Directory.CreateDirectory(Path.Combine(place ?? Path.GetTempPath(), $"pxl-{Environment.ProcessId}")).FullName;
        try
        {
            Console.WriteLine($"\n{Environment.ProcessorCount} processors, {(await ToolAsync("qemu-img", "--version")).Split('\n')[0]}; median, and lowest to highest, in milliseconds.\n");
            Console.WriteLine("| measured | driver | bare QMP | driver / bare |\n|---|---|---|---|");
            foreach (int disks in (int[])[1, 4, 16])
            {
                await using Pair pair = await Pair.StartAsync(Path.Combine(directory, $"s{disks}"), disks);
                PairedSample sample = new();
                for (int round = 0; round < SnapshotRounds; round++)
                {
                    await pair.PrepareOverlaysAsync(written: 0);
                    await sample.TakeAsync(round, pair.SnapshotByDriverAsync, pair.SnapshotByHandAsync);
                }

                sample.Print($"snapshot of {disks} disk{(disks == 1 ? "" : "s")}");
            }

            await using Pair one = await Pair.StartAsync(Path.Combine(directory, "m"), 1);
            PairedSample merges = new();
            for (int round = 0; round < MergeRounds; round++)
            {
                await one.PrepareOverlaysAsync(WrittenBytes);
                await one.SnapshotByDriverAsync();
                await one.SnapshotByHandAsync();
                await merges.TakeAsync(round, one.MergeByDriverAsync, one.MergeByHandAsync);
            }

            merges.Print($"merge of {WrittenBytes >> 20} MiB into the layer beneath");
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }

    private static async Task<string> ToolAsync(string tool, params string[] arguments) =>
        (await new ProcessRunner().RunAsync(new() { FileName = tool, Arguments = arguments })).EnsureSuccess().Output;

    /// <summary>Two QEMUs with as many disks each: the driver's, and one that a script speaks to.</summary>
    private sealed class Pair : IAsyncDisposable
    {
        private readonly string _directory;
        private readonly QemuHypervisorDriver _driver;
        private readonly ILiveDisks _live;
        private readonly DomainId _domain = DomainId.New();
        private readonly List<DomainDisk> _disks = [];
        private readonly List<(string Node, string Path)> _bareTops = [];
        private readonly List<DiskReplacement> _next = [];
        private readonly List<string> _bareNext = [];
        private Process _process = null!;
        private BareMonitor _monitor = null!;
        private int _made;

        private Pair(string directory)
        {
            _directory = directory;
            _driver = new(new() { StateDirectory = Path.Combine(directory, "state"), RunDirectory = Path.Combine(directory, "run"), VncListen = QemuVncListen.None });
            _live = _driver.TryGetFeature<ILiveDisks>(out ILiveDisks? live) ? live : throw new InvalidOperationException("The driver has no live disks.");
        }

        public static async Task<Pair> StartAsync(string directory, int disks)
        {
            Directory.CreateDirectory(directory);
            Pair pair = new(directory);
            await pair.StartCoreAsync(disks);
            return pair;
        }

        public async Task PrepareOverlaysAsync(long written)
        {
            _next.Clear();
            _bareNext.Clear();
            for (int index = 0; index < _disks.Count; index++)
            {
                DiskId id = DiskId.New();
                DomainDisk disk = _disks[index];
                string path = await MakeOverlayAsync(((FileLocation)disk.Layers[0].Location).Path, disk.Layers[0].Format.Name, written);
                _next.Add(new(disk, disk with { Id = id, Layers = [new(new FileLocation(path), DiskFormat.Qcow2), .. disk.Layers] }));
                _bareNext.Add(await MakeOverlayAsync(_bareTops[index].Path, _bareTops[index].Path.EndsWith(".raw", StringComparison.Ordinal) ? "raw" : "qcow2", written));
            }
        }

        public async Task SnapshotByDriverAsync()
        {
            await _live.OverlayAsync(_domain, _next);
            _disks.Clear();
            _disks.AddRange(_next.Select(disk => disk.After));
        }

        public Task SnapshotByHandAsync()
        {
            List<string> actions = [];
            for (int index = 0; index < _bareNext.Count; index++)
            {
                string node = $"o{++_made}";
                _monitor.Run($$$"""{"execute":"blockdev-add","arguments":{"driver":"file","node-name":"{{{node}}}f","filename":"{{{_bareNext[index]}}}","discard":"unmap"}}""");
                _monitor.Run($$$"""{"execute":"blockdev-add","arguments":{"driver":"qcow2","node-name":"{{{node}}}","file":"{{{node}}}f","backing":null,"discard":"unmap"}}""");
                actions.Add($$$"""{"type":"blockdev-snapshot","data":{"node":"{{{_bareTops[index].Node}}}","overlay":"{{{node}}}"}}""");
                _bareTops[index] = (node, _bareNext[index]);
            }

            _monitor.Run($$$"""{"execute":"transaction","arguments":{"actions":[{{{string.Join(',', actions)}}}]}}""");
            return Task.CompletedTask;
        }

        public async Task MergeByDriverAsync()
        {
            await _live.CommitAsync(_domain, new(_next[0].After, _next[0].Before));
            _disks[0] = _next[0].Before;
        }

        public Task MergeByHandAsync()
        {
            string node = _bareTops[0].Node;
            _monitor.Run($$$"""{"execute":"block-commit","arguments":{"job-id":"merge","device":"{{{node}}}","base-node":"d0","auto-dismiss":false}}""");
            _monitor.WaitFor("\"status\": \"ready\"");
            _monitor.Run("""{"execute":"job-complete","arguments":{"id":"merge"}}""");
            _monitor.WaitFor("\"status\": \"concluded\"");
            _monitor.Run("""{"execute":"job-dismiss","arguments":{"id":"merge"}}""");
            _monitor.Run($$$"""{"execute":"blockdev-del","arguments":{"node-name":"{{{node}}}"}}""");
            _monitor.Run($$$"""{"execute":"blockdev-del","arguments":{"node-name":"{{{node}}}f"}}""");
            _bareTops[0] = ("d0", Path.Combine(_directory, "bare0.raw"));
            return Task.CompletedTask;
        }

        public async ValueTask DisposeAsync()
        {
            await _driver.Domains.DestroyAsync(_domain);
            await _driver.DisposeAsync();
            _monitor.Dispose();
            _process.Kill();
            await _process.WaitForExitAsync();
            _process.Dispose();
        }

        private async Task StartCoreAsync(int disks)
        {
            List<string> arguments = ["-nodefaults", "-no-user-config", "-display", "none", "-machine", "pc", "-accel", "tcg,thread=multi", "-m", "64", "-qmp", $"unix:{Path.Combine(_directory, "bare")},server=on,wait=off"];
            for (int index = 0; index < disks; index++)
            {
                DiskId id = DiskId.New();
                _disks.Add(new() { Id = id, Layers = [new(new FileLocation(MakeRaw($"{id}.raw")), DiskFormat.Raw)], Vdev = Vdev.At(index) });
                string bare = MakeRaw($"bare{index}.raw");
                _bareTops.Add(($"d{index}", bare));
                arguments.AddRange([
                    "-blockdev", $$$"""{"driver":"file","node-name":"d{{{index}}}f","filename":"{{{bare}}}","discard":"unmap"}""",
                    "-blockdev", $$$"""{"driver":"raw","node-name":"d{{{index}}}","file":"d{{{index}}}f","discard":"unmap"}""",
                    "-device", $"virtio-blk-pci,drive=d{index}",
                ]);
            }

            await _driver.StartAsync();
            await _driver.Domains.DefineAsync(new()
            {
                Id = _domain,
                Name = "benchmark",
                Cpus = 1,
                MaxCpus = 1,
                Memory = DataSize.FromMiB(64),
                MaxMemory = DataSize.FromMiB(64),
                Disks = [.. _disks],
            });
            await _driver.Domains.StartAsync(_domain);
            _process = Process.Start(new ProcessStartInfo("qemu-system-x86_64", arguments))!;
            _monitor = await BareMonitor.ConnectAsync(Path.Combine(_directory, "bare"));
        }

        private string MakeRaw(string name)
        {
            string path = Path.Combine(_directory, name);
            using FileStream file = File.Create(path);
            file.SetLength(DiskBytes);
            return path;
        }

        private async Task<string> MakeOverlayAsync(string backing, string format, long written)
        {
            string path = Path.Combine(_directory, $"o{Guid.NewGuid():N}.qcow2");
            await ToolAsync("qemu-img", "create", "-q", "-f", "qcow2", "-F", format, "-b", backing, path);
            if (written > 0)
            {
                await ToolAsync("qemu-io", "-f", "qcow2", "-c", string.Create(CultureInfo.InvariantCulture, $"write -P 7 0 {written}"), path);
            }

            return path;
        }
    }
}

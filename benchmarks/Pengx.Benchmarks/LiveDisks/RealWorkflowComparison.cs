using System.Diagnostics;
using System.Globalization;
using System.Security.Cryptography;
using Pengx.Client;

namespace Pengx.Benchmarks.LiveDisks;

/// <summary>
/// Whole operations of the service on a machine that runs, through HTTP with journal and locks, against what a script would send to a
/// second QEMU with the same disk, in alternating rounds of one run: moving the disk to another directory, copying it, and the smallest
/// operation there is, a pause. Run with <c>workflows-real SERVICE [DIRECTORY [MEBIBYTES]]</c>, where SERVICE is <c>Pengx.Host.dll</c>.
/// Both end with what they wrote on the disk; what is left over is deleted between the rounds.
/// </summary>
internal static class RealWorkflowComparison
{
    private const int CopyRounds = 6;
    private const int PauseRounds = 60;

    internal static async Task RunAsync(string service, string? place, string? mebibytes)
    {
        long bytes = (mebibytes is null ? 4096 : long.Parse(mebibytes, CultureInfo.InvariantCulture)) << 20;
        string directory = Directory.CreateDirectory(Path.Combine(place ?? Path.GetTempPath(), $"pxw-{Environment.ProcessId}")).FullName;
        try
        {
            string image = Path.Combine(directory, "filled.raw");
            await FillAsync(image, bytes);
            await using RunningService running = await RunningService.StartAsync(service, Path.Combine(directory, "data"), "qemu");
            using HttpClient http = new(PengxClient.CreateHandler()) { Timeout = Timeout.InfiniteTimeSpan };
            PengxClient client = new(http, new() { BaseAddress = running.Address, Timeout = TimeSpan.FromHours(1) });
            Ours ours = await Ours.StartAsync(client, directory, image, bytes >> 20);
            using Bare bare = await Bare.StartAsync(directory, image);

            Console.WriteLine($"\n{Environment.ProcessorCount} processors, {(await ToolAsync("qemu-img", "--version")).Split('\n')[0]}, a disk of {bytes >> 20} MiB, all written; median, and lowest to highest, in milliseconds.\n");
            Console.WriteLine("| measured | service | bare recipe | service / bare |\n|---|---|---|---|");
            PairedSample pauses = new();
            for (int round = 0; round < PauseRounds; round++)
            {
                await pauses.TakeAsync(round, ours.PauseAsync, bare.PauseAsync);
            }

            pauses.Print("pause and resume, two operations");
            PairedSample moves = new();
            for (int round = 0; round < CopyRounds; round++)
            {
                await moves.TakeAsync(round, ours.MoveAsync, bare.MoveAsync, SettleAsync);
            }

            moves.Print("storage migration");
            PairedSample copies = new();
            for (int round = 0; round < CopyRounds; round++)
            {
                await copies.TakeAsync(round, ours.CopyAsync, bare.CopyAsync, SettleAsync);
                await ours.ForgetCopyAsync();
                bare.ForgetCopy();
            }

            copies.Print("online copy");
            await PrintDiskAsync(image, Path.Combine(directory, "plain"));
            await ours.EndAsync();
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }

    /// <summary>What the disk itself takes to write the same bytes, read from memory or not as the others do.</summary>
    private static async Task PrintDiskAsync(string image, string target)
    {
        List<double> times = [];
        for (int round = 0; round < CopyRounds; round++)
        {
            await SettleAsync();
            long start = Stopwatch.GetTimestamp();
            await ToolAsync("dd", $"if={image}", $"of={target}", "bs=4M", "conv=fsync", "status=none");
            times.Add(Stopwatch.GetElapsedTime(start).TotalMilliseconds);
            File.Delete(target);
        }

        times.Sort();
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"\ndd of the image, flushed: {times[times.Count / 2]:0} ({times[0]:0} to {times[^1]:0}) ms"));
    }

    private static async Task FillAsync(string path, long bytes)
    {
        await using FileStream file = File.Create(path);
        byte[] block = new byte[4 << 20];
        for (long done = 0; done < bytes; done += block.Length)
        {
            RandomNumberGenerator.Fill(block);
            await file.WriteAsync(block.AsMemory(0, (int)Math.Min(block.Length, bytes - done)));
        }

        file.Flush(flushToDisk: true);
    }

    private static Task SettleAsync() => ToolAsync("sync");

    private static async Task<string> ToolAsync(string tool, params string[] arguments) =>
        (await new ProcessRunner().RunAsync(new() { FileName = tool, Arguments = arguments, Timeout = TimeSpan.FromMinutes(10) })).EnsureSuccess().Output;

    /// <summary>The service's machine.</summary>
    private sealed class Ours
    {
        private readonly PengxClient _client;
        private readonly int[] _links;
        private readonly Guid _vm;
        private int _at;
        private Guid? _copy;

        private Ours(PengxClient client, int[] links, Guid vm)
        {
            _client = client;
            _links = links;
            _vm = vm;
        }

        public static async Task<Ours> StartAsync(PengxClient client, string directory, string image, long mebibytes)
        {
            List<int> links = [];
            foreach (string name in (string[])["ours0", "ours1"])
            {
                string store = Directory.CreateDirectory(Path.Combine(directory, name)).FullName;
                links.Add((await client.Storlinks.CreateAsync(new() { Name = name, Link = store, Type = "LO", Level = "FL" })).Id!.Value);
            }

            Guid vm = (await client.Machines.CreateAsync(
                new() { Name = "benchmark", Storlink = links[0], CpuCores = 1, Memory = 128, MaxMemory = 128, OsDiskSize = mebibytes, DiskFormat = "raw", Networks = ["0"] })).Id!.Value;
            await ToolAsync("dd", $"if={image}", $"of={Directory.GetFiles(Path.Combine(directory, "ours0")).Single()}", "bs=4M", "conv=notrunc,fsync", "status=none");
            await client.Machines.StartAsync(vm);
            return new(client, [.. links], vm);
        }

        public async Task PauseAsync()
        {
            await _client.Machines.SuspendAsync(_vm);
            await _client.Machines.ResumeAsync(_vm);
        }

        public async Task MoveAsync()
        {
            _at = 1 - _at;
            await _client.Machines.MigrateStorageAsync(_vm, new() { Storlink = _links[_at] });
        }

        public async Task CopyAsync() => _copy = (await _client.Machines.CopyAsync(_vm, new() { Name = "copied", Storlink = _links[_at] })).Id;

        public async Task ForgetCopyAsync()
        {
            if (_copy is { } copy)
            {
                await _client.Machines.DeleteAsync(copy);
            }
        }

        public async Task EndAsync() => await _client.Machines.PowerOffAsync(_vm);
    }

    /// <summary>A QEMU with the same disk, and a script.</summary>
    private sealed class Bare : IDisposable
    {
        private readonly string _directory;
        private readonly Process _process;
        private readonly BareMonitor _monitor;
        private string _node = "d0";
        private string _path;
        private string _format = "raw";
        private int _made;

        private string CopyPath => Path.Combine(_directory, "copy");

        private Bare(string directory, Process process, BareMonitor monitor, string path)
        {
            _directory = directory;
            _process = process;
            _monitor = monitor;
            _path = path;
        }

        public static async Task<Bare> StartAsync(string directory, string image)
        {
            string store = Directory.CreateDirectory(Path.Combine(directory, "bare")).FullName;
            string disk = Path.Combine(store, "d0.raw");
            string socket = Path.Combine(store, "m");
            await ToolAsync("dd", $"if={image}", $"of={disk}", "bs=4M", "conv=fsync", "status=none");
            Process process = Process.Start(new ProcessStartInfo("qemu-system-x86_64", [
                "-nodefaults", "-no-user-config", "-display", "none", "-machine", "pc", "-accel", "tcg,thread=multi", "-m", "128", "-qmp", $"unix:{socket},server=on,wait=off",
                "-blockdev", $$$"""{"driver":"file","node-name":"d0f","filename":"{{{disk}}}","discard":"unmap"}""",
                "-blockdev", """{"driver":"raw","node-name":"d0","file":"d0f","discard":"unmap"}""",
                "-device", "virtio-blk-pci,drive=d0",
            ]))!;
            return new(store, process, await BareMonitor.ConnectAsync(socket), disk);
        }

        public Task PauseAsync()
        {
            _monitor.Run("""{"execute":"stop"}""");
            _monitor.Run("""{"execute":"cont"}""");
            return Task.CompletedTask;
        }

        public async Task MoveAsync()
        {
            (string Node, string Path) old = (_node, _path);
            await OverlayAsync();
            _monitor.Run($$$"""{"execute":"block-stream","arguments":{"job-id":"move","device":"{{{_node}}}","auto-dismiss":false}}""");
            End("move");
            Remove(old.Node);
            Flush(_path);
            File.Delete(old.Path);
        }

        public async Task CopyAsync()
        {
            (string Node, string Path, string Format) frozen = (_node, _path, _format);
            await OverlayAsync();
            await ToolAsync("qemu-img", "convert", "-U", "-f", frozen.Format, "-O", frozen.Format, "-m", "16", "-W", frozen.Path, CopyPath);
            Flush(CopyPath);
            _monitor.Run($$$"""{"execute":"block-commit","arguments":{"job-id":"back","device":"{{{_node}}}","base-node":"{{{frozen.Node}}}","auto-dismiss":false}}""");
            _monitor.WaitFor("\"status\": \"ready\"");
            _monitor.Run("""{"execute":"job-complete","arguments":{"id":"back"}}""");
            End("back");
            Remove(_node);
            File.Delete(_path);
            (_node, _path, _format) = frozen;
        }

        public void ForgetCopy() => File.Delete(CopyPath);

        public void Dispose()
        {
            _monitor.Dispose();
            _process.Kill();
            _process.WaitForExit();
            _process.Dispose();
        }

        private async Task OverlayAsync()
        {
            string node = $"o{++_made}";
            string path = Path.Combine(_directory, $"{node}.qcow2");
            await ToolAsync("qemu-img", "create", "-q", "-f", "qcow2", "-F", _format, "-b", _path, path);
            _monitor.Run($$$"""{"execute":"blockdev-add","arguments":{"driver":"file","node-name":"{{{node}}}f","filename":"{{{path}}}","discard":"unmap"}}""");
            _monitor.Run($$$"""{"execute":"blockdev-add","arguments":{"driver":"qcow2","node-name":"{{{node}}}","file":"{{{node}}}f","backing":null,"discard":"unmap"}}""");
            _monitor.Run($$$"""{"execute":"blockdev-snapshot","arguments":{"node":"{{{_node}}}","overlay":"{{{node}}}"}}""");
            (_node, _path, _format) = (node, path, "qcow2");
        }

        private void End(string job)
        {
            _monitor.WaitFor($"\"status\": \"concluded\", \"id\": \"{job}\"");
            _monitor.Run($$$"""{"execute":"job-dismiss","arguments":{"id":"{{{job}}}"}}""");
        }

        private void Remove(string node)
        {
            _monitor.Run($$$"""{"execute":"blockdev-del","arguments":{"node-name":"{{{node}}}"}}""");
            _monitor.Run($$$"""{"execute":"blockdev-del","arguments":{"node-name":"{{{node}}}f"}}""");
        }

        private static void Flush(string path)
        {
            using FileStream file = new(path, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite);
            file.Flush(flushToDisk: true);
        }
    }
}

using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using Pengx.Storage;

namespace Pengx.Benchmarks.Copying;

/// <summary>
/// Our copy against <c>qemu-img</c>, <c>cp</c> and the disk itself, on the same data, in shuffled rounds of one run: on a shared machine
/// only the ratio within a run means anything. Run with <c>copy-real [DIRECTORY [MEBIBYTES [CASE [ROUNDS]]]]</c>, CASE such as "qcow2 to raw" or "ext4, qcow2 to raw"; prints a table for the directory's file system and,
/// as root, one for XFS on a loop device. The source is dropped from memory before each copy, and a copy ends when it is durable.
/// </summary>
internal static partial class RealCopyComparison
{
    // 900 MiB of 2048.
    private static long s_size = 2L << 30;
    private static int s_rounds = 7;
    private static string? s_only;

    private static long Allocated => s_size / 2048 * 900;

    internal static async Task RunAsync(string? place, string? mebibytes, string? only, string? rounds)
    {
        s_only = only;
        s_rounds = rounds is null ? s_rounds : int.Parse(rounds, CultureInfo.InvariantCulture);
        s_size = mebibytes is null ? s_size : long.Parse(mebibytes, CultureInfo.InvariantCulture) << 20;
        string directory = Directory.CreateDirectory(Path.Combine(place ?? Path.GetTempPath(), $"pengx-copy-{Environment.ProcessId}")).FullName;
        try
        {
            Console.WriteLine($"\n{Environment.ProcessorCount} processors, {(await TextAsync("qemu-img", "--version")).Split('\n')[0]}, {s_size >> 20} MiB with {Allocated >> 20} MiB allocated, {s_rounds} rounds.");
            await LimitsAsync(directory);
            await ComparePlaceAsync(directory, await TextAsync("findmnt", "-n", "-o", "FSTYPE", "-T", directory));
            if (Environment.UserName == "root")
            {
                await OnXfsAsync(directory);
            }
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }

    private static async Task OnXfsAsync(string directory)
    {
        string backing = Path.Combine(directory, "xfs");
        string mount = Directory.CreateDirectory(Path.Combine(directory, "mnt")).FullName;
        await using (FileStream file = File.Create(backing))
        {
            file.SetLength(16L << 30);
        }

        string loop = (await TextAsync("losetup", "--direct-io=on", "--show", "-f", backing)).Trim();
        try
        {
            await TextAsync("mkfs.xfs", "-q", loop);
            await TextAsync("mount", loop, mount);
            try
            {
                await ComparePlaceAsync(mount, "xfs");
            }
            finally
            {
                await TextAsync("umount", mount);
            }
        }
        finally
        {
            await TextAsync("losetup", "-d", loop);
        }
    }

    private static async Task ComparePlaceAsync(string directory, string name)
    {
        Sources sources = await Sources.MakeAsync(directory);
        (string Name, DiskLayer Source, DiskFormat Format)[] cases =
        [
            ("raw to raw", sources.Raw, DiskFormat.Raw),
            ("raw to qcow2", sources.Raw, DiskFormat.Qcow2),
            ("qcow2 to raw", sources.Qcow2, DiskFormat.Raw),
            ("qcow2 to qcow2", sources.Qcow2, DiskFormat.Qcow2),
            ("chain to qcow2", sources.Chain, DiskFormat.Qcow2),
        ];
        foreach ((string copy, DiskLayer source, DiskFormat format) in cases)
        {
            string title = $"{name.Trim()}, {copy}";
            if (s_only is null || title.EndsWith(s_only, StringComparison.Ordinal))
            {
                await CompareAsync(directory, title, sources, source, format);
            }
        }

        foreach (string path in sources.Files)
        {
            File.Delete(path);
        }
    }

    private static async Task CompareAsync(string directory, string title, Sources sources, DiskLayer source, DiskFormat format)
    {
        string from = source.Location.ToString()!;
        string to = Path.Combine(directory, "copy");
        DiskLayer target = new(new FileLocation(to), format);
        ImageCopier copier = new(new ProcessRunner());
        string plan = (await copier.PlanAsync(new() { Source = source, Target = target })).Method.ToString();
        string[] formats = ["-f", source.Format.Name, "-O", format.Name];
        List<(string Name, Func<Task> Run)> contenders =
        [
            ($"Pengx ({plan})", async () => await copier.CopyAsync(new() { Source = source, Target = target })),
            ("qemu-img convert", () => ToolAsync(to, "qemu-img", ["convert", .. formats, from, to])),
            ("qemu-img convert -m 16 -W", () => ToolAsync(to, "qemu-img", ["convert", "-m", "16", "-W", .. formats, from, to])),
            ("qemu-img convert -C -m 16 -W", () => ToolAsync(to, "qemu-img", ["convert", "-C", "-m", "16", "-W", .. formats, from, to])),
            ("qemu-img convert -m 16 -W -t none -T none", () => ToolAsync(to, "qemu-img", ["convert", "-m", "16", "-W", "-t", "none", "-T", "none", .. formats, from, to])),
        ];
        if (source.Format == format && source != sources.Chain)
        {
            contenders.Add(("cp --sparse=always", () => ToolAsync(to, "cp", ["--sparse=always", "--reflink=never", from, to])));
            contenders.Add(("cp --reflink=auto", () => ToolAsync(to, "cp", ["--reflink=auto", from, to])));
        }

        double[][] times = [.. contenders.Select(_ => new double[s_rounds])];
        int[] order = [.. Enumerable.Range(0, contenders.Count)];
        for (int round = -1; round < s_rounds; round++)
        {
            Random.Shared.Shuffle(order);
            foreach (int index in order)
            {
                // None pays for what the one before it deleted.
                await TextAsync("sync");
                foreach (string path in sources.Files)
                {
                    Evict(path);
                }

                long started = Stopwatch.GetTimestamp();
                await contenders[index].Run();
                if (round >= 0)
                {
                    times[index][round] = Stopwatch.GetElapsedTime(started).TotalSeconds;
                }
                else
                {
                    // The first round only proves each copy.
                    await TextAsync("qemu-img", "compare", "-f", source.Format.Name, "-F", format.Name, from, to);
                }

                File.Delete(to);
            }
        }

        // The best of several medians is below each one's true value where rounds scatter; what stood side by side in one round is not.
        double best = times.Skip(1).Min(Median);
        double floor = times.Skip(1).Min(rounds => rounds.Min());
        Console.WriteLine($"\n| {title} | median s | lowest s | median / best other's | lowest / best other's | ours / this, median of the rounds | middle half |\n|---|---|---|---|---|---|---|");
        for (int i = 0; i < contenders.Count; i++)
        {
            double[] ratios = [.. times[0].Zip(times[i], (ours, other) => ours / other).Order()];
            Console.WriteLine(string.Create(
                CultureInfo.InvariantCulture,
                $"| {contenders[i].Name} | {Median(times[i]):0.000} | {times[i].Min():0.000} | {Median(times[i]) / best:0.00} | {times[i].Min() / floor:0.00} | {Median(ratios):0.00} | {ratios[ratios.Length / 4]:0.00} to {ratios[ratios.Length * 3 / 4]:0.00} |"));
        }
    }

    private static async Task LimitsAsync(string directory)
    {
        string path = Path.Combine(directory, "limit");
        double[] write = new double[s_rounds];
        double[] read = new double[s_rounds];
        for (int round = 0; round < s_rounds; round++)
        {
            long started = Stopwatch.GetTimestamp();
            await TextAsync("dd", "if=/dev/zero", $"of={path}", "bs=4M", $"count={Allocated >> 22}", "oflag=direct", "conv=fdatasync", "status=none");
            write[round] = Stopwatch.GetElapsedTime(started).TotalSeconds;
            started = Stopwatch.GetTimestamp();
            await TextAsync("dd", $"if={path}", "of=/dev/null", "bs=4M", "iflag=direct", "status=none");
            read[round] = Stopwatch.GetElapsedTime(started).TotalSeconds;
            File.Delete(path);
        }

        Console.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"The disk, {Allocated >> 20} MiB past the page cache: write {Median(write):0.000} s (lowest {write.Min():0.000}), read {Median(read):0.000} s (lowest {read.Min():0.000})."));
    }

    private static double Median(double[] values) => values.Order().ElementAt(values.Length / 2);

    // Ours is durable when it says so; the others need a flush.
    private static async Task ToolAsync(string target, string program, string[] arguments)
    {
        await TextAsync(program, arguments);
        using FileStream file = File.Open(target, FileMode.Open, FileAccess.ReadWrite);
        file.Flush(flushToDisk: true);
    }

    private static async Task<string> TextAsync(string program, params string[] arguments)
    {
        using Process process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        Task<string> error = process.StandardError.ReadToEndAsync();
        string output = await process.StandardOutput.ReadToEndAsync();
        await process.WaitForExitAsync();
        return process.ExitCode == 0 ? output : throw new InvalidOperationException($"{program} {string.Join(' ', arguments)}: {await error}");
    }

    private static void Evict(string path)
    {
        using FileStream file = File.OpenRead(path);
        file.Flush(flushToDisk: true);
        _ = posix_fadvise((int)file.SafeFileHandle.DangerousGetHandle(), 0, 0, 4);
    }

    [LibraryImport("libc")]
    private static partial int posix_fadvise(int descriptor, long offset, long length, int advice);

    private sealed record Sources(DiskLayer Raw, DiskLayer Qcow2, DiskLayer Chain, string[] Files)
    {
        public static async Task<Sources> MakeAsync(string directory)
        {
            string raw = Path.Combine(directory, "source.raw");
            string qcow2 = Path.Combine(directory, "source.qcow2");
            string top = Path.Combine(directory, "top.qcow2");
            await using (FileStream file = File.Create(raw))
            {
                // Extents of 64 KiB to 12 MiB at places without order, half of what they hold is compressible.
                file.SetLength(s_size);
                Random random = new(1);
                byte[] bytes = new byte[12 << 20];
                for (long written = 0; written < Allocated;)
                {
                    int length = random.Next(1, 193) << 16;
                    random.NextBytes(bytes.AsSpan(0, length / 2));
                    bytes.AsSpan(length / 2, length / 2).Fill((byte)random.Next(1, 256));
                    file.Position = random.NextInt64((s_size - length) >> 16) << 16;
                    await file.WriteAsync(bytes.AsMemory(0, length));
                    written += length;
                }

                file.Flush(flushToDisk: true);
            }

            await TextAsync("qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, qcow2);
            await TextAsync("qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", qcow2, top);
            string[] writes = [.. Enumerable.Range(0, 60).SelectMany(i => new[] { "-c", $"write -q -P {i + 1} {i * (s_size >> 10) / 62}k 1M" })];
            await TextAsync("qemu-io", ["-f", "qcow2", .. writes, top]);
            return new(
                new(new FileLocation(raw), DiskFormat.Raw), new(new FileLocation(qcow2), DiskFormat.Qcow2), new(new FileLocation(top), DiskFormat.Qcow2), [raw, qcow2, top]);
        }
    }
}

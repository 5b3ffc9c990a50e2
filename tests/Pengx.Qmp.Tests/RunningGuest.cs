using System.Diagnostics;
using System.Globalization;
using Pengx.Testing;

namespace Pengx.Qmp.Tests;

/// <summary>The test guest at work: it writes its counter to its second disk (<c>disk1</c>) all the time and prints what it has flushed.</summary>
public sealed class RunningGuest : IAsyncLifetime
{
    public const long DiskSize = 48 << 20;
    private static readonly TimeSpan s_limit = TimeSpan.FromSeconds(90);
    private readonly RealMonitor _monitor = new();
    private QmpClient? _client;
    private int _names;

    public QmpClient Client => _client!;

    public string SocketPath => _monitor.SocketPath;

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    /// <summary>Starts nothing yet: a test that is skipped needs no guest.</summary>
    public ValueTask InitializeAsync() => ValueTask.CompletedTask;

    public async Task EnsureStartedAsync()
    {
        if (_client is not null)
        {
            return;
        }

        Requires.Tool("qemu-system-x86_64", "qemu");
        Requires.Tool("qemu-img", "qemu");
        string boot = GuestImage.CopyTo(PathOf("boot.raw"));
        string data = PathOf("data.qcow2");
        await ImageToolAsync("create", "-q", "-f", "qcow2", data, DiskSize.ToString(CultureInfo.InvariantCulture));
        // Something to copy, beyond the counter, so that jobs take a while where they are told to go slowly.
        using (Process fill = Process.Start("qemu-io", ["-f", "qcow2", "-c", "write -q -P 90 8M 24M", data]))
        {
            await fill.WaitForExitAsync(Stop);
        }

        _client = await _monitor.StartAsync(
            "pc",
            "-cpu", "qemu64", "-m", "128M", "-no-user-config", "-serial", $"file:{PathOf("serial")}",
            "-blockdev", $"driver=file,node-name=f0,filename={boot}", "-blockdev", "driver=raw,node-name=d0,file=f0",
            "-blockdev", $"driver=file,node-name=f1,filename={data}", "-blockdev", "driver=qcow2,node-name=d1,file=f1",
            "-device", "virtio-blk-pci,drive=d0,id=disk0,bootindex=0", "-device", "virtio-blk-pci,drive=d1,id=disk1");
        await FlushedBeyondAsync(0);
    }

    public string PathOf(string name) => Path.Combine(_monitor.Directory, name);

    public string NewName(string kind) => $"{kind}{Interlocked.Increment(ref _names)}";

    /// <summary>Makes an image; the guest's data disk's size unless another is given.</summary>
    public async Task<string> NewImageAsync(string name, string format = "qcow2", string? backing = null, long size = DiskSize)
    {
        string path = PathOf($"{name}.{format}");
        string[] beneath = backing is null ? [] : ["-b", backing, "-F", "qcow2", "-u"];
        await ImageToolAsync(["create", "-q", "-f", format, .. beneath, path, size.ToString(CultureInfo.InvariantCulture)]);
        return path;
    }

    /// <summary>The last number that the guest has printed as flushed.</summary>
    public long Flushed()
    {
        using FileStream serial = new(PathOf("serial"), FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
        using StreamReader reader = new(serial);
        long last = 0;
        while (reader.ReadLine() is { } line)
        {
            int at = line.IndexOf("PENGX-GUEST flushed ", StringComparison.Ordinal);
            if (at >= 0 && long.TryParse(line.AsSpan(at + 20), NumberStyles.None, CultureInfo.InvariantCulture, out long number))
            {
                last = Math.Max(last, number);
            }
        }

        return last;
    }

    /// <summary>Waits until the guest has flushed some more.</summary>
    public async Task<long> FlushedBeyondAsync(long number)
    {
        long started = Stopwatch.GetTimestamp();
        using PeriodicTimer poll = new(TimeSpan.FromMilliseconds(50));
        while (await poll.WaitForNextTickAsync(Stop))
        {
            if (File.Exists(PathOf("serial")) && Flushed() is long last && last > number + 1)
            {
                return last;
            }

            Assert.True(Stopwatch.GetElapsedTime(started) < s_limit, $"The guest flushed nothing beyond {number}.");
        }

        throw new InvalidOperationException();
    }

    /// <summary>Demands that the guest goes on, and that all it has flushed is in the image that its disk now stands for.</summary>
    public async Task AssertIntactAsync(string image, string format)
    {
        await FlushedBeyondAsync(Flushed());
        await Client.ExecuteAsync(QmpCommands.Stop, Stop);
        long flushed = Flushed();
        long newest = await NewestInAsync(image, format);
        await Client.ExecuteAsync(QmpCommands.Cont, Stop);
        Assert.InRange(newest, flushed, flushed + 1);
    }

    /// <summary>The newest record in an image with everything beneath it; every record before it is there too.</summary>
    public async Task<long> NewestInAsync(string image, string format)
    {
        string raw = PathOf(NewName("check") + ".raw");
        await ImageToolAsync("convert", "-U", "-f", format, "-O", "raw", image, raw);
        try
        {
            return await GuestCounter.ReadNewestAsync(raw, Stop);
        }
        finally
        {
            File.Delete(raw);
        }
    }

    public void Kill() => _monitor.Signal("KILL");

    public async ValueTask DisposeAsync()
    {
        if (_client is not null)
        {
            await _client.DisposeAsync();
        }

        await _monitor.DisposeAsync();
    }

    public static async Task ImageToolAsync(params string[] arguments)
    {
        ProcessStartInfo start = new("qemu-img", arguments) { RedirectStandardError = true };
        using Process tool = Process.Start(start)!;
        string errors = await tool.StandardError.ReadToEndAsync(Stop);
        await tool.WaitForExitAsync(Stop);
        Assert.True(tool.ExitCode == 0, errors);
    }
}

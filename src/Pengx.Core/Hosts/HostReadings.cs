using System.Globalization;

namespace Pengx;

/// <summary>What <c>/proc</c> and <c>/sys</c> say of the host.</summary>
internal sealed class HostReadings
{
    private readonly Lock _gate = new();
    private (long Busy, long Total) _previous;

    /// <summary>Tells one boot of the host from another.</summary>
    public static string BootId() => File.ReadAllText("/proc/sys/kernel/random/boot_id").Trim();

    /// <summary>All memory, and what a new guest could get (<c>MemAvailable</c>).</summary>
    /// <exception cref="UnavailableException">The kernel does not say.</exception>
    public static (DataSize Total, DataSize Free) ReadMemory()
    {
        long total = -1;
        long available = -1;
        foreach (var line in File.ReadLines("/proc/meminfo"))
        {
            if (line.StartsWith("MemTotal:", StringComparison.Ordinal))
            {
                total = Kibibytes(line);
            }
            else if (line.StartsWith("MemAvailable:", StringComparison.Ordinal))
            {
                available = Kibibytes(line);
                break;
            }
        }

        return total > 0 && available >= 0
            ? (new(total * 1024), new(available * 1024))
            : throw new UnavailableException("/proc/meminfo does not tell the host's memory.");
    }

    /// <summary>Threads of the first processor's core.</summary>
    public static int ReadThreadsPerCore()
    {
        try
        {
            var count = 0;
            foreach (var part in File.ReadAllText("/sys/devices/system/cpu/cpu0/topology/thread_siblings_list").Trim().Split(','))
            {
                var range = part.Split('-');
                count += range.Length == 2
                    ? int.Parse(range[1], CultureInfo.InvariantCulture) - int.Parse(range[0], CultureInfo.InvariantCulture) + 1
                    : 1;
            }

            return Math.Max(1, count);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or FormatException)
        {
            return 1;
        }
    }

    /// <summary>Bytes over the physical interfaces: those with a device behind them.</summary>
    public static (long Received, long Sent) ReadTraffic()
    {
        long received = 0;
        long sent = 0;
        foreach (var entry in Directory.EnumerateFileSystemEntries("/sys/class/net"))
        {
            if (Path.Exists(Path.Combine(entry, "device")))
            {
                received += ReadNumber(Path.Combine(entry, "statistics/rx_bytes"));
                sent += ReadNumber(Path.Combine(entry, "statistics/tx_bytes"));
            }
        }

        return (received, sent);
    }

    /// <summary>Processor use since the previous reading, or since boot the first time, in percent.</summary>
    public double ReadCpuUtilization()
    {
        using var reader = new StreamReader("/proc/stat");
        var fields = (reader.ReadLine() ?? "").Split(' ', StringSplitOptions.RemoveEmptyEntries);
        long busy = 0;
        long total = 0;

        // user nice system idle iowait irq softirq steal; a guest's time is within user's.
        for (var i = 1; i < fields.Length && i <= 8; i++)
        {
            var ticks = long.Parse(fields[i], CultureInfo.InvariantCulture);
            total += ticks;
            busy += i is 4 or 5 ? 0 : ticks;
        }

        lock (_gate)
        {
            var (busyBefore, totalBefore) = _previous;
            _previous = (busy, total);
            return total > totalBefore ? Math.Clamp(100.0 * (busy - busyBefore) / (total - totalBefore), 0, 100) : 0;
        }
    }

    private static long Kibibytes(string line) => long.Parse(line.AsSpan(line.IndexOf(':') + 1).Trim().TrimEnd("kB").Trim(), CultureInfo.InvariantCulture);

    private static long ReadNumber(string path)
    {
        try
        {
            return long.Parse(File.ReadAllText(path), CultureInfo.InvariantCulture);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or FormatException)
        {
            return 0;
        }
    }
}

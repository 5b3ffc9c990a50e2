using System.Globalization;
using System.Text;

namespace Pengx.Xen;

/// <summary>A row of <c>xl list</c>, with or without <c>-v</c>.</summary>
/// <param name="Name">The domain's name; <see langword="null"/> where Xen has none any more (a zombie).</param>
/// <param name="Domain">Its number.</param>
/// <param name="Memory">What it holds of the host's memory.</param>
/// <param name="Cpus">Its virtual processors that are on.</param>
/// <param name="State">Its state.</param>
/// <param name="CpuTime">Processor time since its start.</param>
/// <param name="Id">Its UUID; <see langword="null"/> without <c>-v</c>.</param>
internal sealed record XlListEntry(string? Name, int Domain, DataSize Memory, int Cpus, XlDomainState State, TimeSpan CpuTime, DomainId? Id = null)
{
    private const string Heading = "Name ID Mem VCPUs State Time(s)";
    private const string VerboseHeading = Heading + " UUID Reason-Code Security Label";

    /// <summary>Reads the answer.</summary>
    /// <param name="output">What xl printed.</param>
    /// <exception cref="HypervisorException">It is no such answer.</exception>
    public static IReadOnlyList<XlListEntry> Parse(string output) => XlTable.HasHeading(output, VerboseHeading)
        ? XlTable.Parse(output, VerboseHeading, "xl list", ParseVerboseRow)
        : XlTable.Parse(output, Heading, "xl list", line => ParseRow(line, null));

    // The reason is in the state's letters, too; the label is that of Xen's own access control.
    private static XlListEntry? ParseVerboseRow(string line)
    {
        var rest = line.AsSpan();
        return XlTable.TakeLast(ref rest) is not null && XlTable.TakeLast(ref rest) is not null
            && XlTable.TakeLast(ref rest) is { } uuid && DomainId.TryParse(uuid, out var id)
            ? ParseRow(rest, id)
            : null;
    }

    // From the right: a name may hold blanks.
    private static XlListEntry? ParseRow(ReadOnlySpan<char> rest, DomainId? id)
    {
        if (XlTable.TakeLast(ref rest) is not { } time || !double.TryParse(time, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var seconds)
            || XlTable.TakeLast(ref rest) is not { } letters || !XlDomainState.TryParse(letters, out var state)
            || XlTable.TakeLastInteger(ref rest) is not { } cpus
            || XlTable.TakeLastInteger(ref rest) is not { } memory
            || XlTable.TakeLastInteger(ref rest) is not { } domain)
        {
            return null;
        }

        return new(XlTable.Name(rest), (int)domain, DataSize.FromMiB(memory), (int)cpus, state, TimeSpan.FromSeconds(seconds), id);
    }
}

/// <summary>A row of <c>xl vm-list</c>.</summary>
/// <param name="Id">The domain's UUID.</param>
/// <param name="Domain">Its number.</param>
/// <param name="Name">Its name; <see langword="null"/> where Xen has none any more.</param>
internal sealed record XlVmListEntry(DomainId Id, int Domain, string? Name)
{
    /// <summary>Reads the answer.</summary>
    /// <param name="output">What xl printed.</param>
    /// <exception cref="HypervisorException">It is no such answer.</exception>
    public static IReadOnlyList<XlVmListEntry> Parse(string output) => XlTable.Parse(output, "UUID ID name", "xl vm-list", ParseRow);

    // From the left: a UUID, a number, and the name is the rest.
    private static XlVmListEntry? ParseRow(string line)
    {
        var rest = line.AsSpan();
        return DomainId.TryParse(XlTable.TakeFirst(ref rest).ToString(), out var id) && XlTable.TryInteger(XlTable.TakeFirst(ref rest), out var domain)
            ? new(id, (int)domain, XlTable.Name(rest))
            : null;
    }
}

/// <summary>A row of <c>xl uptime</c>.</summary>
/// <param name="Name">The domain's name.</param>
/// <param name="Domain">Its number.</param>
/// <param name="Uptime">How long it has run.</param>
internal sealed record XlUptimeEntry(string? Name, int Domain, TimeSpan Uptime)
{
    /// <summary>Reads the answer.</summary>
    /// <param name="output">What xl printed.</param>
    /// <exception cref="HypervisorException">It is no such answer.</exception>
    public static IReadOnlyList<XlUptimeEntry> Parse(string output) => XlTable.Parse(output, "Name ID Uptime", "xl uptime", ParseRow);

    // "1 day, 2:03:04" before the end, or the clock alone.
    private static XlUptimeEntry? ParseRow(string line)
    {
        var rest = line.AsSpan();
        var clock = XlTable.TakeLast(ref rest);
        if (clock is null || !TryClock(clock, out var uptime))
        {
            return null;
        }

        if (rest.EndsWith(" day,", StringComparison.Ordinal) || rest.EndsWith(" days,", StringComparison.Ordinal))
        {
            _ = XlTable.TakeLast(ref rest);
            if (XlTable.TakeLastInteger(ref rest) is not { } days)
            {
                return null;
            }

            uptime += TimeSpan.FromDays(days);
        }

        return XlTable.TakeLastInteger(ref rest) is { } domain ? new(XlTable.Name(rest), (int)domain, uptime) : null;
    }

    private static bool TryClock(string clock, out TimeSpan time)
    {
        time = default;
        var parts = clock.Split(':');
        if (parts.Length != 3 || !XlTable.TryInteger(parts[0], out var hours) || !XlTable.TryInteger(parts[1], out var minutes) || !XlTable.TryInteger(parts[2], out var seconds))
        {
            return false;
        }

        time = new TimeSpan((int)hours, (int)minutes, (int)seconds);
        return true;
    }
}

/// <summary>A row of <c>xl block-list</c>.</summary>
/// <param name="Device">The device's number: 51712 is <c>xvda</c>, 768 <c>hda</c>.</param>
/// <param name="State">The connection's state; 4 is connected.</param>
/// <param name="BackendPath">Where xenstore has the backend.</param>
internal sealed record XlBlockEntry(int Device, int State, string BackendPath)
{
    /// <summary>Reads the answer.</summary>
    /// <param name="output">What xl printed.</param>
    /// <exception cref="HypervisorException">It is no such answer.</exception>
    public static IReadOnlyList<XlBlockEntry> Parse(string output) => XlTable.Parse(output, "Vdev BE handle state evt-ch ring-ref BE-path", "xl block-list", ParseRow);

    private static XlBlockEntry? ParseRow(string line)
    {
        var columns = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
        return columns.Length == 7 && XlTable.TryInteger(columns[0], out var device) && XlTable.TryInteger(columns[3], out var state)
            ? new((int)device, (int)state, columns[6])
            : null;
    }
}

/// <summary>A row of <c>xl network-list</c>.</summary>
/// <param name="Index">The interface's number in the guest.</param>
/// <param name="Mac">Its address.</param>
/// <param name="State">The connection's state; 4 is connected.</param>
/// <param name="BackendPath">Where xenstore has the backend.</param>
internal sealed record XlNicEntry(int Index, MacAddress Mac, int State, string BackendPath)
{
    /// <summary>Reads the answer.</summary>
    /// <param name="output">What xl printed.</param>
    /// <exception cref="HypervisorException">It is no such answer.</exception>
    public static IReadOnlyList<XlNicEntry> Parse(string output) => XlTable.Parse(output, "Idx BE Mac Addr. handle state evt-ch tx-/rx-ring-ref BE-path", "xl network-list", ParseRow);

    private static XlNicEntry? ParseRow(string line)
    {
        var columns = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
        return columns.Length == 8 && XlTable.TryInteger(columns[0], out var index) && MacAddress.TryParse(columns[2], out var mac) && XlTable.TryInteger(columns[4], out var state)
            ? new((int)index, mac, (int)state, columns[7])
            : null;
    }
}

/// <summary>What all tables of xl have in common.</summary>
internal static class XlTable
{
    public static IReadOnlyList<T> Parse<T>(string output, string header, string command, Func<string, T?> parseRow)
        where T : class
    {
        var lines = output.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        if (lines.Length == 0 || !Squeeze(lines[0]).Equals(header, StringComparison.Ordinal))
        {
            throw new HypervisorException($"The answer of {command} has another heading than '{header}'.");
        }

        List<T> rows = new(lines.Length - 1);
        foreach (var line in lines.AsSpan(1))
        {
            rows.Add(parseRow(line.TrimEnd()) ?? throw new HypervisorException($"The answer of {command} has a row that is none: '{line}'."));
        }

        return rows;
    }

    public static bool HasHeading(string output, string heading)
    {
        var end = output.IndexOf('\n', StringComparison.Ordinal);
        return Squeeze(end < 0 ? output : output[..end]).Equals(heading, StringComparison.Ordinal);
    }

    public static string? TakeLast(ref ReadOnlySpan<char> rest)
    {
        var trimmed = rest.TrimEnd(" \t");
        var blank = trimmed.LastIndexOfAny(' ', '\t');
        var word = trimmed[(blank + 1)..];
        rest = trimmed[..(blank + 1)].TrimEnd(" \t");
        return word.Length == 0 ? null : word.ToString();
    }

    public static long? TakeLastInteger(ref ReadOnlySpan<char> rest) => TryInteger(TakeLast(ref rest), out var number) ? number : null;

    public static ReadOnlySpan<char> TakeFirst(ref ReadOnlySpan<char> rest)
    {
        var trimmed = rest.TrimStart(' ');
        var blank = trimmed.IndexOf(' ');
        var word = blank < 0 ? trimmed : trimmed[..blank];
        rest = blank < 0 ? [] : trimmed[blank..].TrimStart(' ');
        return word;
    }

    public static bool TryInteger(ReadOnlySpan<char> text, out long number) =>
        long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out number) && number <= int.MaxValue;

    // A domain that is gone but for what it still holds has no name any more.
    public static string? Name(ReadOnlySpan<char> text) => text.TrimEnd() is var name && (name.Length == 0 || name is "(null)") ? null : name.ToString();

    private static string Squeeze(string text)
    {
        var output = new StringBuilder(text.Length);
        foreach (var word in text.Split([' ', '\t'], StringSplitOptions.RemoveEmptyEntries))
        {
            output.Append(output.Length == 0 ? "" : " ").Append(word);
        }

        return output.ToString();
    }
}

namespace Pengx.Xen;

/// <summary>The answer of <c>xl info</c>.</summary>
internal sealed record XlInfo
{
    private readonly Dictionary<string, string> _values = new(StringComparer.Ordinal);

    private XlInfo()
    {
    }

    /// <summary>Everything that was said, by its key.</summary>
    public IReadOnlyDictionary<string, string> Values => _values;

    /// <summary>The host's name.</summary>
    public string Host => Get("host");

    /// <summary>Xen's version, such as <c>4.17.7</c>.</summary>
    public string XenVersion => Get("xen_version");

    /// <summary>Logical processors.</summary>
    public int Cpus => (int)GetNumber("nr_cpus");

    /// <summary>Threads per core.</summary>
    public int ThreadsPerCore => (int)GetNumber("threads_per_core");

    /// <summary>All memory of the host.</summary>
    public DataSize Memory => DataSize.FromMiB(GetNumber("total_memory"));

    /// <summary>Memory that Xen has given to nobody.</summary>
    public DataSize FreeMemory => DataSize.FromMiB(GetNumber("free_memory"));

    /// <summary>Memory promised to domains that are just being created.</summary>
    public DataSize ClaimedMemory => DataSize.FromMiB(_values.ContainsKey("outstanding_claims") ? GetNumber("outstanding_claims") : 0);

    /// <summary>Whether a guest kind can run here.</summary>
    /// <param name="kind">The kind.</param>
    public bool Supports(XlGuestKind kind)
    {
        // PVH needs what HVM needs.
        var wanted = kind == XlGuestKind.Pv ? "pv" : "hvm";
        return (_values.GetValueOrDefault("virt_caps") ?? "").Split(' ', StringSplitOptions.RemoveEmptyEntries).Contains(wanted);
    }

    /// <summary>Whether Xen can follow what a running PV guest writes, which moving it needs.</summary>
    public bool HasShadowPaging => Get("virt_caps").Split(' ').Contains("shadow");

    /// <summary>The host as the port wants it.</summary>
    public HostFacts ToFacts() => new() { Cpus = Cpus, ThreadsPerCore = ThreadsPerCore, Memory = Memory, FreeMemory = FreeMemory };

    /// <summary>Reads the answer.</summary>
    /// <param name="output">What xl printed.</param>
    /// <exception cref="HypervisorException">Something of it that is needed is missing or no number.</exception>
    public static XlInfo Parse(string output)
    {
        ArgumentNullException.ThrowIfNull(output);
        var info = new XlInfo();
        foreach (var line in output.Split('\n'))
        {
            // Keys stand in the first column; what is indented belongs to a table of xl info -n.
            var colon = line.IndexOf(':', StringComparison.Ordinal);
            if (colon > 0 && char.IsAsciiLetterLower(line[0]))
            {
                info._values.TryAdd(line[..colon].TrimEnd(), line[(colon + 1)..].Trim());
            }
        }

        _ = (info.XenVersion, info.ToFacts());
        return info;
    }

    private string Get(string key) => _values.GetValueOrDefault(key) ?? throw new HypervisorException($"The answer of xl info has no {key}.");

    private long GetNumber(string key) => XlTable.TryInteger(Get(key), out var number) ? number : throw new HypervisorException($"The answer of xl info has a {key} that is no number.");
}

namespace Pengx.Client.Tests;

/// <summary>What the original server knows.</summary>
internal static class OriginalData
{
    public const string Nasty = "a <b> & \"c\" 'd' – ü";

    public static readonly Guid Id = Guid.Parse("bed05d84-7c44-4720-9588-57cbd8ecef8c");
    public static readonly Guid Pm = Guid.Parse("11111111-2222-4333-8444-555555555555");
    public static readonly DateTime Created = new(2026, 11, 23, 6, 23, 0);
    public static readonly DateTime Booted = new(2026, 9, 1, 12, 0, 0);

    private static readonly Dictionary<string, object?> WithUuids = MakeContext(Id, null);
    private static readonly Dictionary<string, object?> WithNumbers = MakeContext(7, "LO");

    /// <summary>What a view's template sees: storage links and interfaces have numbers, everything else UUIDs.</summary>
    public static IReadOnlyDictionary<string, object?> ContextOf(string view) =>
        view.StartsWith("Storlink", StringComparison.Ordinal) || view.StartsWith("Interface", StringComparison.Ordinal) ? WithNumbers : WithUuids;

    private static Dictionary<string, object?> MakeContext(object id, string? type)
    {
        // One object has the fields of every model: each template shows what it has to.
        var thing = new Dictionary<string, object?>
        {
            ["uuid"] = Id,
            ["name"] = Nasty,
            ["status"] = "RUNNING",
            ["state"] = "SHUTDOWN",
            ["cpu"] = 2,
            ["cpus"] = 8,
            ["memory"] = 512,
            ["maxmem"] = 1024,
            ["disk_size"] = "10240.0",
            ["size"] = 10240,
            ["free"] = null,
            ["pm"] = Pm,
            ["pm_name"] = "xen1",
            ["os"] = "DEBIAN",
            ["os_arch"] = "X64",
            ["os_type"] = "X64",
            ["desc"] = null,
            ["created_at"] = Created,
            ["recent_booted_at"] = Booted,
            ["vnc_port"] = 5901,
            ["vnc_passwd"] = "secret",
            ["order"] = 0,
            ["vm"] = Id,
            ["format"] = "qcow2",
            ["type"] = type,
            ["storlink"] = 2,
            ["link"] = "/data1",
            ["level"] = "FL",
            ["shared"] = true,
            ["switch_name"] = "xenbr0",
            ["mac"] = "00:16:3e:00:00:01",
            ["ip"] = null,
            ["parent"] = null,
            ["vm_count"] = 3,
            ["smt"] = false,
            ["used_cpu_cores"] = 4,
            ["cpu_util"] = 12.5,
            ["used_memory"] = 2048,
            ["memory_util"] = 25.0,
            ["iface_rx_sum"] = 5_000_000_000,
            ["iface_tx_sum"] = 7,
        };
        var nic = new Dictionary<string, object?>(thing) { ["name"] = "eth0", ["ip"] = new Dictionary<string, object?> { ["address"] = "192.168.0.1" } };
        thing["network_set"] = new object[] { nic, new Dictionary<string, object?>(nic) { ["ip"] = null, ["mac"] = null } };
        thing["vmiface_set"] = new object[] { nic };
        thing["id"] = id;
        return new()
        {
            ["data"] = new Both(thing),
            ["d"] = thing,
            ["vm"] = thing,
            ["net"] = nic,
            ["gvm"] = thing,
            ["disk"] = thing,
        };
    }

    /// <summary>What the templates call <c>data</c>: one object to some, a list of it to others.</summary>
    private sealed class Both(Dictionary<string, object?> thing) : Dictionary<string, object?>(thing), System.Collections.IEnumerable
    {
        System.Collections.IEnumerator System.Collections.IEnumerable.GetEnumerator() => new object[] { thing }.GetEnumerator();
    }
}

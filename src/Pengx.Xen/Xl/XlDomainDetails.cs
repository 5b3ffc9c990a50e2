using System.Text.Json;

namespace Pengx.Xen;

/// <summary>A domain's configuration as libxl has it: an element of <c>xl list -l</c>. Disks that were changed over QMP are not in it.</summary>
internal sealed record XlDomainDetails
{
    /// <summary>The domain's number.</summary>
    public required int Domain { get; init; }

    /// <summary>Its UUID; dom0 has none here.</summary>
    public DomainId? Id { get; init; }

    /// <summary>Its name.</summary>
    public required string Name { get; init; }

    /// <summary>How it is virtualized.</summary>
    public required XlGuestKind Kind { get; init; }

    /// <summary>Virtual processors that it was started with at most.</summary>
    public required int MaxCpus { get; init; }

    /// <summary>Memory that it was started with at most.</summary>
    public DataSize MaxMemory { get; init; }

    /// <summary>Memory that it shall have.</summary>
    public DataSize TargetMemory { get; init; }

    /// <summary>Its disks.</summary>
    public IReadOnlyList<XlDisk> Disks { get; init; } = [];

    /// <summary>Its network interfaces.</summary>
    public IReadOnlyList<XlVif> Vifs { get; init; } = [];

    /// <summary>Reads the answer of <c>xl list -l</c>: domains that libxl cannot read are not in it.</summary>
    /// <param name="output">What xl printed.</param>
    /// <exception cref="HypervisorException">It is no such answer.</exception>
    public static IReadOnlyList<XlDomainDetails> ParseList(string output)
    {
        ArgumentNullException.ThrowIfNull(output);
        if (string.IsNullOrWhiteSpace(output))
        {
            return [];
        }

        try
        {
            using var document = JsonDocument.Parse(output);
            return [.. document.RootElement.EnumerateArray().Select(element => Read(element.GetProperty("config"), element.GetProperty("domid").GetInt32()))];
        }
        catch (Exception error) when (error is JsonException or KeyNotFoundException or InvalidOperationException or FormatException or XlConfigException)
        {
            throw new HypervisorException($"The answer of xl list -l is none: {error.Message}", error);
        }
    }

    internal static XlDomainDetails Read(JsonElement config, int domain)
    {
        var creation = config.GetProperty("c_info");
        var build = config.GetProperty("b_info");
        return new()
        {
            Domain = domain,
            Id = creation.TryGetProperty("uuid", out var uuid) && DomainId.TryParse(uuid.GetString(), out var id) ? id : null,
            Name = creation.GetProperty("name").GetString() ?? "",
            Kind = creation.GetProperty("type").GetString() switch
            {
                "hvm" => XlGuestKind.Hvm,
                "pv" => XlGuestKind.Pv,
                "pvh" => XlGuestKind.Pvh,
                _ => throw new FormatException("a domain's type is unknown."),
            },
            MaxCpus = build.TryGetProperty("max_vcpus", out var cpus) ? cpus.GetInt32() : 1,
            MaxMemory = Kilobytes(build, "max_memkb"),
            TargetMemory = Kilobytes(build, "target_memkb"),
            Disks = [.. Items(config, "disks").Select(ReadDisk)],
            Vifs = [.. Items(config, "nics").Select(ReadVif)],
        };
    }

    /// <summary>Reads a disk as libxl prints it. What has its default value is left out there.</summary>
    /// <param name="disk">The disk.</param>
    internal static XlDisk ReadDisk(JsonElement disk) => new()
    {
        Vdev = disk.GetProperty("vdev").GetString() ?? "",
        Target = Text(disk, "pdev_path") ?? "",
        Format = Text(disk, "format") ?? "raw",
        ReadOnly = !(disk.TryGetProperty("readwrite", out var writable) && writable.GetInt32() != 0),
        IsCdrom = disk.TryGetProperty("is_cdrom", out var cdrom) && cdrom.GetInt32() != 0,
        BackendType = Text(disk, "backend"),
        Script = Text(disk, "script"),
    };

    /// <summary>Reads a network interface as libxl prints it.</summary>
    /// <param name="nic">The interface.</param>
    internal static XlVif ReadVif(JsonElement nic) => new()
    {
        Mac = MacAddress.TryParse(Text(nic, "mac"), out var mac) ? mac : null,
        Bridge = Text(nic, "bridge"),
        Model = Text(nic, "model"),
        Script = Text(nic, "script"),
    };

    private static DataSize Kilobytes(JsonElement element, string key) => new(element.TryGetProperty(key, out var value) ? checked(value.GetInt64() * 1024) : 0);

    private static string? Text(JsonElement element, string key) => element.TryGetProperty(key, out var value) ? value.GetString() : null;

    private static JsonElement.ArrayEnumerator Items(JsonElement element, string key) => element.TryGetProperty(key, out var items) ? items.EnumerateArray() : default;
}

using System.Net;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Pengx.Orchestration;

/// <summary>An address of a device, as <c>ip</c> reports it.</summary>
internal sealed record IpAddressReport
{
    public string? Local { get; init; }

    [JsonPropertyName("prefixlen")]
    public int PrefixLength { get; init; }

    public string? Scope { get; init; }
}

internal sealed record IpLinkData
{
    public int? Id { get; init; }

    public string? Mode { get; init; }
}

internal sealed record IpLinkInfo
{
    [JsonPropertyName("info_kind")]
    public string? Kind { get; init; }

    [JsonPropertyName("info_data")]
    public IpLinkData? Data { get; init; }
}

/// <summary>A network device, as <c>ip -json -details address show</c> reports it.</summary>
internal sealed record IpLink
{
    [JsonPropertyName("ifname")]
    public string? Name { get; init; }

    public string? Link { get; init; }

    public string? Master { get; init; }

    public int Mtu { get; init; }

    public string? Address { get; init; }

    public IReadOnlyList<string> Flags { get; init; } = [];

    [JsonPropertyName("linkinfo")]
    public IpLinkInfo? Info { get; init; }

    [JsonPropertyName("addr_info")]
    public IReadOnlyList<IpAddressReport> Addresses { get; init; } = [];

    [JsonIgnore]
    public bool IsUp => Flags.Contains("UP");

    [JsonIgnore]
    public string Kind => Info?.Kind ?? "";

    public bool Has(IPAddress address, int prefix) => Addresses.Any(entry => entry.PrefixLength == prefix && address.Equals(entry.Local is null ? null : IPAddress.Parse(entry.Local)));

    /// <summary>What the world reaches it by.</summary>
    public IEnumerable<string> Reachable => Addresses.Where(entry => entry.Scope == "global").Select(entry => $"{entry.Local}/{entry.PrefixLength}");
}

/// <summary>A route, as <c>ip -json route show</c> reports it.</summary>
internal sealed record IpRoute
{
    public string? Gateway { get; init; }

    [JsonPropertyName("dev")]
    public string? Device { get; init; }
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase)]
[JsonSerializable(typeof(IReadOnlyList<IpLink>))]
[JsonSerializable(typeof(IReadOnlyList<IpRoute>))]
internal sealed partial class IpJson : JsonSerializerContext;

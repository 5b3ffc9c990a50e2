using System.Text.Json.Serialization;

namespace Pengx.Qmp;

/// <summary>The guest agent's commands that have types of their own; anything else goes through <see cref="QemuGuestAgentClient.ExecuteRawAsync"/>.</summary>
public static class QgaCommands
{
    /// <summary>Does nothing: the agent is there.</summary>
    public static QmpCommand<QmpEmpty, QmpEmpty> Ping { get; } = new("guest-ping", QgaJsonContext.Default.QmpEmpty, QgaJsonContext.Default.QmpEmpty);

    /// <summary>The agent's version and commands.</summary>
    public static QmpCommand<QmpEmpty, QgaInfo> Info { get; } = new("guest-info", QgaJsonContext.Default.QmpEmpty, QgaJsonContext.Default.QgaInfo);

    /// <summary>The guest's host name.</summary>
    public static QmpCommand<QmpEmpty, QgaHostName> HostName { get; } = new("guest-get-host-name", QgaJsonContext.Default.QmpEmpty, QgaJsonContext.Default.QgaHostName);

    /// <summary>The guest's operating system.</summary>
    public static QmpCommand<QmpEmpty, QgaOsInfo> OsInfo { get; } = new("guest-get-osinfo", QgaJsonContext.Default.QmpEmpty, QgaJsonContext.Default.QgaOsInfo);

    /// <summary>The guest's network interfaces and addresses.</summary>
    public static QmpCommand<QmpEmpty, IReadOnlyList<QgaNetworkInterface>> NetworkInterfaces { get; } =
        new("guest-network-get-interfaces", QgaJsonContext.Default.QmpEmpty, QgaJsonContext.Default.IReadOnlyListQgaNetworkInterface);

    /// <summary>The guest's clock, in nanoseconds since 1970.</summary>
    public static QmpCommand<QmpEmpty, long> Time { get; } = new("guest-get-time", QgaJsonContext.Default.QmpEmpty, QgaJsonContext.Default.Int64);

    /// <summary><c>thawed</c> or <c>frozen</c>.</summary>
    public static QmpCommand<QmpEmpty, string> FreezeStatus { get; } = new("guest-fsfreeze-status", QgaJsonContext.Default.QmpEmpty, QgaJsonContext.Default.String);

    /// <summary>Flushes and freezes the file systems; returns how many. Thaw them soon: the guest's writers stand still.</summary>
    public static QmpCommand<QmpEmpty, long> Freeze { get; } = new("guest-fsfreeze-freeze", QgaJsonContext.Default.QmpEmpty, QgaJsonContext.Default.Int64);

    /// <summary>Thaws the file systems; returns how many.</summary>
    public static QmpCommand<QmpEmpty, long> Thaw { get; } = new("guest-fsfreeze-thaw", QgaJsonContext.Default.QmpEmpty, QgaJsonContext.Default.Int64);

    internal static QmpCommand<QgaSync, long> SyncDelimited { get; } = new("guest-sync-delimited", QgaJsonContext.Default.QgaSync, QgaJsonContext.Default.Int64);

    internal static QmpCommand<QgaShutdown, QmpEmpty> Shutdown { get; } = new("guest-shutdown", QgaJsonContext.Default.QgaShutdown, QgaJsonContext.Default.QmpEmpty);
}

/// <summary>The agent (<c>GuestAgentInfo</c> in <c>qga/qapi-schema.json</c>).</summary>
public sealed record QgaInfo
{
    /// <summary>Its version.</summary>
    public required string Version { get; init; }

    /// <summary>Its commands.</summary>
    [JsonPropertyName("supported_commands")]
    public required IReadOnlyList<QgaCommandInfo> SupportedCommands { get; init; }
}

/// <summary>A command of the agent.</summary>
public sealed record QgaCommandInfo
{
    /// <summary>Its name.</summary>
    public required string Name { get; init; }

    /// <summary>Whether the guest's administrator allows it.</summary>
    public required bool Enabled { get; init; }

    /// <summary>Whether it answers when it succeeds.</summary>
    public bool SuccessResponse { get; init; } = true;
}

/// <summary>The guest's host name.</summary>
public sealed record QgaHostName
{
    /// <summary>The name.</summary>
    public required string HostName { get; init; }
}

/// <summary>The guest's operating system (<c>GuestOSInfo</c> in <c>qga/qapi-schema.json</c>).</summary>
public sealed record QgaOsInfo
{
    /// <summary>Its short name, such as <c>debian</c>.</summary>
    public string? Id { get; init; }

    /// <summary>Its full name.</summary>
    public string? PrettyName { get; init; }

    /// <summary>Its version.</summary>
    public string? VersionId { get; init; }

    /// <summary>The kernel's release.</summary>
    public string? KernelRelease { get; init; }

    /// <summary>The machine's architecture.</summary>
    public string? Machine { get; init; }
}

/// <summary>A network interface of the guest.</summary>
public sealed record QgaNetworkInterface
{
    /// <summary>Its name in the guest.</summary>
    public required string Name { get; init; }

    /// <summary>Its MAC address.</summary>
    public string? HardwareAddress { get; init; }

    /// <summary>Its addresses.</summary>
    public IReadOnlyList<QgaIpAddress> IpAddresses { get; init => field = value ?? []; } = [];
}

/// <summary>An address of the guest.</summary>
public sealed record QgaIpAddress
{
    /// <summary>The address.</summary>
    public required string IpAddress { get; init; }

    /// <summary><c>ipv4</c> or <c>ipv6</c>.</summary>
    public required string IpAddressType { get; init; }

    /// <summary>The length of its network's prefix.</summary>
    public required int Prefix { get; init; }
}

internal sealed record QgaSync
{
    [JsonPropertyName("id")]
    public required long Id { get; init; }
}

internal sealed record QgaShutdown
{
    [JsonPropertyName("mode")]
    public required string Mode { get; init; }
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.KebabCaseLower, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(IReadOnlyList<QgaNetworkInterface>))]
[JsonSerializable(typeof(QgaHostName))]
[JsonSerializable(typeof(QgaInfo))]
[JsonSerializable(typeof(QgaOsInfo))]
[JsonSerializable(typeof(QgaShutdown))]
[JsonSerializable(typeof(QgaSync))]
[JsonSerializable(typeof(QmpEmpty))]
[JsonSerializable(typeof(long))]
[JsonSerializable(typeof(string))]
internal sealed partial class QgaJsonContext : JsonSerializerContext;

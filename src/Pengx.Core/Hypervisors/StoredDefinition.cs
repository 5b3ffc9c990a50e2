using System.Globalization;
using System.Runtime.Versioning;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Pengx;

/// <summary>The file in which a driver keeps a domain's definition, durably.</summary>
[UnsupportedOSPlatform("windows")]
internal static class DefinitionFile
{
    /// <summary>Replaces it.</summary>
    /// <param name="path">The file.</param>
    /// <param name="definition">The definition.</param>
    /// <param name="cancellationToken">Ends the call; the old file stays.</param>
    public static Task WriteAsync(string path, DomainDefinition definition, CancellationToken cancellationToken) =>
        DurableFile.WriteAsync(path, StoredDefinition.From(definition), StoredDefinitionJson.Default.StoredDefinition, cancellationToken);

    /// <summary>Reads it; <see langword="null"/> when there is none.</summary>
    /// <param name="path">The file.</param>
    /// <param name="id">Whose it is, for the error.</param>
    /// <exception cref="HypervisorException">It is damaged.</exception>
    public static DomainDefinition? Read(string path, DomainId id)
    {
        try
        {
            return DurableFile.Read(path, StoredDefinitionJson.Default.StoredDefinition)?.ToDefinition();
        }
        catch (Exception exception) when (exception is JsonException or FormatException or IOException or UnauthorizedAccessException)
        {
            throw new HypervisorException($"The stored definition of domain {id} cannot be read: {exception.Message}", exception);
        }
    }
}

/// <summary>A definition as it lies on disk: plain values, so that the file outlives changes of the domain's types.</summary>
internal sealed record StoredDefinition
{
    public const int CurrentVersion = 1;

    public required int Version { get; init; }

    public required Guid Id { get; init; }

    public required string Name { get; init; }

    public required int Cpus { get; init; }

    public required int MaxCpus { get; init; }

    public required long MemoryBytes { get; init; }

    public required long MaxMemoryBytes { get; init; }

    public bool IsWindows { get; init; }

    public required IReadOnlyList<StoredDisk> Disks { get; init; }

    public required IReadOnlyList<StoredNic> Nics { get; init; }

    public string? VncPassword { get; init; }

    public string? IsoPath { get; init; }

    public required IReadOnlyList<string> PciDevices { get; init; }

    public static StoredDefinition From(DomainDefinition definition) => new()
    {
        Version = CurrentVersion,
        Id = definition.Id.Value,
        Name = definition.Name,
        Cpus = definition.Cpus,
        MaxCpus = definition.MaxCpus,
        MemoryBytes = definition.Memory.Bytes,
        MaxMemoryBytes = definition.MaxMemory.Bytes,
        IsWindows = definition.IsWindows,
        Disks = [.. definition.Disks.Select(StoredDisk.From)],
        Nics = [.. definition.Nics.Select(nic => new StoredNic(nic.Mac.ToString(), nic.Switch))],
        VncPassword = definition.VncPassword,
        IsoPath = definition.IsoPath,
        PciDevices = [.. definition.PciDevices.Select(address => address.ToString())],
    };

    public DomainDefinition ToDefinition() => Version == CurrentVersion
        ? new()
        {
            Id = new(Id),
            Name = Name,
            Cpus = Cpus,
            MaxCpus = MaxCpus,
            Memory = new(MemoryBytes),
            MaxMemory = new(MaxMemoryBytes),
            IsWindows = IsWindows,
            Disks = [.. Disks.Select(disk => disk.ToDisk())],
            Nics = [.. Nics.Select(nic => new DomainNic { Mac = MacAddress.Parse(nic.Mac), Switch = nic.Switch })],
            VncPassword = VncPassword,
            IsoPath = IsoPath,
            PciDevices = [.. PciDevices.Select(text => PciAddress.TryParse(text, out var address) ? address : throw new FormatException($"'{text}' is no PCI address."))],
        }
        : throw new FormatException(string.Create(CultureInfo.InvariantCulture, $"The definition has version {Version}; this Pengx reads version {CurrentVersion}."));
}

internal sealed record StoredNic(string Mac, string Switch);

internal sealed record StoredDisk
{
    public required Guid Id { get; init; }

    public required IReadOnlyList<StoredLayer> Layers { get; init; }

    public required string Vdev { get; init; }

    public bool ReadOnly { get; init; }

    public static StoredDisk From(DomainDisk disk) => new()
    {
        Id = disk.Id.Value,
        Layers = [.. disk.Layers.Select(StoredLayer.From)],
        Vdev = disk.Vdev,
        ReadOnly = disk.ReadOnly,
    };

    public DomainDisk ToDisk() => new() { Id = new(Id), Layers = [.. Layers.Select(layer => layer.ToLayer())], Vdev = Vdev, ReadOnly = ReadOnly };
}

internal sealed record StoredLayer
{
    private const string File = "file";
    private const string Block = "block";
    private const string Rbd = "rbd";

    public required string Kind { get; init; }

    public string? Path { get; init; }

    public string? Pool { get; init; }

    public string? Image { get; init; }

    public string? ConfigurationFile { get; init; }

    public string? User { get; init; }

    public required string Format { get; init; }

    public static StoredLayer From(DiskLayer layer) => layer.Location switch
    {
        FileLocation file => new() { Kind = File, Path = file.Path, Format = layer.Format.Name },
        BlockLocation block => new() { Kind = Block, Path = block.Path, Format = layer.Format.Name },
        RbdLocation rbd => new() { Kind = Rbd, Pool = rbd.Pool, Image = rbd.Image, ConfigurationFile = rbd.ConfigurationFile, User = rbd.User, Format = layer.Format.Name },
        _ => throw new ArgumentOutOfRangeException(nameof(layer), layer.Location, "No such kind of location."),
    };

    public DiskLayer ToLayer()
    {
        DiskLocation location = Kind switch
        {
            File => new FileLocation(Path ?? throw new FormatException("A file has no path.")),
            Block => new BlockLocation(Path ?? throw new FormatException("A block device has no path.")),
            Rbd => new RbdLocation(Pool ?? throw new FormatException("An RBD image has no pool."), Image ?? throw new FormatException("An RBD image has no name."))
            {
                ConfigurationFile = ConfigurationFile,
                User = User,
            },
            _ => throw new FormatException($"'{Kind}' is no kind of location."),
        };
        return new(location, DiskFormatNames.TryParse(Format, out var format) ? format : throw new FormatException($"'{Format}' is no disk format."));
    }
}

[JsonSourceGenerationOptions(WriteIndented = true, PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(StoredDefinition))]
internal sealed partial class StoredDefinitionJson : JsonSerializerContext;

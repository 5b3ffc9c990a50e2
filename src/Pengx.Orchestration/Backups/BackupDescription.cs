using System.Text.Json;
using System.Text.Json.Serialization;

namespace Pengx.Orchestration;

/// <summary>What lies beside a backup's images as JSON, so that it can be checked and read without Pengx. The form is documented in
/// <c>docs/backups.md</c>: fields are added, never changed.</summary>
internal sealed record BackupDescription
{
    public const string CurrentForm = "pengx-backup/1";
    public const string Full = "full";
    public const string Incremental = "incremental";

    public required string Form { get; init; }

    public required Guid Id { get; init; }

    public required string Name { get; init; }

    public string? Description { get; init; }

    /// <summary>The instant that all its images show.</summary>
    public required DateTimeOffset TakenAt { get; init; }

    /// <summary><see cref="Full"/>, also where nothing is said, or <see cref="Incremental"/>.</summary>
    public string? Type { get; init; }

    /// <summary>The backup that an incremental one lies upon.</summary>
    public Guid? Parent { get; init; }

    /// <summary>Whether an agent had frozen the guest's file systems for the instant.</summary>
    public bool? Quiesced { get; init; }

    /// <summary>Why it is a full one although an incremental one was asked for.</summary>
    public string? FullBecause { get; init; }

    public required BackupMachine Machine { get; init; }

    public required IReadOnlyList<BackupImage> Images { get; init; }

    public byte[] Write() => JsonSerializer.SerializeToUtf8Bytes(this, BackupJson.Default.BackupDescription);

    /// <exception cref="StorageException">It is damaged.</exception>
    public static BackupDescription Read(byte[] content, BackupId id, string place)
    {
        try
        {
            var read = JsonSerializer.Deserialize(content, BackupJson.Default.BackupDescription);
            return read is { Form: CurrentForm } && read.Id == id.Value
                ? read
                : throw new StorageException($"The file {id}.backup.json on {place} is not the description of backup {id} in a form that this version reads.");
        }
        catch (JsonException error)
        {
            throw new StorageException($"The file {id}.backup.json on {place} is damaged: {error.Message}", error);
        }
    }
}

/// <summary>The machine as it was.</summary>
internal sealed record BackupMachine
{
    public required Guid Id { get; init; }

    public required string Name { get; init; }

    public string? Description { get; init; }

    public required string Os { get; init; }

    public required string Architecture { get; init; }

    public required int Cpus { get; init; }

    public required long MemoryBytes { get; init; }

    public required long MaxMemoryBytes { get; init; }

    public required bool Running { get; init; }

    public required IReadOnlyList<BackupNic> Nics { get; init; }
}

internal sealed record BackupNic(string Name, string Mac, string Switch, string? IpAddress);

/// <summary>One image of a backup: a disk of the machine, flattened, or what changed in it upon an image of the backup before.</summary>
internal sealed record BackupImage
{
    /// <summary>The file, in the directory of the description.</summary>
    public required string File { get; init; }

    public required string Format { get; init; }

    public required Guid Disk { get; init; }

    public required int Order { get; init; }

    /// <summary>The disk of the machine that it is a copy of.</summary>
    public required Guid Original { get; init; }

    /// <summary>The size that the guest sees.</summary>
    public required long SizeBytes { get; init; }

    public required long FileBytes { get; init; }

    public required string Sha256 { get; init; }

    /// <summary>The file that it is an overlay of, in the same directory.</summary>
    public string? BackingFile { get; init; }

    public string? BackingFormat { get; init; }

    /// <summary>The checksum that this file had, and must have.</summary>
    public string? BackingSha256 { get; init; }
}

[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower,
    WriteIndented = true,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(BackupDescription))]
internal sealed partial class BackupJson : JsonSerializerContext;

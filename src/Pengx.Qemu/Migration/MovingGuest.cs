using System.Text.Json.Serialization;

namespace Pengx.Qemu;

/// <summary>A running guest as another host has to rebuild it, to the last device: what QEMU itself tells of it, since the stored
/// definition may have changed since its start.</summary>
internal sealed record MovingGuest
{
    public const int CurrentVersion = 1;

    public required int Version { get; init; }

    public required Guid Id { get; init; }

    /// <summary>The QEMU that it runs in, as three numbers.</summary>
    public required string Qemu { get; init; }

    /// <summary>The machine with its version, such as <c>pc-i440fx-7.2</c>.</summary>
    public required string Machine { get; init; }

    /// <summary>The host's processor where the guest sees it; <see langword="null"/> for an emulated one.</summary>
    public string? HostProcessor { get; init; }

    /// <summary>Processors that it was started with.</summary>
    public required int Cpus { get; init; }

    public required int MaxCpus { get; init; }

    /// <summary>Processors that were added since.</summary>
    public required IReadOnlyList<MovingProcessor> Processors { get; init; }

    /// <summary>Memory that it was started with.</summary>
    public required long MemoryBytes { get; init; }

    public required long MaxMemoryBytes { get; init; }

    /// <summary>Memory that was added since.</summary>
    public required IReadOnlyList<MovingDimm> Dimms { get; init; }

    public bool IsWindows { get; init; }

    public required IReadOnlyList<MovingDisk> Disks { get; init; }

    public required IReadOnlyList<MovingNic> Nics { get; init; }

    /// <summary>Whether it has the pointer that goes with a console.</summary>
    public bool HasTablet { get; init; }

    public string? VncPassword { get; init; }

    public required DateTimeOffset StartedAt { get; init; }

    /// <summary>The stored definition, with the disks as they are; <see langword="null"/> where there is none.</summary>
    public StoredDefinition? Definition { get; init; }

    /// <summary>Processors that it has now.</summary>
    [JsonIgnore]
    public int AllCpus => Cpus + Processors.Count;

    /// <summary>Memory that it has now.</summary>
    [JsonIgnore]
    public DataSize AllMemory => new(MemoryBytes + Dimms.Sum(dimm => dimm.Bytes));

    /// <summary>The slot of a network interface; <see langword="null"/> for one that it has not.</summary>
    public int? SlotOf(MacAddress mac) => Nics.FirstOrDefault(nic => MacAddress.Parse(nic.Mac) == mac)?.Slot;

    /// <summary>Without the password, which must not get into a log.</summary>
    public override string ToString() => $"guest {Id}";
}

/// <summary>An added processor.</summary>
internal sealed record MovingProcessor(string Type, string Device, IReadOnlyDictionary<string, long> Place);

/// <summary>Added memory.</summary>
internal sealed record MovingDimm(string Device, string Backend, long Bytes, long Slot, long Address);

/// <summary>A disk with what tells that both hosts see the same files.</summary>
internal sealed record MovingDisk(StoredDisk Disk, IReadOnlyList<MovingFile> Files);

/// <summary>A file of a disk: the number by which its file system knows it is the same on all hosts that share it.</summary>
internal sealed record MovingFile(string Path, ulong Number);

/// <summary>A network interface.</summary>
/// <param name="Mac">Its address.</param>
/// <param name="Slot">Its slot on the interfaces' bus.</param>
/// <param name="Bridge">The bridge that it is in; <see langword="null"/> for user networking.</param>
internal sealed record MovingNic(string Mac, int Slot, string? Bridge);

/// <summary>What one host's driver asks another's.</summary>
internal sealed record MoveRequest
{
    /// <summary>Whether the guest could come.</summary>
    public const string Check = "check";

    /// <summary>To make ready for the guest, and to wait for it.</summary>
    public const string Receive = "receive";

    /// <summary>To take what follows for a guest's state.</summary>
    public const string Stream = "stream";

    /// <summary>To run the guest that has arrived.</summary>
    public const string Start = "start";

    /// <summary>What became of a move, which is given up unless the guest has been let run.</summary>
    public const string Outcome = "outcome";

    public required string Verb { get; init; }

    /// <summary>The move: new for every try.</summary>
    public Guid Move { get; init; }

    public Guid Domain { get; init; }

    public MovingGuest? Guest { get; init; }
}

/// <summary>What it answers.</summary>
internal sealed record MoveReply
{
    /// <summary>It is ready for what comes next.</summary>
    public const string Ready = "ready";

    /// <summary>It cannot be done; nothing was changed.</summary>
    public const string Refused = "refused";

    /// <summary>All of the guest is there and stands still.</summary>
    public const string Arrived = "arrived";

    /// <summary>The guest was let run there: it is that host's.</summary>
    public const string Runs = "runs";

    /// <summary>The guest has not run there and never will.</summary>
    public const string Never = "never";

    public required string Status { get; init; }

    public string? Message { get; init; }

    /// <summary>Whether it was refused for want of memory.</summary>
    public bool IsShort { get; init; }
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(MoveRequest))]
[JsonSerializable(typeof(MoveReply))]
[JsonSerializable(typeof(MemoryHead))]
internal sealed partial class MoveJsonContext : JsonSerializerContext;

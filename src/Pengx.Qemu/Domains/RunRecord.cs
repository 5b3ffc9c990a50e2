using System.Text.Json.Serialization;

namespace Pengx.Qemu;

/// <summary>What must be known of a run to take it up again, and to clean up after it. Written before anything is made.</summary>
internal sealed record RunRecord
{
    /// <summary>The host's boot that the run belongs to: a run of another boot ended with it.</summary>
    public required string BootId { get; init; }

    /// <summary>The process; 0 before there is one.</summary>
    public int Pid { get; init; }

    /// <summary>When the process started, in ticks since boot.</summary>
    public long StartTicks { get; init; }

    /// <summary>When the domain was started.</summary>
    public required DateTimeOffset StartedAt { get; init; }

    /// <summary>Whether the guest's processors have run: a process found without it was being started when the service died.</summary>
    public bool HasRun { get; init; }

    /// <summary>Whether the process is being ended because the guest shut down or was destroyed: then its end is no crash.</summary>
    public bool EndsCleanly { get; init; }

    /// <summary>Memory that it can be grown to, in bytes; 0 when that is not known.</summary>
    public long MaxMemoryBytes { get; init; }

    /// <summary>Whether it runs in software, where QEMU cannot take processors away.</summary>
    public required bool IsEmulated { get; init; }

    /// <summary>The network interfaces: what to remove from the host.</summary>
    public required IReadOnlyList<RunNic> Nics { get; init; }

    /// <summary>The disks, and what QEMU calls them; <see langword="null"/> for a run that began before this was recorded, whose
    /// disks are the definition's.</summary>
    public IReadOnlyList<RunDisk>? Disks { get; init; }

    /// <summary>Changes of the images beneath disks that are under way: what a service that takes the run up has to look after.</summary>
    public IReadOnlyList<RunChange>? Changes { get; init; }

    /// <summary>Whether the guest's processors stand still for the moment of such a change, and have to go on after it.</summary>
    public bool IsHeld { get; init; }

    /// <summary>The move by which the guest comes from another host, until it has been seen running here. With <see cref="HasRun"/> it is
    /// this host's, and has to be let run.</summary>
    public Guid? Arrival { get; init; }

    /// <summary>The stored definition that came with it.</summary>
    public StoredDefinition? ArrivedDefinition { get; init; }

    /// <summary>The move to another host that is under way; <see langword="null"/> for none.</summary>
    public RunDeparture? Departure { get; init; }
}

/// <summary>A move to another host.</summary>
/// <param name="Move">The move.</param>
/// <param name="Host">The other host.</param>
/// <param name="HasLeft">Whether the other host may have let the guest run: then it does not run here before that is known not to be so.</param>
internal sealed record RunDeparture(Guid Move, string Host, bool HasLeft);

/// <summary>The last move by which a guest came here and was let run.</summary>
/// <param name="Move">The move.</param>
internal sealed record ArrivalRecord(Guid Move);

/// <summary>A disk of a run.</summary>
/// <param name="Id">The disk, named by its top layer of now.</param>
/// <param name="Vdev">The guest's device.</param>
/// <param name="Origin">The disk as it was when the run, or its plugging in, began: its device and nodes are called after it.</param>
internal sealed record RunDisk(Guid Id, string Vdev, Guid Origin);

/// <summary>A change of the images beneath a disk.</summary>
/// <param name="Before">The disk as it was.</param>
/// <param name="After">The disk as it shall be.</param>
/// <param name="JobId">QEMU's job that does it; <see langword="null"/> for what is done at once.</param>
internal sealed record RunChange(StoredDisk Before, StoredDisk After, string? JobId);

/// <summary>A network interface of a run.</summary>
/// <param name="Mac">Its address.</param>
/// <param name="Slot">Its slot on the interfaces' PCI bus.</param>
/// <param name="Tap">The host's device; <see langword="null"/> for user networking.</param>
internal sealed record RunNic(string Mac, int Slot, string? Tap);

/// <summary>A crash, remembered until the domain is started or destroyed.</summary>
/// <param name="At">When it was seen.</param>
/// <param name="Reason">What happened.</param>
internal sealed record CrashRecord(DateTimeOffset At, string Reason);

/// <summary>What the proof of KVM found, good for one boot of the host and one QEMU.</summary>
/// <param name="BootId">The host's boot.</param>
/// <param name="Qemu">Path, size and time of the QEMU.</param>
/// <param name="Works">Whether a guest ran.</param>
/// <param name="Reason">What was seen, for the user.</param>
internal sealed record KvmProof(string BootId, string Qemu, bool Works, string Reason);

[JsonSourceGenerationOptions(WriteIndented = true, PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(RunRecord))]
[JsonSerializable(typeof(ArrivalRecord))]
[JsonSerializable(typeof(CrashRecord))]
[JsonSerializable(typeof(KvmProof))]
internal sealed partial class QemuJsonContext : JsonSerializerContext;

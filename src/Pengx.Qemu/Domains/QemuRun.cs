using Pengx.Qmp;

namespace Pengx.Qemu;

/// <summary>One run of a domain: a QEMU process from its start, or its finding, to its end. Changed under the domain's gate.</summary>
internal sealed class QemuRun(QemuProcess process, RunRecord record)
{
    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public QemuProcess Process { get; } = process;

    public RunRecord Record { get; set; } = record;

    /// <summary>The monitor; <see langword="null"/> while there is no connection.</summary>
    public IQmpClient? Client { get; set; }

    public VmState State { get; set; } = VmState.Running;

    /// <summary>What was told last of a disk that failed the guest.</summary>
    public string? DiskFailure { get; set; }

    public int Cpus { get; set; }

    public DataSize Memory { get; set; }

    /// <summary>Whether the process ends because the guest shut down, or because it was asked to.</summary>
    public bool EndsCleanly { get; set; }

    /// <summary>Why the run counts as a crash although the process was ended by us.</summary>
    public string? CrashReason { get; set; }

    /// <summary>Whether the guest's processors stand still for the moment of a change of its disks, which is nobody's pause.</summary>
    public bool IsHeld { get; set; }

    /// <summary>Whether the guest has shut down and QEMU waits for our word.</summary>
    public bool IsGuestDown { get; set; }

    /// <summary>A reboot that waits for the guest to go down.</summary>
    public TaskCompletionSource<GuestDeparture>? Departure { get; set; }

    /// <summary>A reset that waits to be carried out.</summary>
    public TaskCompletionSource? Reset { get; set; }

    /// <summary>When the machine was last reset.</summary>
    public DateTimeOffset ResetAt { get; set; }

    /// <summary>Completes when the process is gone and everything is cleaned up.</summary>
    public Task Ended => _ended.Task;

    public void SetEnded() => _ended.TrySetResult();
}

/// <summary>How a guest that was asked to reboot left.</summary>
internal enum GuestDeparture
{
    /// <summary>It shut down.</summary>
    ShutDown,

    /// <summary>It reset itself.</summary>
    Rebooted,

    /// <summary>Its process ended.</summary>
    Ended,
}

namespace Pengx.Qmp;

/// <summary>The run states that <see cref="QmpStatus.Status"/> can have (<c>RunState</c> in <c>qapi/run-state.json</c>).</summary>
public static class QmpRunState
{
    /// <summary>Halted by a debugger.</summary>
    public const string Debug = "debug";

    /// <summary>Paused to finish a migration.</summary>
    public const string FinishMigrate = "finish-migrate";

    /// <summary>Paused because the guest crashed.</summary>
    public const string GuestPanicked = "guest-panicked";

    /// <summary>Waiting for a migration to arrive.</summary>
    public const string IncomingMigration = "inmigrate";

    /// <summary>Stopped by an error inside QEMU that it cannot run on from.</summary>
    public const string InternalError = "internal-error";

    /// <summary>Paused because a disk failed and is set to stop the machine.</summary>
    public const string IoError = "io-error";

    /// <summary>Paused by a command.</summary>
    public const string Paused = "paused";

    /// <summary>Paused after a migration went out.</summary>
    public const string PostMigrate = "postmigrate";

    /// <summary>Started with <c>-S</c>, never run yet.</summary>
    public const string PreLaunch = "prelaunch";

    /// <summary>Paused to restore a state.</summary>
    public const string RestoreVm = "restore-vm";

    /// <summary>Running.</summary>
    public const string Running = "running";

    /// <summary>Paused to save a state.</summary>
    public const string SaveVm = "save-vm";

    /// <summary>The guest has shut down and QEMU was told to stay.</summary>
    public const string Shutdown = "shutdown";

    /// <summary>The guest sleeps (ACPI S3).</summary>
    public const string Suspended = "suspended";

    /// <summary>Paused by the watchdog.</summary>
    public const string Watchdog = "watchdog";

    /// <summary>Paused by fault-tolerant replication.</summary>
    public const string Colo = "colo";
}

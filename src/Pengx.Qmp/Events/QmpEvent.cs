using System.Text.Json;

namespace Pengx.Qmp;

/// <summary>Something that happened in QEMU. It owns its data: it may be kept.</summary>
public sealed record QmpEvent
{
    /// <summary>The event's name, such as <c>SHUTDOWN</c>: one of <see cref="QmpEventNames"/>, or any other that this QEMU has.</summary>
    public required string Name { get; init; }

    /// <summary>The event's data: a JSON object, empty if QEMU sent none.</summary>
    public required JsonElement Data { get; init; }

    /// <summary>When QEMU says it happened (host clock); the time of arrival where QEMU could not tell.</summary>
    public required DateTimeOffset Timestamp { get; init; }
}

/// <summary>Names of events that concern a machine's life. QEMU has more, and newer ones more still: this list is a convenience, not a limit.</summary>
public static class QmpEventNames
{
    /// <summary>The guest has shut down, or QEMU is about to end; <c>guest</c> and <c>reason</c> tell why.</summary>
    public const string Shutdown = "SHUTDOWN";

    /// <summary>A power-down was requested (ACPI button); the guest may ignore it.</summary>
    public const string PowerDown = "POWERDOWN";

    /// <summary>The machine was reset; <c>guest</c> and <c>reason</c> tell why.</summary>
    public const string Reset = "RESET";

    /// <summary>The machine was paused.</summary>
    public const string Stop = "STOP";

    /// <summary>The machine runs on.</summary>
    public const string Resume = "RESUME";

    /// <summary>The guest's operating system says that it crashed.</summary>
    public const string GuestPanicked = "GUEST_PANICKED";

    /// <summary>The guest let a device go; <c>device</c> is its id, absent for devices without one.</summary>
    public const string DeviceDeleted = "DEVICE_DELETED";

    /// <summary>The guest refused to let a device go (QEMU 6.2 and later).</summary>
    public const string DeviceUnplugGuestError = "DEVICE_UNPLUG_GUEST_ERROR";

    /// <summary>A disk failed to read or write.</summary>
    public const string BlockIoError = "BLOCK_IO_ERROR";

    /// <summary>The guest's memory balloon has a new size, in <c>actual</c> bytes of remaining memory.</summary>
    public const string BalloonChange = "BALLOON_CHANGE";

    /// <summary>The watchdog fired.</summary>
    public const string Watchdog = "WATCHDOG";
}

namespace Pengx.Qmp;

public static partial class QmpCommands
{
    /// <summary>Whether the machine runs.</summary>
    public static QmpCommand<QmpEmpty, QmpStatus> QueryStatus { get; } =
        new("query-status", QmpJsonContext.Default.QmpEmpty, QmpJsonContext.Default.QmpStatus);

    /// <summary>Lets the machine run, or run on.</summary>
    public static QmpCommand<QmpEmpty, QmpEmpty> Cont { get; } =
        new("cont", QmpJsonContext.Default.QmpEmpty, QmpJsonContext.Default.QmpEmpty);

    /// <summary>Pauses the machine. The <c>STOP</c> event tells when; there is none if it was paused already.</summary>
    public static QmpCommand<QmpEmpty, QmpEmpty> Stop { get; } =
        new("stop", QmpJsonContext.Default.QmpEmpty, QmpJsonContext.Default.QmpEmpty);

    /// <summary>Presses the power button; the guest may ignore it.</summary>
    public static QmpCommand<QmpEmpty, QmpEmpty> SystemPowerdown { get; } =
        new("system_powerdown", QmpJsonContext.Default.QmpEmpty, QmpJsonContext.Default.QmpEmpty);

    /// <summary>Resets the machine.</summary>
    public static QmpCommand<QmpEmpty, QmpEmpty> SystemReset { get; } =
        new("system_reset", QmpJsonContext.Default.QmpEmpty, QmpJsonContext.Default.QmpEmpty);

    /// <summary>Sets what QEMU does when the guest shuts down, reboots or crashes.</summary>
    public static QmpCommand<QmpActions, QmpEmpty> SetAction { get; } =
        new("set-action", QmpJsonContext.Default.QmpActions, QmpJsonContext.Default.QmpEmpty);

    /// <summary>The machine's name.</summary>
    public static QmpCommand<QmpEmpty, QmpName> QueryName { get; } =
        new("query-name", QmpJsonContext.Default.QmpEmpty, QmpJsonContext.Default.QmpName);

    /// <summary>The machine's UUID.</summary>
    public static QmpCommand<QmpEmpty, QmpUuid> QueryUuid { get; } =
        new("query-uuid", QmpJsonContext.Default.QmpEmpty, QmpJsonContext.Default.QmpUuid);

    /// <summary>Whether KVM is there and in use.</summary>
    public static QmpCommand<QmpEmpty, QmpKvm> QueryKvm { get; } =
        new("query-kvm", QmpJsonContext.Default.QmpEmpty, QmpJsonContext.Default.QmpKvm);

    /// <summary>Presses keys at the guest's keyboard.</summary>
    public static QmpCommand<QmpKeys, QmpEmpty> SendKey { get; } =
        new("send-key", QmpJsonContext.Default.QmpKeys, QmpJsonContext.Default.QmpEmpty);

    /// <summary>The virtual processors that are plugged in.</summary>
    public static QmpCommand<QmpEmpty, IReadOnlyList<QmpCpu>> QueryCpusFast { get; } =
        new("query-cpus-fast", QmpJsonContext.Default.QmpEmpty, QmpJsonContext.Default.IReadOnlyListQmpCpu);

    /// <summary>The places for virtual processors, free and taken. QEMU refuses it on machines that cannot hot-plug.</summary>
    public static QmpCommand<QmpEmpty, IReadOnlyList<QmpHotpluggableCpu>> QueryHotpluggableCpus { get; } =
        new("query-hotpluggable-cpus", QmpJsonContext.Default.QmpEmpty, QmpJsonContext.Default.IReadOnlyListQmpHotpluggableCpu);

    /// <summary>Asks the guest to keep only so much memory; it obeys as far as it can.</summary>
    public static QmpCommand<QmpBalloonTarget, QmpEmpty> Balloon { get; } =
        new("balloon", QmpJsonContext.Default.QmpBalloonTarget, QmpJsonContext.Default.QmpEmpty);

    /// <summary>How much memory the balloon leaves the guest. QEMU refuses it where there is no balloon.</summary>
    public static QmpCommand<QmpEmpty, QmpBalloon> QueryBalloon { get; } =
        new("query-balloon", QmpJsonContext.Default.QmpEmpty, QmpJsonContext.Default.QmpBalloon);

    /// <summary>How much memory the machine has.</summary>
    public static QmpCommand<QmpEmpty, QmpMemorySize> QueryMemorySizeSummary { get; } =
        new("query-memory-size-summary", QmpJsonContext.Default.QmpEmpty, QmpJsonContext.Default.QmpMemorySize);

    /// <summary>The memory devices that are plugged in.</summary>
    public static QmpCommand<QmpEmpty, IReadOnlyList<QmpMemoryDevice>> QueryMemoryDevices { get; } =
        new("query-memory-devices", QmpJsonContext.Default.QmpEmpty, QmpJsonContext.Default.IReadOnlyListQmpMemoryDevice);
}

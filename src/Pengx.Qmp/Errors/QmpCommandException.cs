namespace Pengx.Qmp;

/// <summary>QEMU refused a command, or failed to carry it out. The session goes on.</summary>
/// <param name="command">The name of the command.</param>
/// <param name="errorClass">QEMU's error class.</param>
/// <param name="description">QEMU's own words.</param>
public sealed class QmpCommandException(string command, string errorClass, string description)
    : QmpException($"QEMU refused '{command}': {description} ({errorClass})")
{
    /// <summary>The name of the command that failed.</summary>
    public string Command { get; } = command;

    /// <summary>QEMU's error class: one of <see cref="QmpErrorClass"/>, or a newer one.</summary>
    public string Class { get; } = errorClass;

    /// <summary>QEMU's own words, meant for people; not stable between versions.</summary>
    public string Description { get; } = description;
}

/// <summary>The error classes that QEMU documents (<c>qapi/error.json</c>). Programs tell errors apart by these, never by the text.</summary>
public static class QmpErrorClass
{
    /// <summary>Any error without a class of its own.</summary>
    public const string GenericError = nameof(GenericError);

    /// <summary>This QEMU does not know the command, or does not allow it now.</summary>
    public const string CommandNotFound = nameof(CommandNotFound);

    /// <summary>The device that the command is about is not active.</summary>
    public const string DeviceNotActive = nameof(DeviceNotActive);

    /// <summary>The named device does not exist.</summary>
    public const string DeviceNotFound = nameof(DeviceNotFound);

    /// <summary>KVM lacks a capability that the command needs.</summary>
    public const string KVMMissingCap = nameof(KVMMissingCap);
}

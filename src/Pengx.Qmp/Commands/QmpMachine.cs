using System.Text.Json.Serialization;

namespace Pengx.Qmp;

/// <summary>Whether the machine runs (<c>StatusInfo</c> in <c>qapi/run-state.json</c>).</summary>
public sealed record QmpStatus
{
    /// <summary>Whether the virtual processors execute.</summary>
    public required bool Running { get; init; }

    /// <summary>The run state: one of <see cref="QmpRunState"/>, or one that a newer QEMU added.</summary>
    public required string Status { get; init; }
}

/// <summary>What QEMU does on its own when the guest acts; each value as QEMU spells it, null to leave it unchanged (<c>set-action</c>).</summary>
public sealed record QmpActions
{
    /// <summary>On a guest's reboot: <c>reset</c> or <c>shutdown</c>.</summary>
    public string? Reboot { get; init; }

    /// <summary>On a guest's shutdown: <c>poweroff</c> or <c>pause</c>.</summary>
    public string? Shutdown { get; init; }

    /// <summary>On a guest's panic: <c>none</c>, <c>pause</c>, <c>shutdown</c>, <c>exit-failure</c>.</summary>
    public string? Panic { get; init; }

    /// <summary>On the watchdog: <c>reset</c>, <c>shutdown</c>, <c>poweroff</c>, <c>pause</c>, <c>debug</c>, <c>none</c>, <c>inject-nmi</c>.</summary>
    public string? Watchdog { get; init; }
}

/// <summary>The machine's name.</summary>
public sealed record QmpName
{
    /// <summary>The value of <c>-name</c>, or null if there was none.</summary>
    public string? Name { get; init; }
}

/// <summary>The machine's UUID.</summary>
public sealed record QmpUuid
{
    /// <summary>The value of <c>-uuid</c>; all zero if there was none.</summary>
    [JsonPropertyName("UUID")]
    public required Guid Uuid { get; init; }
}

/// <summary>Whether KVM is there and in use.</summary>
public sealed record QmpKvm
{
    /// <summary>Whether this machine runs on KVM.</summary>
    public required bool Enabled { get; init; }

    /// <summary>Whether this QEMU was built with KVM.</summary>
    public required bool Present { get; init; }
}

/// <summary>Keys to press at once (<c>send-key</c>).</summary>
public sealed record QmpKeys
{
    /// <summary>The keys, in the order they go down.</summary>
    public required IReadOnlyList<QmpKey> Keys { get; init; }

    /// <summary>How long they stay down, in milliseconds; QEMU's default is 100.</summary>
    public int? HoldTime { get; init; }
}

/// <summary>One key of <see cref="QmpKeys"/>.</summary>
/// <param name="Data">The key's code as QEMU spells it, such as <c>ctrl</c> or <c>ret</c>.</param>
/// <param name="Type">How the key is named; <c>qcode</c> for a code.</param>
public sealed record QmpKey(string Data, string Type = "qcode");

/// <summary>A line for the human monitor.</summary>
public sealed record QmpMonitorLine
{
    /// <summary>The line. Its syntax is not stable; never build it from a user's text.</summary>
    public required string CommandLine { get; init; }
}

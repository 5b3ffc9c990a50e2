namespace Pengx.Client;

/// <summary>One <c>&lt;nic&gt;</c> inside <c>&lt;vm&gt;</c>.</summary>
public sealed record MachineNicResource
{
    /// <summary>The interface's name in the guest, for example <c>eth0</c>.</summary>
    public string? Name { get; init; }

    /// <summary>Its MAC address, or null.</summary>
    public string? Mac { get; init; }

    /// <summary>The switch it is plugged into, for example <c>xenbr0</c>.</summary>
    public string? Network { get; init; }
}

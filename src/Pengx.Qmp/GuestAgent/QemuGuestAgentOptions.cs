namespace Pengx.Qmp;

/// <summary>The limits of a guest agent's client.</summary>
public sealed class QemuGuestAgentOptions
{
    /// <summary>How long connecting the socket may take.</summary>
    /// <value>Default 5 seconds.</value>
    public TimeSpan ConnectTimeout { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>How long the agent may take to answer the handshake. Nobody answers where no agent runs: the connection alone says nothing.</summary>
    /// <value>Default 5 seconds.</value>
    public TimeSpan SyncTimeout { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>How long a command may take.</summary>
    /// <value>Default 30 seconds.</value>
    public TimeSpan CommandTimeout { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>How long a command that answers only if it fails (shutdown, suspend) is given to fail.</summary>
    /// <value>Default 2 seconds.</value>
    public TimeSpan RefusalTimeout { get; set; } = TimeSpan.FromSeconds(2);

    /// <summary>The longest reply, in bytes. The agent runs in the guest, which is not to be trusted.</summary>
    /// <value>Default 64 MiB: reading a guest's file may return 48 MiB in one reply.</value>
    public int MaxLineBytes { get; set; } = 64 * 1024 * 1024;

    /// <summary>The clock of all timeouts.</summary>
    /// <value>Default <see cref="TimeProvider.System"/>.</value>
    public TimeProvider TimeProvider { get; set; } = TimeProvider.System;

    internal QemuGuestAgentOptions Validate()
    {
        QmpClientOptions.RequirePositive(ConnectTimeout, nameof(ConnectTimeout));
        QmpClientOptions.RequirePositive(SyncTimeout, nameof(SyncTimeout));
        QmpClientOptions.RequirePositive(CommandTimeout, nameof(CommandTimeout));
        QmpClientOptions.RequirePositive(RefusalTimeout, nameof(RefusalTimeout));
        ArgumentOutOfRangeException.ThrowIfLessThan(MaxLineBytes, 1024, nameof(MaxLineBytes));
        ArgumentNullException.ThrowIfNull(TimeProvider, nameof(TimeProvider));
        return (QemuGuestAgentOptions)MemberwiseClone();
    }
}

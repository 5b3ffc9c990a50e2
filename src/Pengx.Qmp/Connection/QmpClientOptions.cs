using Microsoft.Extensions.Logging;

namespace Pengx.Qmp;

/// <summary>The limits of one client.</summary>
public sealed class QmpClientOptions
{
    /// <summary>How long connecting the socket may take.</summary>
    /// <value>Default 5 seconds.</value>
    public TimeSpan ConnectTimeout { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>How long the greeting, and then the negotiation, may each take. A monitor that already serves another client connects, but stays silent.</summary>
    /// <value>Default 10 seconds.</value>
    public TimeSpan GreetingTimeout { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>How long a command may take, waiting for its turn and being written included; <see cref="Timeout.InfiniteTimeSpan"/> for no limit.</summary>
    /// <value>Default 30 seconds. <see cref="QmpCommand{TArguments,TResult}.Timeout"/> overrides it for one command.</value>
    public TimeSpan CommandTimeout { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>The longest line that is read or sent, in bytes. A longer one from the peer ends the session.</summary>
    /// <value>Default 10 MiB, as libvirt and QEMU's own client allow.</value>
    public int MaxLineBytes { get; set; } = 10 * 1024 * 1024;

    /// <summary>The deepest nesting that is read. Deep backing chains nest once per layer in <c>query-block</c>.</summary>
    /// <value>Default 512.</value>
    public int MaxDepth { get; set; } = 512;

    /// <summary>How many commands are at QEMU at once; the others wait their turn, in order.</summary>
    /// <value>Default 8: QEMU stops reading a monitor that has 8 commands queued.</value>
    public int MaxInFlight { get; set; } = 8;

    /// <summary>How many events each subscription holds for a slow reader before the oldest are dropped.</summary>
    /// <value>Default 1024.</value>
    public int EventQueueLength { get; set; } = 1024;

    /// <summary>Where the client logs. It never logs arguments or results, which may hold secrets.</summary>
    /// <value>Default none.</value>
    public ILogger? Logger { get; set; }

    /// <summary>Whether out-of-band execution is negotiated where QEMU offers it.</summary>
    /// <value>Default true.</value>
    public bool OutOfBand { get; set; } = true;

    /// <summary>
    /// Where every line sent and received is logged, at trace level, for finding faults. Values that are or may be secret (passwords,
    /// secret objects, keystrokes, monitor lines, the contents of guest files) are replaced by <c>***</c>; names, sizes and paths are not.
    /// </summary>
    /// <value>Default none.</value>
    public ILogger? WireLogger { get; set; }

    /// <summary>The clock of all timeouts.</summary>
    /// <value>Default <see cref="TimeProvider.System"/>.</value>
    public TimeProvider TimeProvider { get; set; } = TimeProvider.System;

    internal QmpClientOptions Validate()
    {
        RequirePositive(ConnectTimeout, nameof(ConnectTimeout));
        RequirePositive(GreetingTimeout, nameof(GreetingTimeout));
        RequirePositive(CommandTimeout, nameof(CommandTimeout));
        ArgumentOutOfRangeException.ThrowIfLessThan(MaxLineBytes, 1024, nameof(MaxLineBytes));
        ArgumentOutOfRangeException.ThrowIfLessThan(MaxDepth, 8, nameof(MaxDepth));
        ArgumentOutOfRangeException.ThrowIfLessThan(MaxInFlight, 1, nameof(MaxInFlight));
        ArgumentOutOfRangeException.ThrowIfLessThan(EventQueueLength, 1, nameof(EventQueueLength));
        ArgumentNullException.ThrowIfNull(TimeProvider, nameof(TimeProvider));

        // A copy: the caller may go on changing its instance.
        return (QmpClientOptions)MemberwiseClone();
    }

    internal static void RequirePositive(TimeSpan value, string name)
    {
        if (value != Timeout.InfiniteTimeSpan && (value <= TimeSpan.Zero || value.TotalMilliseconds > uint.MaxValue - 1))
        {
            throw new ArgumentOutOfRangeException(name, value, "A timeout is positive and below 49 days, or Timeout.InfiniteTimeSpan.");
        }
    }
}

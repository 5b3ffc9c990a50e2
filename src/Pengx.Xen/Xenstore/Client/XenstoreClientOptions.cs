using Microsoft.Extensions.Logging;

namespace Pengx.Xen;

/// <summary>The limits of one client.</summary>
public sealed class XenstoreClientOptions
{
    /// <summary>How long connecting may take.</summary>
    /// <value>Default 5 seconds.</value>
    public TimeSpan ConnectTimeout { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>How long a request may take, being written included; <see cref="Timeout.InfiniteTimeSpan"/> for no limit.</summary>
    /// <value>Default 30 seconds.</value>
    public TimeSpan RequestTimeout { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>How often a transaction is tried that meets conflicting changes.</summary>
    /// <value>Default 50.</value>
    public int TransactionAttempts { get; set; } = 50;

    /// <summary>How a lost connection is made again; null to leave it lost.</summary>
    /// <value>Default null.</value>
    public XenstoreReconnectOptions? Reconnect { get; set; }

    /// <summary>
    /// Whether the code behind an <c>await</c> goes on right on the thread that read the answer when nothing else is waited for, which saves two
    /// thread switches for each request of a sequence. Code that keeps that thread for long loses nothing but this: another thread
    /// reads on within milliseconds. False sends all of it to the thread pool.
    /// </summary>
    /// <value>Default true.</value>
    public bool ContinueOnReader { get; set; } = true;

    /// <summary>Where the client logs. It never logs values, which may hold secrets.</summary>
    /// <value>Default none.</value>
    public ILogger? Logger { get; set; }

    /// <summary>The clock of all timeouts and delays.</summary>
    /// <value>Default <see cref="TimeProvider.System"/>.</value>
    public TimeProvider TimeProvider { get; set; } = TimeProvider.System;

    internal XenstoreClientOptions Validate()
    {
        RequirePositive(ConnectTimeout, nameof(ConnectTimeout));
        RequirePositive(RequestTimeout, nameof(RequestTimeout));
        ArgumentOutOfRangeException.ThrowIfLessThan(TransactionAttempts, 1, nameof(TransactionAttempts));
        ArgumentNullException.ThrowIfNull(TimeProvider, nameof(TimeProvider));

        // A copy: the caller may go on changing its instance.
        var copy = (XenstoreClientOptions)MemberwiseClone();
        copy.Reconnect = Reconnect?.Validate();
        return copy;
    }

    internal static void RequirePositive(TimeSpan value, string name)
    {
        if (value != Timeout.InfiniteTimeSpan && (value <= TimeSpan.Zero || value.TotalMilliseconds > uint.MaxValue - 1))
        {
            throw new ArgumentOutOfRangeException(name, value, "A timeout is positive and below 49 days, or Timeout.InfiniteTimeSpan.");
        }
    }
}

/// <summary>When and how often a lost connection is tried again.</summary>
public sealed class XenstoreReconnectOptions
{
    /// <summary>The pause before the first attempt.</summary>
    /// <value>Default 100 milliseconds.</value>
    public TimeSpan FirstDelay { get; set; } = TimeSpan.FromMilliseconds(100);

    /// <summary>The longest pause; each is twice the one before.</summary>
    /// <value>Default 5 seconds.</value>
    public TimeSpan LongestDelay { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>How many attempts in a row may fail before it is given up; null for no limit.</summary>
    /// <value>Default null.</value>
    public int? MaxAttempts { get; set; }

    internal XenstoreReconnectOptions Validate()
    {
        XenstoreClientOptions.RequirePositive(FirstDelay, nameof(FirstDelay));
        XenstoreClientOptions.RequirePositive(LongestDelay, nameof(LongestDelay));
        if (MaxAttempts is { } attempts)
        {
            ArgumentOutOfRangeException.ThrowIfLessThan(attempts, 1, nameof(MaxAttempts));
        }

        return (XenstoreReconnectOptions)MemberwiseClone();
    }
}

namespace Pengx.Qmp;

/// <summary>When and how often a lost connection is tried again.</summary>
public sealed class QmpReconnectOptions
{
    /// <summary>The limits of each session.</summary>
    public QmpClientOptions Session { get; set; } = new();

    /// <summary>The pause before the first attempt.</summary>
    /// <value>Default 100 milliseconds.</value>
    public TimeSpan FirstDelay { get; set; } = TimeSpan.FromMilliseconds(100);

    /// <summary>The longest pause; each is twice the one before.</summary>
    /// <value>Default 5 seconds.</value>
    public TimeSpan LongestDelay { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>How many attempts in a row may fail before it is given up; null for no limit.</summary>
    /// <value>Default null.</value>
    public int? MaxAttempts { get; set; }

    internal QmpReconnectOptions Validate()
    {
        ArgumentNullException.ThrowIfNull(Session, nameof(Session));
        QmpClientOptions.RequirePositive(FirstDelay, nameof(FirstDelay));
        QmpClientOptions.RequirePositive(LongestDelay, nameof(LongestDelay));
        if (MaxAttempts is { } attempts)
        {
            ArgumentOutOfRangeException.ThrowIfLessThan(attempts, 1, nameof(MaxAttempts));
        }

        QmpReconnectOptions copy = (QmpReconnectOptions)MemberwiseClone();
        copy.Session = Session.Validate();
        return copy;
    }
}

/// <summary>A change of a reconnecting client's connection.</summary>
public sealed record QmpConnectionChange
{
    /// <summary><see cref="QmpConnectionState.Connecting"/> after a loss, <see cref="QmpConnectionState.Ready"/> when connected again, <see cref="QmpConnectionState.Closed"/> at the end.</summary>
    public required QmpConnectionState State { get; init; }

    /// <summary>The number of the session, from 1; the one that was lost, or the new one.</summary>
    public required int Session { get; init; }

    /// <summary>Why the connection was lost, or given up.</summary>
    public Exception? Reason { get; init; }

    /// <summary>When connected again: since when events may have been lost. Whatever was learned by events has to be asked for anew.</summary>
    public DateTimeOffset? BlindSince { get; init; }

    /// <summary>When connected again: the jobs that QEMU has now, to be taken up by <see cref="QmpJobEngine.FindAsync"/>; empty if that could not be asked.</summary>
    public IReadOnlyList<QmpJobInfo> Jobs { get; init; } = [];
}

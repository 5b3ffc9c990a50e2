namespace Pengx.Qmp;

/// <summary>How jobs are watched.</summary>
public sealed class QmpJobOptions
{
    /// <summary>How often a job's progress is asked for. Changes of its state are noticed at once, by events; this also covers events that got lost.</summary>
    /// <value>Default 500 milliseconds.</value>
    public TimeSpan PollInterval { get; set; } = TimeSpan.FromMilliseconds(500);

    /// <summary>How long a job may take to end after it was told to be abandoned.</summary>
    /// <value>Default 60 seconds.</value>
    public TimeSpan AbandonTimeout { get; set; } = TimeSpan.FromSeconds(60);

    /// <summary>The clock of these limits.</summary>
    /// <value>Default <see cref="TimeProvider.System"/>.</value>
    public TimeProvider TimeProvider { get; set; } = TimeProvider.System;

    internal QmpJobOptions Validate()
    {
        QmpClientOptions.RequirePositive(PollInterval, nameof(PollInterval));
        QmpClientOptions.RequirePositive(AbandonTimeout, nameof(AbandonTimeout));
        ArgumentNullException.ThrowIfNull(TimeProvider, nameof(TimeProvider));
        return (QmpJobOptions)MemberwiseClone();
    }
}

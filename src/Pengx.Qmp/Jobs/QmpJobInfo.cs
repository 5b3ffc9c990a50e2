namespace Pengx.Qmp;

/// <summary>A job as <c>query-jobs</c> shows it (<c>JobInfo</c> in <c>qapi/job.json</c>).</summary>
public sealed record QmpJobInfo
{
    /// <summary>The job's id.</summary>
    public required string Id { get; init; }

    /// <summary>The kind of job, such as <c>mirror</c>, <c>commit</c>, <c>stream</c>, <c>backup</c> or <c>create</c>.</summary>
    public required string Type { get; init; }

    /// <summary>Where it stands: one of <see cref="QmpJobStatus"/>, or a newer one.</summary>
    public required string Status { get; init; }

    /// <summary>What is done, in units of the job (bytes for block jobs). It may be beyond an earlier <see cref="TotalProgress"/>: the goal moves while the guest writes.</summary>
    public required long CurrentProgress { get; init; }

    /// <summary>What there is to do, as estimated now, in the same units; 0 where nothing needs to be done.</summary>
    public required long TotalProgress { get; init; }

    /// <summary>Why it failed, in QEMU's words; null unless it is over and has failed. This, and no event, tells success from failure.</summary>
    public string? Error { get; init; }

    /// <summary>Whether it waits for the word to complete (mirror and active commit).</summary>
    public bool IsReady => Status is QmpJobStatus.Ready or QmpJobStatus.Standby;

    /// <summary>Whether it is over and only its result is kept.</summary>
    public bool IsConcluded => Status is QmpJobStatus.Concluded or QmpJobStatus.Null;
}

/// <summary>The states of a job (<c>JobStatus</c> in <c>qapi/job.json</c>).</summary>
public static class QmpJobStatus
{
    /// <summary>Made, not started.</summary>
    public const string Created = "created";

    /// <summary>At work.</summary>
    public const string Running = "running";

    /// <summary>Paused.</summary>
    public const string Paused = "paused";

    /// <summary>In step with its source, waiting for the word to complete.</summary>
    public const string Ready = "ready";

    /// <summary>Ready and paused.</summary>
    public const string Standby = "standby";

    /// <summary>Done, waiting for the other jobs of its transaction.</summary>
    public const string Waiting = "waiting";

    /// <summary>Done, waiting for <c>job-finalize</c> (only without automatic finalization).</summary>
    public const string Pending = "pending";

    /// <summary>Failed or cancelled, cleaning up.</summary>
    public const string Aborting = "aborting";

    /// <summary>Over; the result stays until it is dismissed.</summary>
    public const string Concluded = "concluded";

    /// <summary>Dismissed, about to vanish.</summary>
    public const string Null = "null";
}

/// <summary>How far a job, or several together, have come.</summary>
/// <param name="Offset">What is done, in bytes for block jobs.</param>
/// <param name="Length">What there is to do, as estimated now: it grows while the guest writes.</param>
/// <param name="IsReady">Whether all that is left to do is to complete.</param>
public readonly record struct QmpJobProgress(long Offset, long Length, bool IsReady)
{
    /// <summary>From 0 to 1.</summary>
    public double Fraction => IsReady ? 1 : Length <= 0 ? 0 : Math.Clamp((double)Offset / Length, 0, 1);
}

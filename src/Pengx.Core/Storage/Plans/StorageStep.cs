namespace Pengx;

/// <summary>How much an act of a storage plan can destroy.</summary>
public enum StorageRisk
{
    /// <summary>It changes nothing.</summary>
    ReadOnly,

    /// <summary>It can be taken back without loss.</summary>
    Reversible,

    /// <summary>It overwrites or gives away what cannot be brought back.</summary>
    Destructive,
}

/// <summary>Something that must be so, in words and as a check. It is read from the system itself (mountinfo, sysfs, a tool's
/// report), never concluded from an exit code.</summary>
/// <param name="Text">What must be so, as a full sentence without its full stop.</param>
/// <param name="VerifyAsync">Answers <see langword="null"/> when it is so, and what was found instead when it is not.</param>
public sealed record StorageCondition(string Text, Func<CancellationToken, Task<string?>> VerifyAsync)
{
    /// <summary>How long the system may take to come to it, as devices do that appear some time after a login; at once by default.</summary>
    public TimeSpan Within { get; init; }

    /// <summary>The sentence.</summary>
    public override string ToString() => Text;
}

/// <summary>How an act is taken back.</summary>
/// <param name="Action">The act that takes it back.</param>
public sealed record StorageUndo(StorageAction Action)
{
    /// <summary>Whether there is something to take back. With it, the act is taken back even when it failed half way, if the
    /// condition holds then; without it, only an act that had succeeded is.</summary>
    public StorageCondition? Needed { get; init; }
}

/// <summary>One step of a storage plan.</summary>
public sealed record StorageStep
{
    /// <summary>What it is for, in the imperative: <c>Make the physical volume</c>.</summary>
    public required string Description { get; init; }

    /// <summary>What is done.</summary>
    public required StorageAction Action { get; init; }

    /// <summary>How much it can destroy.</summary>
    public required StorageRisk Risk { get; init; }

    /// <summary>What must be so immediately before: the device is still the same, it is still blank.</summary>
    public IReadOnlyList<StorageCondition> Before { get; init; } = [];

    /// <summary>What must be so afterwards; the step succeeded only then.</summary>
    public required StorageCondition After { get; init; }

    /// <summary>How it is taken back when a later step fails; <see langword="null"/> when it cannot or need not be.</summary>
    public StorageUndo? Undo { get; init; }

    /// <summary>Whether there is no way back once this step has begun: what fails then is finished by planning again, and
    /// nothing done before is taken back.</summary>
    public bool NoReturn { get; init; }
}

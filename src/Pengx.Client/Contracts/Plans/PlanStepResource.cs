namespace Pengx.Client;

/// <summary>One step of a plan: <c>&lt;step&gt;</c>.</summary>
public sealed record PlanStepResource
{
    /// <summary>What it is for.</summary>
    public required string Description { get; init; }

    /// <summary><c>readonly</c>, <c>reversible</c> or <c>destructive</c>.</summary>
    public string? Risk { get; init; }

    /// <summary>What must be so immediately before.</summary>
    public IReadOnlyList<string> Before { get; init; } = [];

    /// <summary>The exact command line, or what is done without one.</summary>
    public required string Run { get; init; }

    /// <summary>What must be so afterwards.</summary>
    public required string After { get; init; }

    /// <summary>How it is taken back; null when it is not.</summary>
    public string? Undo { get; init; }
}

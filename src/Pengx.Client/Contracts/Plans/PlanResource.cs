namespace Pengx.Client;

/// <summary>What would be done, step by step, without any of it done: <c>&lt;plan&gt;</c>.</summary>
public sealed record PlanResource
{
    /// <summary>What it reaches.</summary>
    public required string Title { get; init; }

    /// <summary><c>readonly</c>, <c>reversible</c> or <c>destructive</c>: the highest of its steps.</summary>
    public string? Risk { get; init; }

    /// <summary>What to know before.</summary>
    public IReadOnlyList<string> Warnings { get; init; } = [];

    /// <summary>The steps, in their order; none when nothing is to be done.</summary>
    public IReadOnlyList<PlanStepResource> Steps { get; init; } = [];
}

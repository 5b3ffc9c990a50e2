namespace Pengx.Orchestration;

/// <summary>Which operations to list.</summary>
public sealed record OperationQuery
{
    /// <summary>Everything, the newest 1000.</summary>
    public static OperationQuery All { get; } = new();

    /// <summary>Only those that have not ended.</summary>
    public bool UnfinishedOnly { get; init; }

    /// <summary>Only those that work on this object, such as <c>vm/7e1…</c>.</summary>
    public string? Target { get; init; }

    /// <summary>At most so many, the newest first.</summary>
    public int Limit { get; init; } = 1000;
}

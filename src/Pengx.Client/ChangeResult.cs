namespace Pengx.Client;

/// <summary>What became of a change that was not refused.</summary>
public sealed record ChangeResult
{
    /// <summary>What the server says it did; null where it said nothing (an original server answers 204).</summary>
    public string? Message { get; init; }

    /// <summary>The operation that goes on at the server, when <see cref="ChangeOptions.RespondAsync"/> was granted; else null: it is done.</summary>
    public OperationResource? Operation { get; init; }

    /// <summary>Whether the change goes on at the server.</summary>
    public bool IsPending => Operation is not null;
}

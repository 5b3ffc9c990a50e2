namespace Pengx.Client;

/// <summary>What became of a creation that was not refused.</summary>
/// <typeparam name="TId">The kind of id: a UUID, or a number for storlinks and interfaces.</typeparam>
public sealed record CreatedResult<TId>
    where TId : struct
{
    /// <summary>The id of what was created; null while it goes on, and where the server names none (an original server often does not).</summary>
    public TId? Id { get; init; }

    /// <summary>Where it is, or null.</summary>
    public Uri? Location { get; init; }

    /// <summary>What the server says it did, or null.</summary>
    public string? Message { get; init; }

    /// <summary>The operation that goes on at the server, when <see cref="ChangeOptions.RespondAsync"/> was granted; else null: it is done.</summary>
    public OperationResource? Operation { get; init; }

    /// <summary>Whether the creation goes on at the server.</summary>
    public bool IsPending => Operation is not null;
}

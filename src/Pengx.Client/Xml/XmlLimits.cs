namespace Pengx.Client;

/// <summary>How much of a document from outside is read before it is refused.</summary>
public sealed record XmlLimits
{
    /// <summary>For requests: 1 MiB, 32 levels, 10 000 elements.</summary>
    public static XmlLimits Request { get; } = new();

    /// <summary>For answers: 8 MiB and 100 000 elements per answer, or per item of a streamed list, and 32 levels.</summary>
    public static XmlLimits Response { get; } = new() { MaxBytes = 8 << 20, MaxElements = 100_000 };

    /// <summary>The longest document in bytes; of a streamed list, the longest item.</summary>
    public long MaxBytes { get; init; } = 1 << 20;

    /// <summary>The deepest nesting; the root is level 1.</summary>
    public int MaxDepth { get; init; } = 32;

    /// <summary>The most elements in one document; of a streamed list, in one item.</summary>
    public int MaxElements { get; init; } = 10_000;
}

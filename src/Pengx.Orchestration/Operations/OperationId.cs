using System.Diagnostics.CodeAnalysis;

namespace Pengx.Orchestration;

/// <summary>Identifies an operation.</summary>
/// <param name="Value">The UUID.</param>
public readonly record struct OperationId(Guid Value)
{
    /// <summary>Makes a fresh random identifier.</summary>
    public static OperationId New() => new(Guid.NewGuid());

    /// <summary>Reads a UUID in any case, with or without hyphens; <see langword="false"/> for anything else.</summary>
    /// <param name="text">The text to read.</param>
    /// <param name="id">The identifier read.</param>
    public static bool TryParse([NotNullWhen(true)] string? text, out OperationId id)
    {
        var trimmed = text.AsSpan().Trim();
        var valid = Guid.TryParseExact(trimmed, "D", out var value) || Guid.TryParseExact(trimmed, "N", out value);
        id = new(value);
        return valid;
    }

    /// <summary>The UUID in lower case with hyphens, as every answer of the API writes it.</summary>
    public override string ToString() => Value.ToString("D");
}

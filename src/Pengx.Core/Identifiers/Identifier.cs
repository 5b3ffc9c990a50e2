using System.Diagnostics.CodeAnalysis;

namespace Pengx;

/// <summary>How every UUID of the API is read: any case, with or without hyphens, and nothing else.</summary>
internal static class Identifier
{
    public static bool TryParse([NotNullWhen(true)] string? text, out Guid value)
    {
        var trimmed = text.AsSpan().Trim();
        return Guid.TryParseExact(trimmed, "D", out value) || Guid.TryParseExact(trimmed, "N", out value);
    }
}

using System.Globalization;
using System.Text;

namespace Pengx.Client;

/// <summary>The headers that this API adds, and how a sentence of any script travels in one.</summary>
public static class PengxHeaders
{
    /// <summary>A 204's result: <c>True</c> or <c>False</c>.</summary>
    public const string Result = "X-Pengx-Result";

    /// <summary>A 204's message, encoded by <see cref="EncodeMessage"/>.</summary>
    public const string Message = "X-Pengx-Message";

    /// <summary>Makes a repeated changing request the same request.</summary>
    public const string IdempotencyKey = "Idempotency-Key";

    /// <summary>On every answer of a server that honours <see cref="IdempotencyKey"/>: how many hours it remembers one.</summary>
    public const string IdempotencyHours = "X-Pengx-Idempotency-Hours";

    /// <summary>The other place for an API key, beside <c>Authorization: Bearer</c>.</summary>
    public const string ApiKey = "X-Api-Key";

    /// <summary>Asks for an answer at once, or for a body where the reference documents 204.</summary>
    public const string Prefer = "Prefer";

    /// <summary>The value of <see cref="Prefer"/> that asks for an answer at once, while the work goes on.</summary>
    public const string RespondAsync = "respond-async";

    /// <summary>The value of <see cref="Prefer"/> that asks for a body where the reference documents 204.</summary>
    public const string ReturnRepresentation = "return=representation";

    /// <summary>
    /// Writes a sentence as a header's value: printable ASCII stays as it is, everything else (and <c>%</c>) becomes the percent-encoded
    /// bytes of its UTF-8.
    /// </summary>
    /// <param name="message">The sentence.</param>
    /// <returns>The header's value.</returns>
    public static string EncodeMessage(string message)
    {
        ArgumentNullException.ThrowIfNull(message);
        var value = new StringBuilder(message.Length);
        Span<byte> bytes = stackalloc byte[4];
        foreach (var rune in message.EnumerateRunes())
        {
            if (rune.Value is >= ' ' and <= '~' and not '%')
            {
                value.Append((char)rune.Value);
                continue;
            }

            foreach (var part in bytes[..rune.EncodeToUtf8(bytes)])
            {
                value.Append(CultureInfo.InvariantCulture, $"%{part:X2}");
            }
        }

        return value.ToString();
    }

    /// <summary>Reads what <see cref="EncodeMessage"/> wrote; what is not encoded stays as it is.</summary>
    /// <param name="value">The header's value.</param>
    /// <returns>The sentence.</returns>
    public static string DecodeMessage(string value)
    {
        ArgumentNullException.ThrowIfNull(value);
        return Uri.UnescapeDataString(value);
    }
}

using System.Globalization;
using System.Text;

namespace Pengx.Xen;

/// <summary>What the payloads of messages mean. Whatever comes from a peer is checked; a fault is a <see cref="FormatException"/> that says what was expected.</summary>
internal static class XenstorePayload
{
    /// <summary>Names, each with a NUL behind it.</summary>
    internal static string[] ReadNames(ReadOnlySpan<byte> payload)
    {
        if (payload.IsEmpty)
        {
            return [];
        }

        if (payload[^1] != 0)
        {
            throw new FormatException("the list of names does not end with a NUL byte");
        }

        var names = new string[payload.Count((byte)0)];
        for (var i = 0; i < names.Length; i++)
        {
            var end = payload.IndexOf((byte)0);
            names[i] = end > 0 ? Encoding.UTF8.GetString(payload[..end]) : throw new FormatException("a name in the list is empty");
            payload = payload[(end + 1)..];
        }

        return names;
    }

    /// <summary>One text, with or without a NUL behind it.</summary>
    internal static string ReadText(ReadOnlySpan<byte> payload)
    {
        if (!payload.IsEmpty && payload[^1] == 0)
        {
            payload = payload[..^1];
        }

        return payload.Contains((byte)0) ? throw new FormatException("a NUL byte stands in the middle of a text") : Encoding.UTF8.GetString(payload);
    }

    internal static long ReadNumber(ReadOnlySpan<byte> payload)
    {
        var digits = !payload.IsEmpty && payload[^1] == 0 ? payload[..^1] : payload;
        return long.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out var number)
            ? number
            : throw new FormatException("a decimal number was expected");
    }

    internal static uint ReadTransactionId(ReadOnlySpan<byte> payload)
    {
        var number = ReadNumber(payload);
        return number is > 0 and <= uint.MaxValue ? (uint)number : throw new FormatException("a transaction's id was expected");
    }

    internal static bool ReadTruth(ReadOnlySpan<byte> payload) => payload switch
    {
        [(byte)'T'] or [(byte)'T', 0] => true,
        [(byte)'F'] or [(byte)'F', 0] => false,
        _ => throw new FormatException("T or F was expected"),
    };

    internal static XenstorePermissions ReadPermissions(ReadOnlySpan<byte> payload)
    {
        var texts = ReadNames(payload);
        if (texts.Length == 0)
        {
            throw new FormatException("the list of permissions is empty");
        }

        var owner = ReadPermission(texts[0]);
        return new XenstorePermissions { Owner = owner.DomainId, Others = owner.Access, Domains = [.. texts.Skip(1).Select(ReadPermission)] };
    }

    /// <summary>The owner first.</summary>
    internal static IEnumerable<string> PermissionTexts(XenstorePermissions permissions) =>
        permissions.Domains.Prepend(new XenstoreGrant(permissions.Owner, permissions.Others)).Select(permission =>
            string.Create(CultureInfo.InvariantCulture, $"{Letter(permission.Access)}{permission.DomainId}"));

    /// <summary>The path and the token of an event.</summary>
    internal static void SplitEvent(ReadOnlySpan<byte> payload, out ReadOnlySpan<byte> path, out ReadOnlySpan<byte> token)
    {
        var end = payload.IndexOf((byte)0);
        if (end <= 0)
        {
            throw new FormatException("a watch event has no path");
        }

        path = payload[..end];
        token = payload[(end + 1)..];
        end = token.IndexOf((byte)0);
        token = end >= 0 ? token[..end] : throw new FormatException("a watch event has no token");
    }

    private static XenstoreGrant ReadPermission(string text) =>
        int.TryParse(text.AsSpan(1), NumberStyles.None, CultureInfo.InvariantCulture, out var domainId)
            ? new XenstoreGrant(domainId, text[0] switch
            {
                'n' => XenstoreAccess.None,
                'r' => XenstoreAccess.Read,
                'w' => XenstoreAccess.Write,
                'b' => XenstoreAccess.ReadWrite,
                _ => throw new FormatException("a permission starts with none of n, r, w, b"),
            })
            : throw new FormatException("a permission does not end with a domain's number");

    private static char Letter(XenstoreAccess access) => access switch
    {
        XenstoreAccess.None => 'n',
        XenstoreAccess.Read => 'r',
        XenstoreAccess.Write => 'w',
        XenstoreAccess.ReadWrite => 'b',
        _ => throw new ArgumentOutOfRangeException(nameof(access), access, "An access is none, read, write, or both."),
    };
}

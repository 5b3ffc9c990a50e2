using System.Buffers;
using System.Diagnostics.CodeAnalysis;
using System.Globalization;

namespace Pengx.Xen;

/// <summary>
/// A path of the store that keeps the protocol's rules: letters, digits and <c>-/_@</c>; no empty part, no slash at the end; at most 3072
/// bytes, or 2048 if it is relative to the caller's own domain. Two names beside the tree, <c>@introduceDomain</c> and
/// <c>@releaseDomain</c> (or <c>@releaseDomain/DOMID</c>), can be watched.
/// </summary>
public readonly struct XenstorePath : IEquatable<XenstorePath>, IComparable<XenstorePath>
{
    private const string Introduce = "@introduceDomain";
    private const string Release = "@releaseDomain";

    private static readonly SearchValues<char> s_allowed = SearchValues.Create("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-/_@");

    private readonly string? _value;

    private XenstorePath(string value) => _value = value;

    /// <summary>The top of the tree.</summary>
    public static XenstorePath Root { get; } = new("/");

    /// <summary>Changes when a domain is introduced.</summary>
    public static XenstorePath IntroduceDomain { get; } = new(Introduce);

    /// <summary>Changes when any domain shuts down, crashes, is released or destroyed.</summary>
    public static XenstorePath ReleaseDomain { get; } = new(Release);

    /// <summary>The path as text.</summary>
    /// <exception cref="InvalidOperationException">This is the default value, which is no path.</exception>
    public string Value => _value ?? throw new InvalidOperationException("This is no xenstore path: it was never given a value.");

    /// <summary>Whether it starts at the top of the tree.</summary>
    public bool IsAbsolute => Value[0] == '/';

    /// <summary>Whether it is one of the names beside the tree, which can be watched but not read.</summary>
    public bool IsSpecial => Value[0] == '@';

    /// <summary>Its last part; empty for the top of the tree.</summary>
    public string Name => Value[(Value.LastIndexOf('/') + 1)..];

    /// <summary>The path above it; null at the top, and for the first part of a relative path.</summary>
    public XenstorePath? Parent
    {
        get
        {
            var at = Value.LastIndexOf('/');
            if (at < 0 || Value.Length == 1)
            {
                return null;
            }

            return at == 0 ? Root : new XenstorePath(Value[..at]);
        }
    }

    /// <summary>The part of the tree that belongs to a domain: <c>/local/domain/DOMID</c>.</summary>
    /// <param name="domainId">The domain, 0 to 65535.</param>
    public static XenstorePath OfDomain(int domainId) => new(string.Create(CultureInfo.InvariantCulture, $"/local/domain/{Checked(domainId)}"));

    /// <summary>Changes when one domain shuts down, crashes, is released or destroyed. Needs a daemon that knows depths (feature bit 4).</summary>
    /// <param name="domainId">The domain, 0 to 65535.</param>
    public static XenstorePath ReleaseOf(int domainId) => new(string.Create(CultureInfo.InvariantCulture, $"{Release}/{Checked(domainId)}"));

    /// <summary>Reads a path.</summary>
    /// <param name="text">The text.</param>
    /// <exception cref="ArgumentException">It breaks a rule; the message says which.</exception>
    public static XenstorePath Parse(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        return Fault(text) is { } fault
            ? throw new ArgumentException($"'{Quoted(text)}' is no xenstore path: {fault}", nameof(text))
            : new XenstorePath(text);
    }

    /// <summary>Reads a path; false if it breaks a rule.</summary>
    /// <param name="text">The text.</param>
    /// <param name="path">The path.</param>
    public static bool TryParse([NotNullWhen(true)] string? text, out XenstorePath path)
    {
        var isValid = text is not null && Fault(text) is null;
        path = isValid ? new XenstorePath(text!) : default;
        return isValid;
    }

    /// <summary>A path below this one.</summary>
    /// <param name="relative">One part or several, without a leading slash.</param>
    /// <exception cref="ArgumentException">The result breaks a rule; the message says which.</exception>
    public XenstorePath Append(string relative)
    {
        ArgumentNullException.ThrowIfNull(relative);
        return Parse(Value.Length == 1 && IsAbsolute ? $"/{relative}" : $"{Value}/{relative}");
    }

    /// <summary>Whether a path is this one or lies below it.</summary>
    /// <param name="other">The other path.</param>
    public bool Contains(XenstorePath other) =>
        other.Value.StartsWith(Value, StringComparison.Ordinal)
        && (other.Value.Length == Value.Length || Value == "/" || other.Value[Value.Length] == '/');

    /// <inheritdoc/>
    public bool Equals(XenstorePath other) => _value == other._value;

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is XenstorePath other && Equals(other);

    /// <inheritdoc/>
    public override int GetHashCode() => _value is null ? 0 : _value.GetHashCode(StringComparison.Ordinal);

    /// <inheritdoc/>
    public int CompareTo(XenstorePath other) => string.CompareOrdinal(_value, other._value);

    /// <inheritdoc/>
    public override string ToString() => _value ?? string.Empty;

    /// <summary>Reads a path; see <see cref="Parse"/>.</summary>
    /// <param name="text">The text.</param>
    public static implicit operator XenstorePath(string text) => Parse(text);

    /// <summary>A path below another; see <see cref="Append"/>.</summary>
    /// <param name="path">The upper path.</param>
    /// <param name="relative">One part or several, without a leading slash.</param>
    public static XenstorePath operator /(XenstorePath path, string relative) => path.Append(relative);

    /// <summary>Whether two paths are the same text.</summary>
    /// <param name="left">One path.</param>
    /// <param name="right">The other.</param>
    public static bool operator ==(XenstorePath left, XenstorePath right) => left.Equals(right);

    /// <summary>Whether two paths differ.</summary>
    /// <param name="left">One path.</param>
    /// <param name="right">The other.</param>
    public static bool operator !=(XenstorePath left, XenstorePath right) => !left.Equals(right);

    /// <summary>Whether one path comes before another, byte by byte.</summary>
    /// <param name="left">One path.</param>
    /// <param name="right">The other.</param>
    public static bool operator <(XenstorePath left, XenstorePath right) => left.CompareTo(right) < 0;

    /// <summary>Whether one path comes after another, byte by byte.</summary>
    /// <param name="left">One path.</param>
    /// <param name="right">The other.</param>
    public static bool operator >(XenstorePath left, XenstorePath right) => left.CompareTo(right) > 0;

    /// <summary>Whether one path is another or comes before it, byte by byte.</summary>
    /// <param name="left">One path.</param>
    /// <param name="right">The other.</param>
    public static bool operator <=(XenstorePath left, XenstorePath right) => left.CompareTo(right) <= 0;

    /// <summary>Whether one path is another or comes after it, byte by byte.</summary>
    /// <param name="left">One path.</param>
    /// <param name="right">The other.</param>
    public static bool operator >=(XenstorePath left, XenstorePath right) => left.CompareTo(right) >= 0;

    /// <summary>What a daemon reported or what was joined from parts that a daemon reported: it knows its own names.</summary>
    internal static XenstorePath Trusted(string text) => new(text);

    private static int Checked(int domainId)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(domainId);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(domainId, ushort.MaxValue);
        return domainId;
    }

    /// <summary>The rule that the text breaks, or null.</summary>
    private static string? Fault(string text)
    {
        if (text.Length == 0)
        {
            return "it is empty.";
        }

        if (text.AsSpan().IndexOfAnyExcept(s_allowed) is >= 0 and var at)
        {
            return string.Create(CultureInfo.InvariantCulture, $"character {at + 1} is not a letter, a digit or one of -/_@.");
        }

        if (text.Contains("//", StringComparison.Ordinal))
        {
            return "it has two slashes in a row.";
        }

        if (text.Length > 1 && text[^1] == '/')
        {
            return "it ends with a slash.";
        }

        if (text[0] == '@')
        {
            return text is Introduce or Release || IsReleaseOf(text)
                ? null
                : $"of the names that start with @ there are only {Introduce}, {Release} and {Release}/DOMID.";
        }

        var limit = text[0] == '/' ? XenstoreLimits.AbsolutePath : XenstoreLimits.RelativePath;
        return text.Length > limit
            ? string.Create(CultureInfo.InvariantCulture, $"it is {text.Length} bytes long; {(text[0] == '/' ? "an absolute" : "a relative")} path has at most {limit}.")
            : null;
    }

    private static bool IsReleaseOf(string text) =>
        text.StartsWith(Release + "/", StringComparison.Ordinal)
        && ushort.TryParse(text.AsSpan(Release.Length + 1), NumberStyles.None, CultureInfo.InvariantCulture, out _);

    private static string Quoted(string text)
    {
        var shown = text.Length <= 100 ? text : $"{text[..100]}…";
        return string.Create(shown.Length, shown, static (span, from) =>
        {
            for (var i = 0; i < span.Length; i++)
            {
                span[i] = char.IsControl(from[i]) || char.IsSurrogate(from[i]) ? '?' : from[i];
            }
        });
    }
}

namespace Pengx.Xen;

/// <summary>The name that a domain has in Xen: its own where that is harmless to xl, its hotplug scripts and QEMU, else one made of its UUID.</summary>
/// <remarks>Xen refuses two domains of one name, reads a name of digits as a domain's number, and hands names unquoted to scripts and to
/// QEMU's option parser.</remarks>
public readonly record struct XlName
{
    private const int MaxLength = 63;
    private const string UuidPrefix = "vm-";

    private readonly string? _value;

    private XlName(string value) => _value = value;

    /// <summary>The name.</summary>
    public string Value => _value ?? throw new InvalidOperationException("This name was never made.");

    /// <summary>Whether a name can be used as it is: a letter, then up to 62 letters, digits, <c>.</c>, <c>_</c> and <c>-</c>, and none that Xen
    /// or Pengx makes itself (<c>Domain-0</c>, <c>…--incoming</c>, <c>vm-UUID</c>).</summary>
    /// <param name="name">The name.</param>
    public static bool IsUsable(string? name) => name is { Length: > 0 and <= MaxLength }
        && char.IsAsciiLetter(name[0])
        && name.All(character => char.IsAsciiLetterOrDigit(character) || character is '.' or '_' or '-')
        && !name.Contains("--", StringComparison.Ordinal)
        && !(name.StartsWith(UuidPrefix, StringComparison.Ordinal) && Guid.TryParse(name.AsSpan(UuidPrefix.Length), out _))
        && !name.Equals("Domain-0", StringComparison.OrdinalIgnoreCase);

    /// <summary>The name of a domain in Xen.</summary>
    /// <param name="id">The domain.</param>
    /// <param name="name">The name that people know it by.</param>
    public static XlName For(DomainId id, string? name) => IsUsable(name) ? new(name!) : new($"{UuidPrefix}{id}");

    /// <summary>The name made of a domain's UUID alone.</summary>
    /// <param name="id">The domain.</param>
    public static XlName For(DomainId id) => new($"{UuidPrefix}{id}");

    /// <inheritdoc/>
    public override string ToString() => Value;
}

namespace Pengx.Xen;

/// <summary>What a domain may do with a node.</summary>
[Flags]
public enum XenstoreAccess
{
    /// <summary>Nothing.</summary>
    None = 0,

    /// <summary>Read and watch it.</summary>
    Read = 1,

    /// <summary>Write it and make nodes below it.</summary>
    Write = 2,

    /// <summary>Both.</summary>
    ReadWrite = Read | Write,
}

/// <summary>What one domain may do with a node.</summary>
/// <param name="DomainId">The domain.</param>
/// <param name="Access">What it may do.</param>
public readonly record struct XenstoreGrant(int DomainId, XenstoreAccess Access);

/// <summary>Who may do what with a node. The owner and domain 0 may do everything.</summary>
public sealed record XenstorePermissions
{
    /// <summary>The domain that owns the node.</summary>
    public required int Owner { get; init; }

    /// <summary>What the domains may do that <see cref="Domains"/> does not name.</summary>
    public XenstoreAccess Others { get; init; }

    /// <summary>What single domains may do.</summary>
    public IReadOnlyList<XenstoreGrant> Domains { get; init; } = [];

    /// <inheritdoc/>
    public bool Equals(XenstorePermissions? other) =>
        other is not null && Owner == other.Owner && Others == other.Others && Domains.SequenceEqual(other.Domains);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(Owner, Others, Domains.Count);

    /// <summary>As Xen's own tools write it: <c>n0,r5,b7</c>, the owner first.</summary>
    public override string ToString() => string.Join(',', XenstorePayload.PermissionTexts(this));
}

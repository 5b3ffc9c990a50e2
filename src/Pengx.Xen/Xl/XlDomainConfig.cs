namespace Pengx.Xen;

/// <summary>What an <c>xl.cfg</c> says of a domain, in types; and the way back, from a definition to an <c>xl.cfg</c>.</summary>
public sealed record XlDomainConfig
{
    /// <summary>The domain's name in Xen; <see langword="null"/> without one, which xl refuses.</summary>
    public string? Name { get; init; }

    /// <summary>Its UUID; xl makes one up at each start without.</summary>
    public DomainId? Id { get; init; }

    /// <summary>How it is virtualized.</summary>
    public XlGuestKind Kind { get; init; } = XlGuestKind.Pv;

    /// <summary>Memory at start; <see langword="null"/> without, which xl accepts.</summary>
    public DataSize? Memory { get; init; }

    /// <summary>Memory that it can be grown to; that at start without.</summary>
    public DataSize? MaxMemory { get; init; }

    /// <summary>Virtual processors at start.</summary>
    public int Cpus { get; init; } = 1;

    /// <summary>Virtual processors that it can be grown to.</summary>
    public int MaxCpus { get; init; } = 1;

    /// <summary>Its disks.</summary>
    public IReadOnlyList<XlDisk> Disks { get; init; } = [];

    /// <summary>Its network interfaces.</summary>
    public IReadOnlyList<XlVif> Vifs { get; init; } = [];

    /// <summary>The PCI functions handed to it, as they stand there.</summary>
    public IReadOnlyList<string> PciDevices { get; init; } = [];

    /// <summary>Reads what an <c>xl.cfg</c> says.</summary>
    /// <param name="document">The <c>xl.cfg</c>.</param>
    /// <exception cref="XlConfigException">A number, type, UUID, disk or interface is none that xl would read.</exception>
    public static XlDomainConfig Read(XlConfigDocument document) => XlDomainConfigReader.Read(document);

    /// <summary>Writes the <c>xl.cfg</c> that a domain is created from. It holds the console's password: keep it from others' eyes.</summary>
    /// <param name="definition">The domain.</param>
    /// <param name="profile">What Xen must know beyond it.</param>
    /// <param name="qmpSocket">Where the guest's QEMU opens a monitor of our own, beside libxl's, which takes one client at a time.</param>
    /// <exception cref="InvalidFieldException">Something of it cannot be run by Xen, or not be written without harm.</exception>
    public static XlConfigDocument Write(DomainDefinition definition, XlGuestProfile profile, string? qmpSocket = null) =>
        XlDomainConfigWriter.Write(definition, profile, qmpSocket);

    /// <inheritdoc/>
    public bool Equals(XlDomainConfig? other) => other is not null
        && Name == other.Name && Id == other.Id && Kind == other.Kind && Memory == other.Memory && MaxMemory == other.MaxMemory
        && Cpus == other.Cpus && MaxCpus == other.MaxCpus
        && Disks.SequenceEqual(other.Disks) && Vifs.SequenceEqual(other.Vifs) && PciDevices.SequenceEqual(other.PciDevices);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(Name, Id, Kind, Memory, Disks.Count, Vifs.Count);
}

using System.Globalization;
using System.Text;

namespace Pengx;

/// <summary>Everything a hypervisor must know of a domain to run it: what a driver stores and starts from.</summary>
public sealed record DomainDefinition
{
    /// <summary>The domain: a virtual machine's or template's UUID. Domains are found by it, never by name.</summary>
    public required DomainId Id { get; init; }

    /// <summary>The name shown to people; a driver may run the domain under another.</summary>
    public required string Name { get; init; }

    /// <summary>Virtual processors at start.</summary>
    public required int Cpus { get; init; }

    /// <summary>Virtual processors that it can be grown to while it runs; at least <see cref="Cpus"/>.</summary>
    public required int MaxCpus { get; init; }

    /// <summary>Memory at start.</summary>
    public required DataSize Memory { get; init; }

    /// <summary>Memory that it can be grown to while it runs; at least <see cref="Memory"/>.</summary>
    public required DataSize MaxMemory { get; init; }

    /// <summary>Whether the guest is Windows, which some drivers give other devices and clocks.</summary>
    public bool IsWindows { get; init; }

    /// <summary>The disks, in boot order.</summary>
    public required IReadOnlyList<DomainDisk> Disks { get; init; }

    /// <summary>The network interfaces, in the guest's order.</summary>
    public IReadOnlyList<DomainNic> Nics { get; init; } = [];

    /// <summary>The password of the VNC console; without one there is no console.</summary>
    public string? VncPassword { get; init; }

    /// <summary>An ISO image to put into the CD-ROM drive, and to boot from while no disk boots.</summary>
    public string? IsoPath { get; init; }

    /// <summary>PCI functions of the host handed to the guest.</summary>
    public IReadOnlyList<PciAddress> PciDevices { get; init; } = [];

    /// <summary>Whether another definition says the same, its lists compared element by element.</summary>
    /// <param name="other">The other definition.</param>
    public bool Equals(DomainDefinition? other) => other is not null
        && Id == other.Id && Name == other.Name && Cpus == other.Cpus && MaxCpus == other.MaxCpus
        && Memory == other.Memory && MaxMemory == other.MaxMemory && IsWindows == other.IsWindows
        && VncPassword == other.VncPassword && IsoPath == other.IsoPath
        && Disks.SequenceEqual(other.Disks) && Nics.SequenceEqual(other.Nics) && PciDevices.SequenceEqual(other.PciDevices);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(Id, Name, Cpus, Memory, Disks.Count, Nics.Count);

    // What a record prints of itself ends up in logs and errors: the password must not.
    private bool PrintMembers(StringBuilder builder)
    {
        builder.Append(
            CultureInfo.InvariantCulture,
            $"Id = {Id}, Name = {Name}, Cpus = {Cpus}, MaxCpus = {MaxCpus}, Memory = {Memory}, MaxMemory = {MaxMemory}, IsWindows = {IsWindows}, "
            + $"Disks = [{string.Join(", ", Disks)}], Nics = [{string.Join(", ", Nics)}], VncPassword = {(VncPassword is null ? "" : "***")}, "
            + $"IsoPath = {IsoPath}, PciDevices = [{string.Join(", ", PciDevices)}]");
        return true;
    }
}

/// <summary>A disk of a domain: an image with everything beneath it, named in full so that no tool ever has to probe.</summary>
public sealed record DomainDisk
{
    /// <summary>The disk.</summary>
    public required DiskId Id { get; init; }

    /// <summary>The layers of the image: the writable one first, then each one's backing file.</summary>
    public required IReadOnlyList<DiskLayer> Layers { get; init; }

    /// <summary>The guest's device, such as <c>xvda</c>.</summary>
    public required string Vdev { get; init; }

    /// <summary>Whether the guest may only read.</summary>
    public bool ReadOnly { get; init; }

    /// <summary>Whether another disk is the same, layer by layer.</summary>
    /// <param name="other">The other disk.</param>
    public bool Equals(DomainDisk? other) => other is not null
        && Id == other.Id && Vdev == other.Vdev && ReadOnly == other.ReadOnly && Layers.SequenceEqual(other.Layers);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(Id, Vdev, Layers.Count);

    private bool PrintMembers(StringBuilder builder)
    {
        builder.Append(CultureInfo.InvariantCulture, $"Id = {Id}, Layers = [{string.Join(", ", Layers)}], Vdev = {Vdev}, ReadOnly = {ReadOnly}");
        return true;
    }
}

/// <summary>One image of a disk's chain.</summary>
/// <param name="Location">Where it lies.</param>
/// <param name="Format">Its format, from our record.</param>
public sealed record DiskLayer(DiskLocation Location, DiskFormat Format);

/// <summary>A network interface of a domain.</summary>
public sealed record DomainNic
{
    /// <summary>Its hardware address; it also tells the interface from the domain's others.</summary>
    public required MacAddress Mac { get; init; }

    /// <summary>The switch (bridge) of the host to plug it into.</summary>
    public required string Switch { get; init; }
}

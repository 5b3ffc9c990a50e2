using System.Diagnostics.CodeAnalysis;
using System.Text;

namespace Pengx.Xen;

/// <summary>A disk as xl specifies it, in <c>disk=[…]</c> and on the command line of <c>xl block-attach</c>.</summary>
/// <remarks>Source: <c>xl-disk-configuration(5)</c>.</remarks>
public sealed record XlDisk
{
    private const string TargetKey = "target=";

    /// <summary>The guest's device: <c>xvda</c>, <c>hdc</c>.</summary>
    public required string Vdev { get; init; }

    /// <summary>The image's format: <c>raw</c>, <c>qcow2</c>, <c>qcow</c>, <c>vhd</c>, <c>qed</c>; <c>empty</c> for a CD-ROM drive without a disc.</summary>
    public string Format { get; init; } = "raw";

    /// <summary>The path on the host; empty for a CD-ROM drive without a disc.</summary>
    public required string Target { get; init; }

    /// <summary>Whether the guest may only read.</summary>
    public bool ReadOnly { get; init; }

    /// <summary>Whether it is a CD-ROM drive.</summary>
    public bool IsCdrom { get; init; }

    /// <summary>Who serves it: <c>phy</c> (the kernel), <c>qdisk</c> (QEMU); xl's choice without one.</summary>
    public string? BackendType { get; init; }

    /// <summary>The script that readies the target, such as <c>block-drbd</c>.</summary>
    public string? Script { get; init; }

    /// <summary>Everything else that was said of it, such as <c>discard</c> or <c>backend=storage</c>, in order.</summary>
    public IReadOnlyList<string> Others { get; init; } = [];

    /// <summary>Whether another disk is specified alike.</summary>
    /// <param name="other">The other disk.</param>
    public bool Equals(XlDisk? other) => other is not null
        && Vdev == other.Vdev && Format == other.Format && Target == other.Target && ReadOnly == other.ReadOnly && IsCdrom == other.IsCdrom
        && BackendType == other.BackendType && Script == other.Script && Others.SequenceEqual(other.Others);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(Vdev, Format, Target, ReadOnly, IsCdrom);

    /// <summary>Reads a specification in the positional form (<c>/srv/a.qcow2,qcow2,xvda,w</c>), the keyed one
    /// (<c>format=qcow2,vdev=xvda,access=rw,target=/srv/a.qcow2</c>) and their mixture.</summary>
    /// <param name="specification">The specification.</param>
    /// <exception cref="XlConfigException">xl would refuse it.</exception>
    public static XlDisk Parse(string specification)
    {
        ArgumentNullException.ThrowIfNull(specification);
        return new XlDiskParser().Parse(specification);
    }

    /// <summary>The specification in the keyed form, its target last, where it may hold commas and blanks.</summary>
    /// <exception cref="InvalidFieldException">A value would be read as something else, such as a device with a comma in it.</exception>
    public string ToSpecification()
    {
        var output = new StringBuilder();
        output.Append("format=").Append(IsCdrom && Target.Length == 0 ? "" : Format).Append(",vdev=").Append(Vdev).Append(",access=").Append(ReadOnly || IsCdrom ? "ro" : "rw");
        if (BackendType is not null)
        {
            output.Append(",backendtype=").Append(BackendType);
        }

        if (Script is not null)
        {
            output.Append(",script=").Append(Script);
        }

        foreach (var other in Others)
        {
            output.Append(',').Append(other);
        }

        // xl drops one comma at the end.
        output.Append(IsCdrom ? ",devtype=cdrom," : ",").Append(TargetKey).Append(Target).Append(Target.EndsWith(',') ? "," : "");
        var specification = output.ToString();
        if (specification.Any(char.IsControl) || !TryParse(specification, out var read) || !read.Equals(this))
        {
            throw new InvalidFieldException("disk", specification, "one of its values would be read as something else by xl.");
        }

        return specification;
    }

    private static bool TryParse(string specification, [NotNullWhen(true)] out XlDisk? disk)
    {
        try
        {
            disk = Parse(specification);
            return true;
        }
        catch (XlConfigException)
        {
            disk = null;
            return false;
        }
    }

    /// <summary>A disk of a definition as xl is told of it.</summary>
    /// <param name="disk">The disk.</param>
    /// <param name="profile">The guest's profile.</param>
    /// <param name="hotplug">Whether it is plugged into a running domain, where no guest gets it emulated.</param>
    internal static XlDisk From(DomainDisk disk, XlGuestProfile profile, bool hotplug)
    {
        ArgumentNullException.ThrowIfNull(disk);
        XlRules.CheckVdev(disk, profile, hotplug);
        if (disk.Layers.Count == 0)
        {
            throw new InvalidFieldException("disk", disk.Id.ToString(), "it has no image.");
        }

        var top = disk.Layers[0];
        var raw = top.Format == DiskFormat.Raw;
        if (raw && disk.Layers.Count > 1)
        {
            throw new InvalidFieldException("disk", disk.Id.ToString(), "a raw image has nothing beneath it.");
        }

        string target;
        string backend;
        switch (top.Location)
        {
            case FileLocation file:
                // Left to itself xl takes a loop device for a raw file, which QEMU, and so every live operation, would not know of.
                target = file.Path;
                backend = "qdisk";
                XlRules.CheckPath("disk", target, optionOfQemu: profile.Kind == XlGuestKind.Hvm);
                break;
            case BlockLocation block:
                target = block.Path;
                backend = raw && profile.KernelBlockBackend ? "phy" : "qdisk";
                XlRules.CheckDevicePath("disk", target);
                break;
            case RbdLocation rbd:
                throw new InvalidFieldException("disk", rbd.ToString(), "Xen's QEMU disks cannot open an RBD image by name; map it to a block device first (rbd map).");
            default:
                throw new InvalidFieldException("disk", disk.Id.ToString(), "Xen knows no such kind of location.");
        }

        return new() { Format = top.Format.Name, Vdev = disk.Vdev, ReadOnly = disk.ReadOnly, BackendType = backend, Target = target };
    }
}

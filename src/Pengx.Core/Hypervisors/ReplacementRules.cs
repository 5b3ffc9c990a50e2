namespace Pengx;

/// <summary>What every driver asks of the replacements that <see cref="ILiveDisks"/> is given, checked before anything changes.</summary>
internal static class ReplacementRules
{
    private const string Field = "disk";

    /// <summary>Checks that each disk gets one more layer on top, and that no two are the same disk or get the same overlay.</summary>
    /// <param name="disks">The replacements.</param>
    /// <exception cref="InvalidFieldException">A replacement breaks a rule.</exception>
    public static void CheckOverlays(IReadOnlyList<DiskReplacement> disks)
    {
        ArgumentNullException.ThrowIfNull(disks);
        HashSet<string> vdevs = new(StringComparer.Ordinal);
        HashSet<DiskLocation> overlays = [];
        foreach (var disk in disks)
        {
            CheckBoth(disk);
            var (before, after) = (disk.Before.Layers, disk.After.Layers);
            if (!after.Skip(1).SequenceEqual(before))
            {
                throw Refuse(disk, "the replacement must have the disk's layers, in their order, with one more on top.");
            }

            if (after[0].Format != DiskFormat.Qcow2)
            {
                throw Refuse(disk, "the new top layer must be qcow2: a raw image has nothing beneath it.");
            }

            if (!vdevs.Add(disk.Before.Vdev))
            {
                throw new InvalidFieldException("vdev", disk.Before.Vdev, "two of the disks have it.");
            }

            if (!overlays.Add(after[0].Location) || disks.Any(other => other.Before.Layers.Any(layer => layer.Location == after[0].Location)))
            {
                throw Refuse(disk, $"its new top layer '{after[0].Location}' is an image of another disk, too.");
            }
        }
    }

    /// <summary>Checks that some neighbouring layers vanish above one that can take them in.</summary>
    /// <param name="disk">The replacement.</param>
    /// <exception cref="InvalidFieldException">It breaks a rule.</exception>
    public static LayerMove CheckCommit(DiskReplacement disk)
    {
        var move = CheckMove(disk);
        return move.Below is null
            ? throw Refuse(disk, "the layers to merge down need one beneath them that takes them in.")
            : move;
    }

    /// <summary>Checks that some neighbouring layers vanish beneath one that can take them in.</summary>
    /// <param name="disk">The replacement.</param>
    /// <exception cref="InvalidFieldException">It breaks a rule.</exception>
    public static LayerMove CheckStream(DiskReplacement disk)
    {
        var move = CheckMove(disk);
        return move.Above switch
        {
            null => throw Refuse(disk, "the layers to pull up need one above them that takes them in."),
            _ => move,
        };
    }

    /// <summary>Checks how fast the work may go.</summary>
    /// <param name="limits">The limits.</param>
    /// <exception cref="InvalidFieldException">A limit is not positive.</exception>
    public static void Check(LiveDiskLimits? limits)
    {
        if (limits?.BytesPerSecond is <= 0 and var speed)
        {
            throw new InvalidFieldException("bytes_per_second", speed.ToString(System.Globalization.CultureInfo.InvariantCulture), "it must be at least 1, or nothing for as fast as it goes.");
        }
    }

    /// <summary>Finds what is to become of a running domain's disk.</summary>
    /// <param name="disk">The replacement.</param>
    /// <param name="real">The domain's disks as they really are.</param>
    /// <returns>Whether it still has to be done; false where the disk is already as it shall be.</returns>
    /// <exception cref="InvalidFieldException">The domain has no such disk, or it has other layers.</exception>
    public static bool IsToDo(DiskReplacement disk, IReadOnlyList<DomainDisk> real)
    {
        var layers = (real.FirstOrDefault(known => known.Vdev == disk.Before.Vdev)
            ?? throw new InvalidFieldException("vdev", disk.Before.Vdev, "the running domain has no such disk.")).Layers;
        return !layers.SequenceEqual(disk.After.Layers)
            && (layers.SequenceEqual(disk.Before.Layers)
                ? true
                : throw Refuse(disk, $"the running domain has other layers: {string.Join(", ", layers.Select(layer => layer.Location))}."));
    }

    /// <summary>A definition with a disk replaced; the same one where it has no disk of that vdev.</summary>
    /// <param name="definition">The definition.</param>
    /// <param name="disks">The replacements.</param>
    public static DomainDefinition Apply(DomainDefinition definition, IEnumerable<DomainDisk> disks)
    {
        var byVdev = disks.ToDictionary(disk => disk.Vdev, StringComparer.Ordinal);
        return definition with { Disks = [.. definition.Disks.Select(disk => byVdev.GetValueOrDefault(disk.Vdev, disk))] };
    }

    private static LayerMove CheckMove(DiskReplacement disk)
    {
        CheckBoth(disk);
        var (before, after) = (disk.Before.Layers, disk.After.Layers);
        var removed = before.Count - after.Count;
        var first = 0;
        while (first < after.Count && before[first] == after[first])
        {
            first++;
        }

        return removed > 0 && before.Skip(first + removed).SequenceEqual(after.Skip(first))
            ? new(before, first, removed)
            : throw Refuse(disk, "the replacement must have the disk's layers, in their order, without some neighbouring ones.");
    }

    private static void CheckBoth(DiskReplacement disk)
    {
        ArgumentNullException.ThrowIfNull(disk);
        DefinitionRules.Check(disk.Before);
        DefinitionRules.Check(disk.After);
        if (disk.After.Vdev != disk.Before.Vdev)
        {
            throw new InvalidFieldException("vdev", disk.After.Vdev, $"a disk keeps its vdev, {disk.Before.Vdev}.");
        }

        if (disk.After.ReadOnly != disk.Before.ReadOnly)
        {
            throw Refuse(disk, "whether the guest may write cannot change while it runs.");
        }

        if (disk.Before.ReadOnly)
        {
            throw Refuse(disk, "it is read-only.");
        }

        foreach (var side in (ReadOnlySpan<DomainDisk>)[disk.Before, disk.After])
        {
            if (side.Layers.Select(layer => layer.Location).Distinct().Count() != side.Layers.Count)
            {
                throw Refuse(disk, "an image is in its chain twice.");
            }
        }
    }

    private static InvalidFieldException Refuse(DiskReplacement disk, string rule) => new(Field, $"{disk.Before.Id} ({disk.Before.Vdev})", rule);
}

/// <summary>Neighbouring layers of a disk that are to vanish into the one beneath or above them.</summary>
/// <param name="Layers">The disk's layers, top first.</param>
/// <param name="First">The place of the highest that vanishes.</param>
/// <param name="Count">How many vanish.</param>
internal sealed record LayerMove(IReadOnlyList<DiskLayer> Layers, int First, int Count)
{
    /// <summary>The layer above those that vanish; <see langword="null"/> where the top one is among them.</summary>
    public DiskLayer? Above => First > 0 ? Layers[First - 1] : null;

    /// <summary>The highest layer that vanishes.</summary>
    public DiskLayer Top => Layers[First];

    /// <summary>The layer beneath those that vanish; <see langword="null"/> where the bottom one is among them.</summary>
    public DiskLayer? Below => First + Count < Layers.Count ? Layers[First + Count] : null;
}

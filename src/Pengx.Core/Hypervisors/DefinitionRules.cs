namespace Pengx;

/// <summary>What every driver asks of a definition, checked before anything is stored.</summary>
internal static class DefinitionRules
{
    private static readonly DataSize s_leastMemory = DataSize.FromMiB(1);

    /// <summary>Checks a definition.</summary>
    /// <param name="definition">The definition.</param>
    /// <exception cref="InvalidFieldException">A field breaks its rule.</exception>
    public static void Check(DomainDefinition definition)
    {
        ArgumentNullException.ThrowIfNull(definition);
        if (definition.Cpus < 1)
        {
            throw new InvalidFieldException("cpus", Text(definition.Cpus), "it must be at least 1.");
        }

        if (definition.MaxCpus < definition.Cpus)
        {
            throw new InvalidFieldException("max_cpus", Text(definition.MaxCpus), "it must be at least the number of processors.");
        }

        if (definition.Memory < s_leastMemory || definition.Memory.Bytes % 1024 != 0)
        {
            throw new InvalidFieldException("memory", definition.Memory.ToString(), "it must be at least 1 MiB, in whole KiB.");
        }

        if (definition.MaxMemory < definition.Memory || definition.MaxMemory.Bytes % 1024 != 0)
        {
            throw new InvalidFieldException("max_memory", definition.MaxMemory.ToString(), "it must be at least the memory, in whole KiB.");
        }

        HashSet<DiskId> disks = [];
        HashSet<char> vdevs = [];
        foreach (var disk in definition.Disks)
        {
            Check(disk);
            if (!disks.Add(disk.Id))
            {
                throw new InvalidFieldException("disk", disk.Id.ToString(), "the domain has it twice.");
            }

            if (!vdevs.Add(Vdev.LetterOf(disk.Vdev)))
            {
                throw new InvalidFieldException("vdev", disk.Vdev, "two disks of the domain have it.");
            }
        }

        HashSet<MacAddress> macs = [];
        foreach (var nic in definition.Nics)
        {
            if (!macs.Add(nic.Mac))
            {
                throw new InvalidFieldException("mac", nic.Mac.ToString(), "two interfaces of the domain have it.");
            }
        }

        if (definition.IsoPath is { } iso)
        {
            CheckPath("iso", iso);
        }
    }

    /// <summary>Checks a disk.</summary>
    /// <param name="disk">The disk.</param>
    /// <exception cref="InvalidFieldException">A field breaks its rule.</exception>
    public static void Check(DomainDisk disk)
    {
        ArgumentNullException.ThrowIfNull(disk);
        _ = Vdev.LetterOf(disk.Vdev);
        if (disk.Layers.Count == 0)
        {
            throw new InvalidFieldException("disk", disk.Id.ToString(), "it has no image.");
        }

        for (var index = 0; index < disk.Layers.Count; index++)
        {
            switch (disk.Layers[index].Location)
            {
                case FileLocation file:
                    CheckPath("disk", file.Path);
                    break;
                case BlockLocation block:
                    CheckPath("disk", block.Path);
                    break;
                case RbdLocation rbd:
                    CheckRbd(rbd);
                    break;
            }

            if (disk.Layers[index].Format == DiskFormat.Raw && index < disk.Layers.Count - 1)
            {
                throw new InvalidFieldException("disk", disk.Id.ToString(), "a raw image has nothing beneath it.");
            }
        }
    }

    // Empty names mean another default of each library, and a relative path another file for each process.
    private static void CheckRbd(RbdLocation rbd)
    {
        if (rbd.Pool.Length == 0 || rbd.Image.Length == 0 || rbd.User is "")
        {
            throw new InvalidFieldException("disk", rbd.ToString(), "an RBD image has a pool and a name, and its user is not empty.");
        }

        if (rbd.ConfigurationFile is { } file)
        {
            CheckPath("disk", file);
        }
    }

    private static void CheckPath(string field, string path)
    {
        if (!path.StartsWith('/') || path.Contains('\0', StringComparison.Ordinal) || path.StartsWith("/dev/fdset/", StringComparison.Ordinal))
        {
            throw new InvalidFieldException(field, path, "it must be the absolute path of a file or block device.");
        }
    }

    private static string Text(int number) => number.ToString(System.Globalization.CultureInfo.InvariantCulture);
}

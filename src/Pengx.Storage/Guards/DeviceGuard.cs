using System.Globalization;

namespace Pengx.Storage;

/// <summary>Knows block devices by what they are and not by what they are called: a LUN's number or a <c>/dev/sdX</c> may belong
/// to another volume since it was last looked at. Reads sysfs and procfs only, so it never touches the device and cannot hang
/// on a dead one. Safe to use from many threads.</summary>
/// <param name="sys">Where sysfs is mounted.</param>
/// <param name="proc">Where procfs is mounted.</param>
public sealed class DeviceGuard(string sys = "/sys", string proc = "/proc")
{
    private const int SectorSize = 512;
    private const int MaxDepth = 8;

    /// <summary>Looks at a block device.</summary>
    /// <param name="path">Its absolute path; symbolic links such as those of <c>/dev/disk/by-id</c> are followed.</param>
    /// <exception cref="StorageException">There is no such device, or it is something else.</exception>
    public BlockDevice Inspect(string path) => Find(path) ?? throw new StorageException($"There is no device {path}.");

    /// <summary>Looks at a block device; <see langword="null"/> when there is none.</summary>
    /// <param name="path">Its absolute path.</param>
    /// <exception cref="StorageException">It is no block device.</exception>
    public BlockDevice? Find(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        if (!path.StartsWith("/dev/", StringComparison.Ordinal) || path.Split('/').Any(part => part is "." or ".."))
        {
            throw new StorageException($"'{path}' is not the path of a device: it must begin with /dev/ and go straight down.");
        }

        if (Posix.DeviceNumber(path) is not { } number)
        {
            return null;
        }

        var directory = DirectoryOf(number) ?? throw new StorageException($"The device {path} ({number}) is not known to the kernel.");
        var name = System.IO.Path.GetFileName(directory);
        return new(path, name, new(long.Parse(Read(directory, "size") ?? "0", CultureInfo.InvariantCulture) * SectorSize), IdentityOf(directory, 0))
        {
            ReadOnly = Read(directory, "ro") == "1",
            Users = [.. UsersOf(directory)],
        };
    }

    /// <summary>Whether the kernel has a block device of a number: what is mounted may have lost its own.</summary>
    /// <param name="number"><c>major:minor</c>.</param>
    internal bool Knows(string number) => Directory.Exists(System.IO.Path.Combine(sys, "dev/block", number));

    /// <summary>Demands that a device is still the one that was meant, for the moment before each write.</summary>
    /// <param name="expected">The device as it was when it was chosen.</param>
    /// <exception cref="StorageException">Another device has its name now, or none, or its size has changed.</exception>
    public void Demand(BlockDevice expected)
    {
        ArgumentNullException.ThrowIfNull(expected);
        if (Differs(expected) is { } found)
        {
            throw new StorageException($"The device {expected.Path} was to be {expected.Identity} with {expected.Size}, but {found}; nothing was written.");
        }
    }

    /// <summary>A plan's condition that a device is still the one that was meant.</summary>
    /// <param name="expected">The device as it was when the plan was made.</param>
    public StorageCondition IsStill(BlockDevice expected)
    {
        ArgumentNullException.ThrowIfNull(expected);
        return new($"{expected.Path} is still {expected.Identity} with {expected.Size}", _ => Task.FromResult(Differs(expected)));
    }

    /// <summary>A plan's condition that nothing on this host uses a device.</summary>
    /// <param name="device">The device.</param>
    public StorageCondition IsUnused(BlockDevice device)
    {
        ArgumentNullException.ThrowIfNull(device);
        return new($"nothing on this host uses {device.Path}", _ => Task.FromResult(
            Find(device.Path) is { Users: { Count: > 0 } users } ? $"it is used by {string.Join(", ", users)}" : null));
    }

    private string? Differs(BlockDevice expected) => Find(expected.Path) switch
    {
        null => "there is no such device now",
        { } found when found.Identity != expected.Identity => $"it is {found.Identity} now",
        { } found when found.Size != expected.Size => $"it has {found.Size} now",
        _ => null,
    };

    private string? DirectoryOf(string number)
    {
        var link = System.IO.Path.Combine(sys, "dev/block", number);
        return Directory.ResolveLinkTarget(link, returnFinalTarget: true)?.FullName ?? (Directory.Exists(link) ? link : null);
    }

    private static DeviceIdentity IdentityOf(string directory, int depth)
    {
        if (Read(directory, "partition") is { } partition && System.IO.Path.GetDirectoryName(directory) is { } disk && depth < MaxDepth)
        {
            var whole = IdentityOf(disk, depth + 1);
            return whole with { Value = $"{whole.Value}-part{partition}" };
        }

        (string Kind, string File)[] sources = [("wwid", "wwid"), ("wwid", "device/wwid"), ("dm", "dm/uuid"), ("md", "md/uuid"), ("serial", "serial"), ("serial", "device/serial")];
        foreach (var (kind, file) in sources)
        {
            if (Read(directory, file) is { Length: > 0 } value)
            {
                return new(kind, value);
            }
        }

        if (Read(directory, "loop/backing_file") is { Length: > 0 } backing)
        {
            // The number that the kernel counts up at each use of a device tells a file that was attached again.
            return new("loop", $"{backing}+{Read(directory, "loop/offset")}#{Read(directory, "diskseq")}");
        }

        return Read(directory, "diskseq") is { Length: > 0 } sequence
            ? new("diskseq", sequence)
            : throw new StorageException($"The device {System.IO.Path.GetFileName(directory)} has nothing that tells it from another one.");
    }

    private IEnumerable<string> UsersOf(string directory)
    {
        // What sits on a partition sits on the disk, too.
        string[] parts = [directory, .. Directory.EnumerateDirectories(directory).Where(part => File.Exists(System.IO.Path.Combine(part, "partition")))];
        HashSet<string> numbers = new(StringComparer.Ordinal);
        foreach (var part in parts)
        {
            if (Read(part, "dev") is { } number)
            {
                numbers.Add(number);
            }

            var holders = System.IO.Path.Combine(part, "holders");
            if (Directory.Exists(holders))
            {
                foreach (var holder in Directory.EnumerateFileSystemEntries(holders))
                {
                    yield return $"the device {System.IO.Path.GetFileName(holder)}";
                }
            }
        }

        foreach (var line in Lines("self/mountinfo"))
        {
            // mountinfo(5): id, parent, major:minor, root, mount point, options, …, "-", type, source, …
            var fields = line.Split(' ');
            var dash = Array.IndexOf(fields, "-");
            if (dash > 4 && dash + 2 < fields.Length && (numbers.Contains(fields[2]) || IsOneOf(numbers, fields[dash + 2])))
            {
                yield return $"the file system mounted at {fields[4]}";
            }
        }

        foreach (var line in Lines("swaps").Skip(1))
        {
            if (IsOneOf(numbers, line.Split(' ', 2)[0]))
            {
                yield return "swap";
            }
        }
    }

    private static bool IsOneOf(HashSet<string> numbers, string path) =>
        path.StartsWith("/dev/", StringComparison.Ordinal) && Posix.FindDeviceNumber(path) is { } number && numbers.Contains(number);

    private string[] Lines(string file)
    {
        var path = System.IO.Path.Combine(proc, file);
        return File.Exists(path) ? File.ReadAllLines(path) : [];
    }

    private static string? Read(string directory, string file)
    {
        try
        {
            return File.ReadAllText(System.IO.Path.Combine(directory, file)).Trim();
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            // Not every device has every attribute, and some answer an error instead of nothing.
            return null;
        }
    }
}

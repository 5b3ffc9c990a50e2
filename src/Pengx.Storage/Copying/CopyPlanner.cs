namespace Pengx.Storage;

/// <summary>Which of the layers of a source can share their blocks with a new file beside the target.</summary>
internal enum Sharing
{
    None,
    Some,
    All,
}

/// <summary>Everything that a plan depends on.</summary>
internal sealed record CopyFacts
{
    /// <summary>The size that the guest sees of the source.</summary>
    public required DataSize Size { get; init; }

    /// <summary>The space that the source's layers take.</summary>
    public required DataSize Allocated { get; init; }

    /// <summary>How many layers the source has.</summary>
    public int Layers { get; init; } = 1;

    /// <summary>Whether the source has internal snapshots or bitmaps, which a copy shall not have.</summary>
    public bool HasExtras { get; init; }

    /// <summary>Whether something writes to the source.</summary>
    public bool IsInUse { get; init; }

    /// <summary>Which layers can share their blocks.</summary>
    public Sharing Sharing { get; init; }

    /// <summary>Whether the storage can make the copy itself.</summary>
    public bool CanCloneNatively { get; init; }
}

/// <summary>Chooses the fastest safe way to copy an image. Looks at nothing but the facts it is given.</summary>
internal static class CopyPlanner
{
    /// <summary>The step that the tool's command line takes the place of.</summary>
    public const string Conversion = "qemu-img convert";

    public static CopyPlan Plan(CopyRequest request, CopyFacts facts)
    {
        var (source, target) = (request.Source, request.Target);
        var intoFile = target.Location is FileLocation;
        if (facts.CanCloneNatively && !facts.IsInUse)
        {
            return Make(request, facts, CopyMethod.NativeClone, "the storage makes the copy itself, as a clone that shares its blocks", DataSize.Zero);
        }

        // What the bytes of the file are is what the copy shall be, and they hold still.
        var sameBytes = source.Format == target.Format && facts.Layers == 1 && !facts.HasExtras
            && (source.Format == DiskFormat.Raw || (source.Location is FileLocation && intoFile && !facts.IsInUse));
        if (intoFile && facts.Sharing == Sharing.All && sameBytes)
        {
            return Make(request, facts, CopyMethod.Clone, "source and target lie on one file system that lets files share blocks, and the copy has the source's bytes", DataSize.Zero);
        }

        if (intoFile && facts.Sharing != Sharing.None)
        {
            var all = facts.Sharing == Sharing.All;
            return Make(
                request,
                facts,
                CopyMethod.Offload,
                all
                    ? $"source and target lie on one file system that lets files share blocks, and {Obstacle(facts, source, target)}"
                    : $"some of the source's {facts.Layers} layers lie on the target's file system, which lets files share blocks",
                all ? DataSize.Zero : Moved(facts),
                ConversionFor(request, facts, offload: true, limited: !all));
        }

        if (sameBytes && source.Location is FileLocation or BlockLocation && target.Location is FileLocation or BlockLocation)
        {
            return Make(request, facts, CopyMethod.Extents, "the copy has the source's bytes, and no blocks can be shared: only what holds data is read and written", Moved(facts));
        }

        return Make(request, facts, CopyMethod.Convert, Remote(source, target) ?? $"no blocks can be shared, and {Obstacle(facts, source, target)}", Moved(facts), ConversionFor(request, facts, offload: false, limited: true));
    }

    private static DataSize Moved(CopyFacts facts) => facts.Allocated < facts.Size ? facts.Allocated : facts.Size;

    private static string? Remote(DiskLayer source, DiskLayer target) =>
        source.Location is RbdLocation || target.Location is RbdLocation ? "one end lies in Ceph, which qemu-img reaches itself" : null;

    private static string Obstacle(CopyFacts facts, DiskLayer source, DiskLayer target) => facts switch
    {
        _ when source.Format != target.Format => $"{source.Format.Name} becomes {target.Format.Name}",
        { Layers: > 1 } => $"the source's {facts.Layers} layers become one",
        { HasExtras: true } => "the source has internal snapshots or bitmaps that the copy shall not have",
        { IsInUse: true } => "the source's tables may change while they are read",
        _ => "a qcow2 image on a device is not copied byte by byte",
    };

    private static ImageConversion ConversionFor(CopyRequest request, CopyFacts facts, bool offload, bool limited)
    {
        var target = request.Target;
        return new()
        {
            Offload = offload,
            WhileInUse = facts.IsInUse,
            RateLimit = limited ? request.RateLimit : DataSize.Zero,
            IntoExisting = target.Location is RbdLocation || (target.Location is BlockLocation && target.Format == DiskFormat.Raw),
            TargetIsZero = request.TargetContent == CopyTargetContent.Zero,

            // Files and devices are flushed here. What lies in Ceph only the tool could flush, and it would not tell a failure of that:
            // nothing is cached, so that what it says is written lies on the cluster's disks.
            Caching = target.Location is RbdLocation ? ImageCaching.None : ImageCaching.Unsafe,
        };
    }

    private static CopyPlan Make(CopyRequest request, CopyFacts facts, CopyMethod method, string reason, DataSize expected, ImageConversion? conversion = null)
    {
        List<string> warnings = [];
        if (facts.IsInUse)
        {
            warnings.Add(method == CopyMethod.Clone
                ? $"Something writes to {request.Source.Location}: the copy is of one moment, as after a power cut."
                : $"Something writes to {request.Source.Location}: the copy may be of no one moment.");
        }

        if (request.RateLimit.Bytes > 0 && expected == DataSize.Zero)
        {
            warnings.Add("The rate limit has no effect: no bytes are moved.");
        }

        return new()
        {
            Method = method,
            Reason = char.ToUpperInvariant(reason[0]) + reason[1..] + ".",
            Request = request,
            Size = facts.Size,
            ExpectedBytes = expected,
            Steps = Steps(request, method),
            Warnings = warnings,
            Conversion = conversion,
        };
    }

    private static List<string> Steps(CopyRequest request, CopyMethod method)
    {
        List<string> steps = [];
        var target = request.Target.Location.ToString()!;
        if (request.Target.Location is not FileLocation || method == CopyMethod.NativeClone)
        {
            steps.Add(Fill(request, method, target));
            if (request.Target.Location is BlockLocation && method != CopyMethod.NativeClone)
            {
                steps.Add($"fdatasync {target}");
            }

            return steps;
        }

        var part = CopyPart.PathOf(target);
        steps.AddRange([$"open O_CREAT|O_EXCL {part}", Fill(request, method, part)]);
        if (request.Size is { } size)
        {
            steps.Add(request.Target.Format == DiskFormat.Raw ? $"ftruncate {part} {size.Bytes}" : $"qemu-img resize -f qcow2 {part} {size.Bytes}");
        }

        steps.AddRange([$"fdatasync {part}", $"renameat2 RENAME_NOREPLACE {part} {target}", $"fsync {Path.GetDirectoryName(target)}"]);
        return steps;
    }

    private static string Fill(CopyRequest request, CopyMethod method, string path) => method switch
    {
        CopyMethod.Clone => $"ioctl FICLONE {request.Source.Location} {path}",
        CopyMethod.NativeClone => $"clone {request.Source.Location} {path}",
        CopyMethod.Extents => $"lseek SEEK_DATA, pread, pwrite {request.Source.Location} {path}",
        _ => Conversion,
    };
}

namespace Pengx.Xen;

/// <summary>What a watch tells.</summary>
public enum XenstoreWatchEventKind
{
    /// <summary>A node was made, written, removed, or its permissions changed; also told once when a watch is set up, and sometimes for nothing.</summary>
    Changed,

    /// <summary>Changes are missing here: the reader was too slow, or the connection was lost for a while. Whatever was learned before has to be read anew.</summary>
    Gap,
}

/// <summary>A change, or a gap.</summary>
/// <param name="Kind">Which of the two.</param>
/// <param name="Path">The node that changed; for a gap, and for the removal of a node above it, the watched path.</param>
public readonly record struct XenstoreWatchEvent(XenstoreWatchEventKind Kind, XenstorePath Path);

/// <summary>How a path is watched.</summary>
public sealed class XenstoreWatchOptions
{
    /// <summary>How many levels below the path are watched: 0 for the path alone; null for all. Needs a daemon with <see cref="XenstoreFeatures.WatchDepth"/>; others refuse it with <c>EINVAL</c>. For a special name only 1 is known: the domain is told too.</summary>
    /// <value>Default null.</value>
    public int? Depth { get; set; }

    /// <summary>How many events are held for a slow reader before the oldest are dropped, with a gap in their place.</summary>
    /// <value>Default 1024.</value>
    public int QueueLength { get; set; } = 1024;

    internal XenstoreWatchOptions Validate()
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(QueueLength, 1, nameof(QueueLength));
        if (Depth is { } depth)
        {
            ArgumentOutOfRangeException.ThrowIfNegative(depth, nameof(Depth));
        }

        return (XenstoreWatchOptions)MemberwiseClone();
    }
}

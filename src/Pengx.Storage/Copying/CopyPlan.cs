namespace Pengx.Storage;

/// <summary>The ways to copy an image, the fastest first.</summary>
public enum CopyMethod
{
    /// <summary>The file system lets the copy share all blocks of the source (a reflink): at once, whatever its size.</summary>
    Clone,

    /// <summary>The storage backend makes the copy itself: at once, or within the storage.</summary>
    NativeClone,

    /// <summary><c>qemu-img convert -C</c>: the tables are written anew, the data's blocks are shared.</summary>
    Offload,

    /// <summary>The parts that hold data are read and written by several threads, and nothing else.</summary>
    Extents,

    /// <summary><c>qemu-img convert</c>, tuned for the pair.</summary>
    Convert,
}

/// <summary>How an image will be copied, and why so. Making a plan changes nothing.</summary>
public sealed record CopyPlan
{
    /// <summary>The way.</summary>
    public required CopyMethod Method { get; init; }

    /// <summary>Why this is the fastest safe way for the pair, in one sentence.</summary>
    public required string Reason { get; init; }

    /// <summary>What is copied, and whereto.</summary>
    public required CopyRequest Request { get; init; }

    /// <summary>The size that the guest sees of the source: the total that progress counts to.</summary>
    public required DataSize Size { get; init; }

    /// <summary>How many bytes will be read and written at most, as far as the layers' own figures tell; 0 when blocks are
    /// shared.</summary>
    public required DataSize ExpectedBytes { get; init; }

    /// <summary>What will be done, as system calls and command lines, in order.</summary>
    public required IReadOnlyList<string> Steps { get; init; }

    /// <summary>What the caller should know: that the source is in use, for one.</summary>
    public IReadOnlyList<string> Warnings { get; init; } = [];

    /// <summary>How the tool is run, where it is.</summary>
    internal ImageConversion? Conversion { get; init; }

    /// <summary>The way and the reason, for a log or a user.</summary>
    public override string ToString() => $"{Method}: {Reason}";
}

/// <summary>How a copy went.</summary>
/// <param name="Plan">How it was made.</param>
/// <param name="Elapsed">How long it took until it was durable.</param>
/// <param name="Resumed">How many bytes of the source an earlier attempt had copied.</param>
public sealed record CopyResult(CopyPlan Plan, TimeSpan Elapsed, DataSize Resumed);

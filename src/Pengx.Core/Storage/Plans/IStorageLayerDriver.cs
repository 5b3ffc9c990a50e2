namespace Pengx;

/// <summary>What can be done to a layer of storage.</summary>
public enum StorageVerb
{
    /// <summary>Makes it: logs in, formats, groups; attached afterwards.</summary>
    Create,

    /// <summary>Makes it usable on this host: logs in, activates, mounts.</summary>
    Attach,

    /// <summary>Takes it out of use on this host; nothing on it is lost.</summary>
    Detach,

    /// <summary>Removes it with what is on it.</summary>
    Delete,

    /// <summary>Grows it to the ordered size, or takes over the size that what lies beneath has now.</summary>
    Resize,
}

/// <summary>Leave to overwrite what is on a device: given by someone who was shown the signature found there.</summary>
/// <param name="Signature">The text of the signature, exactly as it was shown.</param>
public sealed record FormatConsent(string Signature);

/// <summary>The kinds of logical volume.</summary>
public enum LogicalVolumeKind
{
    /// <summary>All its space is taken at once.</summary>
    Thick,

    /// <summary>A pool that thin volumes take their space from as they are written.</summary>
    ThinPool,

    /// <summary>A volume in a thin pool.</summary>
    Thin,
}

/// <summary>What shall be done to a layer of storage.</summary>
public sealed record StorageOrder
{
    /// <summary>The verb.</summary>
    public required StorageVerb Verb { get; init; }

    /// <summary>The layer, with the fields that its category has.</summary>
    public required StorageLayer Layer { get; init; }

    /// <summary>The name that a new volume group or logical volume shall have.</summary>
    public string? Name { get; init; }

    /// <summary>What kind a new logical volume shall be.</summary>
    public LogicalVolumeKind Kind { get; init; }

    /// <summary>The thin pool that a new thin volume takes its space from; the volume group's only one when not named.</summary>
    public string? Pool { get; init; }

    /// <summary>The file system that a new mounted layer shall have: <c>ext4</c>, <c>xfs</c>.</summary>
    public string? FileSystem { get; init; }

    /// <summary>Leave to overwrite the signature that was found and shown; a device proven blank needs none.</summary>
    public FormatConsent? Consent { get; init; }

    /// <summary>Whether a deletion leaves what is on the device: in the undo of a creation that adopted it.</summary>
    public bool KeepsContent { get; init; }

    /// <summary>The file, readable by its owner only, that holds the secret of <see cref="StorageLayer.ChapUser"/>; the secret itself
    /// is in no order, plan or log.</summary>
    public string? ChapSecretFile { get; init; }

    /// <summary>The nodes of an OCFS2 volume's cluster, this host among them.</summary>
    public IReadOnlyList<Ocfs2Node> Nodes { get; init; } = [];
}

/// <summary>A layer of storage as it was found.</summary>
/// <param name="Layer">The layer with its measured fields.</param>
/// <param name="Name">The name it has on this host, such as <c>/dev/sdb</c>, <c>vm</c> or <c>vm/disk</c>.</param>
/// <param name="Attached">Whether it is usable on this host now.</param>
public sealed record StorageLayerState(StorageLayer Layer, string Name, bool Attached)
{
    /// <summary>Whether it runs on this host, usable or not. What <see cref="Attached"/> says, except for a mirror that waits as a secondary.</summary>
    public bool Up { get; init; } = Attached;

    /// <summary>What is wrong with it, or will be: a missing device, a pool near its end, a foreign owner.</summary>
    public IReadOnlyList<string> Warnings { get; init; } = [];
}

/// <summary>The port to the layers of storage beneath the storage links, of one or several categories.</summary>
/// <remarks>A verb is planned first: the plan tells the exact commands, their risk and their inverses, and changes nothing. All
/// verbs are idempotent: what is as ordered already takes no step. Every call is bounded in time.</remarks>
public interface IStorageLayerDriver
{
    /// <summary>Whether the driver works on layers of a category.</summary>
    /// <param name="category">The category.</param>
    bool Serves(StorageCategory category);

    /// <summary>Says what a verb would do now. Reads only.</summary>
    /// <param name="order">What shall be done.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    /// <exception cref="InvalidFieldException">A field of the order breaks its rule.</exception>
    /// <exception cref="StorageException">It cannot be done as things are; the message says why.</exception>
    Task<StoragePlan> PlanAsync(StorageOrder order, CancellationToken cancellationToken = default);

    /// <summary>Plans a verb and carries the plan out, with every postcondition read back.</summary>
    /// <param name="order">What shall be done.</param>
    /// <param name="shown">The plan that somebody agreed to; where the plan of now differs from it, nothing is done.</param>
    /// <param name="cancellationToken">Stops between and within the steps and takes back what was done.</param>
    /// <returns>The layer as it is afterwards; <see langword="null"/> when it is no more.</returns>
    /// <exception cref="ConcurrencyException">Things have changed since the plan was shown.</exception>
    /// <exception cref="StoragePlanFailedException">A step failed; its own words are in the message.</exception>
    Task<StorageLayerState?> ExecuteAsync(StorageOrder order, StoragePlan? shown = null, CancellationToken cancellationToken = default);

    /// <summary>Looks at a layer; <see langword="null"/> when there is none.</summary>
    /// <param name="layer">The layer, found by its UUID or, where it has none yet, by its other fields.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    Task<StorageLayerState?> InspectAsync(StorageLayer layer, CancellationToken cancellationToken = default);
}

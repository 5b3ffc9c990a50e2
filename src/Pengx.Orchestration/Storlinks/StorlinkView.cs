namespace Pengx.Orchestration;

/// <summary>A storage link as lists and answers show it.</summary>
public sealed record StorlinkView
{
    /// <summary>Its row.</summary>
    public required Storlink Storlink { get; init; }

    /// <summary>Its PM's name.</summary>
    public required string PmName { get; init; }

    /// <summary>Its size and free space, measured seconds ago at most; <see langword="null"/> where it cannot be measured from
    /// this PM now.</summary>
    public StorlinkCapacity? Capacity { get; init; }
}

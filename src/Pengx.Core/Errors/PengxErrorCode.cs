namespace Pengx;

/// <summary>What kind of failure an error is. Stored in the operation journal: numbers are never reused.</summary>
public enum PengxErrorCode
{
    /// <summary>A defect of Pengx itself.</summary>
    Internal = 0,

    /// <summary>A field of a request breaks its rule.</summary>
    InvalidField = 1,

    /// <summary>The object does not exist, or belongs to another one.</summary>
    NotFound = 2,

    /// <summary>The object's state does not allow the operation.</summary>
    WrongState = 3,

    /// <summary>Another operation holds the object.</summary>
    Locked = 4,

    /// <summary>Not enough memory, processors or space.</summary>
    InsufficientResource = 5,

    /// <summary>Something still needs the object.</summary>
    InUse = 6,

    /// <summary>An external program failed.</summary>
    ToolFailed = 7,

    /// <summary>The hypervisor refused or failed.</summary>
    HypervisorFailed = 8,

    /// <summary>A storage refused or failed.</summary>
    StorageFailed = 9,

    /// <summary>Something that is needed cannot be reached now.</summary>
    Unavailable = 10,

    /// <summary>The row was changed by another in between.</summary>
    Concurrency = 11,

    /// <summary>The operation was cancelled.</summary>
    Cancelled = 12,
}

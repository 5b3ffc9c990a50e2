namespace Pengx.Orchestration;

/// <summary>Where an operation stands. Stored in the journal: numbers are never reused.</summary>
public enum OperationState
{
    /// <summary>Accepted and journaled; its objects are locked; it waits for its turn.</summary>
    Pending = 0,

    /// <summary>Its steps are being carried out, or undone.</summary>
    Running = 1,

    /// <summary>All steps are done.</summary>
    Succeeded = 2,

    /// <summary>A step failed and everything was undone.</summary>
    Failed = 3,

    /// <summary>It was cancelled and everything was undone.</summary>
    Cancelled = 4,
}

namespace Pengx.Orchestration;

/// <summary>Which way an operation goes through its steps. Stored in the journal: numbers are never reused.</summary>
public enum StepDirection
{
    /// <summary>Steps are carried out.</summary>
    Forward = 0,

    /// <summary>Steps are undone, the last one first.</summary>
    Undo = 1,
}

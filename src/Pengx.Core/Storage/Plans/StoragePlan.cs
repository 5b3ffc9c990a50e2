using System.Text;

namespace Pengx;

/// <summary>What would be done, step by step, without any of it done. Made from how the system is now: what is as ordered
/// already needs no step, so a plan without steps says that nothing is to be done.</summary>
public sealed record StoragePlan
{
    /// <summary>What it reaches, as a heading: <c>Create volume group vm on /dev/sdb</c>.</summary>
    public required string Title { get; init; }

    /// <summary>The steps in their order.</summary>
    public required IReadOnlyList<StorageStep> Steps { get; init; }

    /// <summary>What the operator should know before: a pool that is nearly full, a warning of a tool.</summary>
    public IReadOnlyList<string> Warnings { get; init; } = [];

    /// <summary>Whether what is on the device already, of somebody else's making, becomes the layer's: it outlives the undo of the
    /// creation, which would otherwise take away all that the layer has.</summary>
    public bool Adopts { get; init; }

    /// <summary>The highest risk of its steps.</summary>
    public StorageRisk Risk => Steps.Count == 0 ? StorageRisk.ReadOnly : Steps.Max(step => step.Risk);

    /// <summary>The whole plan for reading: every command line, its risk, its postcondition and its inverse.</summary>
    public override string ToString()
    {
        StringBuilder text = new(Title);
        if (Steps.Count == 0)
        {
            text.Append(": nothing is to be done");
        }

        foreach (var warning in Warnings)
        {
            text.Append("\n! ").Append(warning);
        }

        for (var i = 0; i < Steps.Count; i++)
        {
            var step = Steps[i];
            text.Append('\n').Append(i + 1).Append(". ").Append(step.Description).Append(" (").Append(NameOf(step.Risk)).Append(step.NoReturn ? ", no way back)" : ")");
            foreach (var condition in step.Before)
            {
                text.Append("\n   before: ").Append(condition);
            }

            text.Append("\n   run:    ").Append(step.Action)
                .Append("\n   after:  ").Append(step.After)
                .Append("\n   undo:   ").Append(step.Undo?.Action.ToString() ?? "none");
        }

        return text.ToString();
    }

    private static string NameOf(StorageRisk risk) => risk switch
    {
        StorageRisk.ReadOnly => "read only",
        StorageRisk.Reversible => "reversible",
        _ => "destructive",
    };
}

/// <summary>How far a plan came.</summary>
/// <param name="Done">The steps that were done, with their postconditions found to hold.</param>
/// <param name="Failed">The step that failed.</param>
/// <param name="Undone">The steps that were taken back.</param>
/// <param name="NotUndone">The steps that could not be taken back, each with the reason.</param>
public sealed record StoragePlanOutcome(
    IReadOnlyList<StorageStep> Done,
    StorageStep? Failed,
    IReadOnlyList<StorageStep> Undone,
    IReadOnlyList<(StorageStep Step, string Reason)> NotUndone);

/// <summary>A step of a storage plan failed; what was done before it was taken back as far as it could be.</summary>
public sealed class StoragePlanFailedException : PengxException
{
    /// <summary>Makes an error.</summary>
    /// <param name="message">The sentences for the user.</param>
    /// <param name="outcome">How far the plan came.</param>
    /// <param name="innerException">Why the step failed; its code is taken over.</param>
    public StoragePlanFailedException(string message, StoragePlanOutcome outcome, Exception? innerException)
        : base((innerException as PengxException)?.Code ?? PengxErrorCode.StorageFailed, message, innerException) => Outcome = outcome;

    /// <summary>How far the plan came.</summary>
    public StoragePlanOutcome Outcome { get; }

    /// <inheritdoc/>
    public override bool IsTransient => InnerException is PengxException { IsTransient: true };
}

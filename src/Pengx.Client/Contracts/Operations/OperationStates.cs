namespace Pengx.Client;

/// <summary>The words of <see cref="OperationResource.State"/>.</summary>
public static class OperationStates
{
    /// <summary>Asked for, not begun.</summary>
    public const string Pending = "PENDING";

    /// <summary>Under way, or being undone.</summary>
    public const string Running = "RUNNING";

    /// <summary>Over: it did what was asked.</summary>
    public const string Succeeded = "SUCCEEDED";

    /// <summary>Over: it failed and was undone.</summary>
    public const string Failed = "FAILED";

    /// <summary>Over: it was cancelled and undone.</summary>
    public const string Cancelled = "CANCELLED";
}

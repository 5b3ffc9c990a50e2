namespace Pengx.Orchestration;

/// <summary>A virtual machine's new name and description; what is not given stays.</summary>
public sealed record EditVirtualMachine
{
    /// <summary>Its name. Field <c>name</c>.</summary>
    public string? Name { get; init; }

    /// <summary>What it is for. Field <c>desc</c>.</summary>
    public string? Description { get; init; }
}

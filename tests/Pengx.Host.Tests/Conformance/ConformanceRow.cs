using Pengx.Client;

namespace Pengx.Host.Tests;

/// <summary>One method and path of the reference, and everything that is checked of it. See <see cref="ConformanceTable"/>.</summary>
/// <remarks>
/// <c>{…}</c> in a path or a body names an object that the run makes first (<see cref="ConformanceWorld"/>): <c>{vm_uuid}</c> is a new machine.
/// </remarks>
internal sealed record ConformanceRow(string Operation, string Version, string Method, string Path)
{
    /// <summary>The state in which the machine or template of the path must be; null for as it was made.</summary>
    public string? State { get; init; }

    /// <summary>The request's body, or null.</summary>
    public string? Request { get; init; }

    /// <summary>The answer's elements in their order, in the notation of <see cref="AnswerShape"/>; a 204 says the same by headers.</summary>
    public string Answer { get; init; } = "root(result message)";

    /// <summary>The documented status of success.</summary>
    public required int Success { get; init; }

    /// <summary>Whether version 1 does not have it.</summary>
    public bool OnlyVersion2 { get; init; }

    /// <summary>Whether it names what it made by <c>Location</c>.</summary>
    public bool Creates { get; init; }

    /// <summary>The documented failures, each brought about. An unknown object in the path is always tried, and need not stand here.</summary>
    public IReadOnlyList<Refusal> Refusals { get; init; } = [];

    /// <summary>Documented failures that nothing can bring about, each with the reason.</summary>
    public IReadOnlyDictionary<int, string> Unreachable { get; init; } = new Dictionary<int, string>();

    /// <summary>What the test guest prints once it has done what was asked, where one runs; null where it prints nothing.</summary>
    public string? GuestPrints { get; init; }

    /// <summary>Whether the guest must have booted before it is asked.</summary>
    public bool NeedsGuest { get; init; }

    /// <summary>What must hold after a success.</summary>
    public Func<ConformanceWorld, Task>? Then { get; init; }

    /// <summary>The same by the typed client: what it read, or the result.</summary>
    public required Func<IPengxClient, ConformanceWorld, CancellationToken, Task<object>> Client { get; init; }

    /// <summary>How a row is called in lists: <c>POST /vms/ (v1)</c>.</summary>
    public string Key => $"{Method} {Path} ({Version})";

    /// <summary>Whether a machine runs in it, before or afterwards.</summary>
    public bool Runs => State is not null || Path.Contains("/start/", StringComparison.Ordinal);

    public bool HasObjectInPath => Path.Contains('{', StringComparison.Ordinal);

    public override string ToString() => Key;
}

/// <summary>A request that must be refused.</summary>
/// <param name="Status">The status.</param>
/// <param name="Names">What the message must name.</param>
internal sealed record Refusal(int Status, string Names)
{
    /// <summary>Another body; null for the row's own.</summary>
    public string? Request { get; init; }

    /// <summary>Another state of the machine; null for the row's own.</summary>
    public string? State { get; init; }

    /// <summary>What must be done first, for example to lock what is asked for.</summary>
    public Func<ConformanceWorld, Task>? First { get; init; }

    /// <summary>Put before the path.</summary>
    public string Prefix { get; init; } = "";
}

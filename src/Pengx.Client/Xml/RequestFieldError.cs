namespace Pengx.Client;

/// <summary>One field of a request that was refused.</summary>
/// <param name="Field">The element's name, nested ones with their path: <c>disk/size</c>.</param>
/// <param name="Value">What was sent, shortened and made printable; null when nothing was.</param>
/// <param name="Rule">What would be accepted.</param>
public sealed record RequestFieldError(string Field, string? Value, string Rule);

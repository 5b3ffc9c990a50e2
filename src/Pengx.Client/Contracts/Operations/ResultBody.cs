namespace Pengx.Client;

/// <summary>The answer to most changes, and to every failure: <c>&lt;root&gt;&lt;result/&gt;&lt;message/&gt;&lt;/root&gt;</c>.</summary>
/// <param name="Result">True on success; false on failure.</param>
/// <param name="Message">What was done, or what was refused and why.</param>
public sealed record ResultBody(bool Result, string? Message);

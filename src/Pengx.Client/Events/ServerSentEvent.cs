namespace Pengx.Client;

/// <summary>One server-sent event as it is on the wire.</summary>
internal readonly record struct ServerSentEvent(string Name, string Data, string? Id);

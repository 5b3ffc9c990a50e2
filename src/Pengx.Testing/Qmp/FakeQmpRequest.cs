using System.Text.Json;

namespace Pengx.Testing;

/// <summary>A command that a <see cref="FakeQmpServer"/> received.</summary>
/// <param name="Command">The command's name.</param>
/// <param name="Id">The id to answer with.</param>
/// <param name="Arguments">The arguments, if there were any.</param>
public sealed record FakeQmpRequest(string Command, JsonElement Id, JsonElement? Arguments)
{
    /// <summary>Whether it came out of band.</summary>
    public bool IsOutOfBand { get; init; }
}

/// <summary>How a <see cref="FakeQmpServer"/> hands bytes to its client.</summary>
public enum FakeQmpDelivery
{
    /// <summary>Each send in one write.</summary>
    Whole,

    /// <summary>Every byte in a write of its own.</summary>
    ByteByByte,
}

using System.Globalization;

namespace Pengx.Client;

/// <summary>The answer to a change: what the result types are made of.</summary>
internal sealed record ChangeAnswer(string? Message, Uri? Location, string? BodyId, OperationResource? Operation)
{
    public ChangeResult ToResult() => new() { Message = Message, Operation = Operation };

    public CreatedResult<Guid> ToCreated() => ToCreated(text => WireReading.TryUuid(text, out var id) ? id : (Guid?)null);

    public CreatedResult<int> ToCreatedNumber() =>
        ToCreated(text => int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var id) ? id : (int?)null);

    // While an operation goes on, Location names the operation.
    private CreatedResult<TId> ToCreated<TId>(Func<string?, TId?> read)
        where TId : struct =>
        new()
        {
            Id = Operation is null ? read(LastSegment()) ?? read(BodyId) : null,
            Location = Operation is null ? Location : null,
            Message = Message,
            Operation = Operation,
        };

    private string? LastSegment()
    {
        var path = (Location?.IsAbsoluteUri == true ? Location.AbsolutePath : Location?.OriginalString)?.TrimEnd('/');
        return path?[(path.LastIndexOf('/') + 1)..];
    }
}

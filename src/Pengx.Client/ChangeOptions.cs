namespace Pengx.Client;

/// <summary>How a changing request is to be carried out. Additions to the reference: an original pengx3 server ignores them.</summary>
public sealed class ChangeOptions
{
    /// <summary>
    /// Asks the server to answer at once and to go on by itself (<c>Prefer: respond-async</c>). The result then carries the
    /// operation, to be followed with <see cref="IOperationClient.WaitAsync"/>.
    /// </summary>
    public bool RespondAsync { get; set; }

    /// <summary>1 to 255 printable ASCII characters; a repeated request with the same key does nothing again. Null sends none.</summary>
    public string? IdempotencyKey { get; set; }
}

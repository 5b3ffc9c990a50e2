namespace Pengx.Client;

/// <summary>How a changing request is to be carried out. Additions to the reference: an original pengx3 server ignores them.</summary>
public sealed class ChangeOptions
{
    /// <summary>
    /// Asks the server to answer at once and to go on by itself (<c>Prefer: respond-async</c>). The result then carries the
    /// operation, to be followed with <see cref="IOperationClient.WaitAsync"/>.
    /// </summary>
    public bool RespondAsync { get; set; }

    /// <summary>
    /// Told of the operation that carries out the change, whenever it was seen to have got on. The call still ends with the change, and with its
    /// own answer: the client asks for the operation, follows it, and fetches the answer. A server that knows no operations answers at once, and
    /// nothing is told. Not together with <see cref="RespondAsync"/>. Null tells nobody.
    /// </summary>
    public IProgress<OperationResource>? Progress { get; set; }

    /// <summary>
    /// 1 to 255 printable ASCII characters; a repeated request with the same key does nothing again. Null lets the client choose a new one for
    /// each call, with which it can try again itself (<see cref="PengxClientOptions.Retries"/>).
    /// </summary>
    public string? IdempotencyKey { get; set; }
}

using System.Text;

namespace Pengx.Testing;

/// <summary>A request as it came over the wire.</summary>
/// <param name="Type">The message's type, as in Xen's <c>io/xs_wire.h</c>.</param>
/// <param name="RequestId">The client's number for it.</param>
/// <param name="TransactionId">The transaction; 0 for none.</param>
/// <param name="Payload">The payload.</param>
public sealed record FakeXenstoreRequest(FakeXenstoreType Type, uint RequestId, uint TransactionId, ReadOnlyMemory<byte> Payload)
{
    /// <summary>The payload as texts with a NUL byte behind each; what follows the last one is a text too.</summary>
    public IReadOnlyList<string> Texts
    {
        get
        {
            var text = Encoding.UTF8.GetString(Payload.Span);
            return text.Length == 0 ? [] : (text[^1] == '\0' ? text[..^1] : text).Split('\0');
        }
    }

    /// <summary>The first text: the path, for most.</summary>
    public string Path => Texts.Count > 0 ? Texts[0] : string.Empty;

    /// <summary>An answer to it, as bytes of the wire.</summary>
    /// <param name="payload">The answer's payload.</param>
    public byte[] Answer(ReadOnlySpan<byte> payload) => FakeXenstoreServer.Message((uint)Type, RequestId, TransactionId, payload);

    /// <summary>A refusal of it, as bytes of the wire.</summary>
    /// <param name="error">The errno name.</param>
    public byte[] Refusal(string error) =>
        FakeXenstoreServer.Message((uint)FakeXenstoreType.Error, RequestId, TransactionId, Encoding.ASCII.GetBytes(error + '\0'));
}

/// <summary>The message types of Xen's <c>io/xs_wire.h</c>.</summary>
public enum FakeXenstoreType
{
    /// <summary>CONTROL.</summary>
    Control = 0,

    /// <summary>DIRECTORY.</summary>
    Directory = 1,

    /// <summary>READ.</summary>
    Read = 2,

    /// <summary>GET_PERMS.</summary>
    GetPermissions = 3,

    /// <summary>WATCH.</summary>
    Watch = 4,

    /// <summary>UNWATCH.</summary>
    Unwatch = 5,

    /// <summary>TRANSACTION_START.</summary>
    TransactionStart = 6,

    /// <summary>TRANSACTION_END.</summary>
    TransactionEnd = 7,

    /// <summary>INTRODUCE.</summary>
    Introduce = 8,

    /// <summary>RELEASE.</summary>
    Release = 9,

    /// <summary>GET_DOMAIN_PATH.</summary>
    GetDomainPath = 10,

    /// <summary>WRITE.</summary>
    Write = 11,

    /// <summary>MKDIR.</summary>
    MakeDirectory = 12,

    /// <summary>RM.</summary>
    Remove = 13,

    /// <summary>SET_PERMS.</summary>
    SetPermissions = 14,

    /// <summary>WATCH_EVENT.</summary>
    WatchEvent = 15,

    /// <summary>ERROR.</summary>
    Error = 16,

    /// <summary>IS_DOMAIN_INTRODUCED.</summary>
    IsDomainIntroduced = 17,

    /// <summary>RESUME.</summary>
    Resume = 18,

    /// <summary>SET_TARGET.</summary>
    SetTarget = 19,

    /// <summary>RESET_WATCHES.</summary>
    ResetWatches = 21,

    /// <summary>DIRECTORY_PART.</summary>
    DirectoryPart = 22,

    /// <summary>GET_FEATURE.</summary>
    GetFeature = 23,

    /// <summary>SET_FEATURE.</summary>
    SetFeature = 24,

    /// <summary>GET_QUOTA.</summary>
    GetQuota = 25,

    /// <summary>SET_QUOTA.</summary>
    SetQuota = 26,
}

/// <summary>What a fake server does with a request other than carrying it out.</summary>
public abstract record FakeXenstoreFault
{
    private FakeXenstoreFault()
    {
    }

    /// <summary>Carries it out, but never answers.</summary>
    public static FakeXenstoreFault Silence { get; } = new Silent();

    /// <summary>Carries it out, and keeps the answer until <see cref="FakeXenstoreServer.SendHeld"/>.</summary>
    public static FakeXenstoreFault Hold { get; } = new Held();

    /// <summary>Hangs up at once.</summary>
    public static FakeXenstoreFault Disconnect { get; } = new Cut([]);

    /// <summary>Refuses it without carrying it out; the end of a transaction ends it nevertheless.</summary>
    /// <param name="error">The errno name.</param>
    public static FakeXenstoreFault Refuse(string error) => new Refused(error);

    /// <summary>Sends these bytes in place of an answer.</summary>
    /// <param name="bytes">The bytes, a whole message or anything else.</param>
    public static FakeXenstoreFault Send(byte[] bytes) => new Sent(bytes);

    /// <summary>Sends these bytes and hangs up.</summary>
    /// <param name="bytes">The bytes, such as a part of a message.</param>
    public static FakeXenstoreFault SendAndDisconnect(byte[] bytes) => new Cut(bytes);

    internal sealed record Silent : FakeXenstoreFault;

    internal sealed record Held : FakeXenstoreFault;

    internal sealed record Refused(string Error) : FakeXenstoreFault;

    internal sealed record Sent(byte[] Bytes) : FakeXenstoreFault;

    internal sealed record Cut(byte[] Bytes) : FakeXenstoreFault;
}

namespace Pengx.Xen;

/// <summary>Where a client stands.</summary>
public enum XenstoreConnectionState
{
    /// <summary>Requests are accepted.</summary>
    Connected,

    /// <summary>The connection was lost and is being made again; requests fail at once.</summary>
    Reconnecting,

    /// <summary>Over; a new client is needed.</summary>
    Closed,
}

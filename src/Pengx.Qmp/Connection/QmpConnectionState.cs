namespace Pengx.Qmp;

/// <summary>Where a client stands. It only ever moves downwards in this list, and may skip to <see cref="Closed"/> from anywhere.</summary>
public enum QmpConnectionState
{
    /// <summary>Nothing has happened yet.</summary>
    Idle,

    /// <summary>The socket is being connected.</summary>
    Connecting,

    /// <summary>Connected; the greeting and the capabilities are being exchanged.</summary>
    Negotiating,

    /// <summary>Commands are accepted.</summary>
    Ready,

    /// <summary>The client is being closed by its owner.</summary>
    Closing,

    /// <summary>Over; a new client is needed.</summary>
    Closed,
}

namespace Pengx.Client;

/// <summary>Something that happened at the server, or to the stream that tells of it. A closed family, to be matched by pattern.</summary>
public abstract record PengxEvent
{
    private protected PengxEvent()
    {
    }

    /// <summary>The event's id, with which a stream can be resumed; null where it has none.</summary>
    public string? Id { get; init; }
}

/// <summary>The stream is open: from here on nothing is missed. The first event of every watch, and told again after every interruption.</summary>
/// <param name="Resumed">Whether the stream was open before and goes on after the last event given out.</param>
public sealed record PengxEventsOpened(bool Resumed) : PengxEvent;

/// <summary>The server no longer knows the event after which the stream was to go on: events were missed, and what is known of the server must be read again.</summary>
public sealed record PengxEventsReset : PengxEvent;

/// <summary>A virtual machine's state changed.</summary>
/// <param name="Machine">The machine and its state.</param>
public sealed record PengxMachineChanged(MachineStatusResource Machine) : PengxEvent;

/// <summary>An operation got on, or is over.</summary>
/// <param name="Operation">The operation.</param>
public sealed record PengxOperationChanged(OperationResource Operation) : PengxEvent;

/// <summary>An event that this client does not know, or could not read.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Data">Its data.</param>
public sealed record PengxUnknownEvent(string Name, string Data) : PengxEvent;

using System.Runtime.InteropServices;

namespace Pengx.Qmp;

/// <summary>How one command is sent, where that is not as usual.</summary>
public sealed record QmpExecution
{
    /// <summary>Whether it overtakes the commands before it and is carried out at once, outside the window of <see cref="QmpClientOptions.MaxInFlight"/>.</summary>
    public bool OutOfBand { get; init; }

    /// <summary>
    /// A file descriptor that goes with the command, in the same message: QEMU gets a copy. It stays the caller's, who may close it once
    /// the call was made. Only over a unix socket, on Linux.
    /// </summary>
    public SafeHandle? Descriptor { get; init; }
}

namespace Pengx.Qmp;

public static partial class QmpCommands
{
    /// <summary>Gives the descriptor that comes with the command a name; see <see cref="QmpClientExtensions.GetFdAsync"/>.</summary>
    public static QmpCommand<QmpFdName, QmpEmpty> GetFd { get; } =
        new("getfd", QmpTransportJsonContext.Default.QmpFdName, QmpTransportJsonContext.Default.QmpEmpty);

    /// <summary>Closes a named descriptor.</summary>
    public static QmpCommand<QmpFdName, QmpEmpty> CloseFd { get; } =
        new("closefd", QmpTransportJsonContext.Default.QmpFdName, QmpTransportJsonContext.Default.QmpEmpty);

    /// <summary>Adds the descriptor that comes with the command to a set; see <see cref="QmpClientExtensions.AddFdAsync"/>.</summary>
    public static QmpCommand<QmpFdset, QmpAddedFd> AddFd { get; } =
        new("add-fd", QmpTransportJsonContext.Default.QmpFdset, QmpTransportJsonContext.Default.QmpAddedFd);

    /// <summary>Removes a descriptor, or all, from a set; one in use is closed when its user is done.</summary>
    public static QmpCommand<QmpRemovedFd, QmpEmpty> RemoveFd { get; } =
        new("remove-fd", QmpTransportJsonContext.Default.QmpRemovedFd, QmpTransportJsonContext.Default.QmpEmpty);
}

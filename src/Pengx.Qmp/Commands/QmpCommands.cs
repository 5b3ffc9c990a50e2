namespace Pengx.Qmp;

/// <summary>
/// The commands that have types of their own. Anything else goes through <see cref="IQmpClient.ExecuteRawAsync"/>, or through a
/// <see cref="QmpCommand{TArguments,TResult}"/> of your own. Optional members that are null are not sent.
/// </summary>
public static partial class QmpCommands
{
    internal static QmpCommand<QmpEmpty, QmpEmpty> QmpCapabilities { get; } =
        new("qmp_capabilities", QmpJsonContext.Default.QmpEmpty, QmpJsonContext.Default.QmpEmpty);

    internal static QmpCommand<QmpNegotiation, QmpEmpty> QmpCapabilitiesWith { get; } =
        new("qmp_capabilities", QmpTransportJsonContext.Default.QmpNegotiation, QmpTransportJsonContext.Default.QmpEmpty);

    /// <summary>The version of QEMU.</summary>
    public static QmpCommand<QmpEmpty, QmpVersion> QueryVersion { get; } =
        new("query-version", QmpJsonContext.Default.QmpEmpty, QmpJsonContext.Default.QmpVersion);

    /// <summary>Ends QEMU at once, as pulling the plug would. Its reply comes before the connection ends.</summary>
    public static QmpCommand<QmpEmpty, QmpEmpty> Quit { get; } =
        new("quit", QmpJsonContext.Default.QmpEmpty, QmpJsonContext.Default.QmpEmpty);

    /// <summary>Runs a line of the human monitor and returns what it printed.</summary>
    public static QmpCommand<QmpMonitorLine, string> HumanMonitorCommand { get; } =
        new("human-monitor-command", QmpJsonContext.Default.QmpMonitorLine, QmpJsonContext.Default.String);
}

namespace Pengx.Storage;

/// <summary>Runs LVM's programs, always bounded in time. Its exit code 5 means any failure, so what happened is read from its
/// words and, where it matters, from a report.</summary>
internal sealed class LvmTool(IProcessRunner runner, LvmOptions options)
{
    private const int MaxReportBytes = 64 * 1024 * 1024;

    private readonly Dictionary<string, string> _environment = EnvironmentOf(options);

    public LvmOptions Options => options;

    public bool HasDeviceMapper => options.Activation == LvmActivation.DeviceMapper;

    /// <summary>A call, as a plan shows it.</summary>
    public ToolAction Action(string verb, params IEnumerable<string> arguments)
    {
        string[] driver = HasDeviceMapper ? [] : ["--driverloaded", "n"];
        return new(new ProcessCommand
        {
            FileName = options.Lvm,
            Arguments = [verb, .. driver, .. arguments],
            Environment = _environment,
            Timeout = options.Timeout,
            MaxOutputBytes = MaxReportBytes,
        });
    }

    public async Task<ProcessResult> RunAsync(ToolAction action, CancellationToken cancellationToken)
    {
        var result = await runner.RunAsync(action.Command, cancellationToken).ConfigureAwait(false);
        return result.ExitCode == 0 ? result : throw ErrorOf(result);
    }

    public Task RunAsync(string verb, IEnumerable<string> arguments, CancellationToken cancellationToken) => RunAsync(Action(verb, arguments), cancellationToken);

    /// <summary>Everything of one volume group, or of all; foreign ones and devices in none are in it, too.</summary>
    public async Task<LvmReport> ReportAsync(string? group, CancellationToken cancellationToken)
    {
        var action = Action("fullreport", ["--reportformat", "json", "--units", "b", "--nosuffix", "--foreign", .. LvmReport.Fields, .. group is null ? [] : new[] { group }]);
        var result = await runner.RunAsync(action.Command, cancellationToken).ConfigureAwait(false);
        if (result.ExitCode != 0 && group is not null && result.Error.Contains($"Volume group \"{group}\" not found", StringComparison.Ordinal))
        {
            return new([], [], []);
        }

        return result.ExitCode == 0 ? LvmReport.Parse(result.Output, result.Error) : throw ErrorOf(result);
    }

    /// <summary>This host's system ID; empty when it has none.</summary>
    public async Task<string> SystemIdAsync(CancellationToken cancellationToken)
    {
        var result = await RunAsync(Action("systemid"), cancellationToken).ConfigureAwait(false);
        var colon = result.Output.IndexOf("system ID:", StringComparison.Ordinal);
        return colon < 0 ? "" : result.Output[(colon + "system ID:".Length)..].Trim();
    }

    private static Dictionary<string, string> EnvironmentOf(LvmOptions options)
    {
        // It complains of every descriptor that its parent left open.
        Dictionary<string, string> environment = new(StringComparer.Ordinal) { ["LVM_SUPPRESS_FD_WARNINGS"] = "1" };
        if (options.SystemDirectory is { } directory)
        {
            environment["LVM_SYSTEM_DIR"] = directory;
        }

        return environment;
    }

    private static PengxException ErrorOf(ProcessResult result)
    {
        var failure = ProcessFailedException.Exited(result);
        bool Says(string text) => result.Error.Contains(text, StringComparison.OrdinalIgnoreCase);
        return result switch
        {
            _ when Says("insufficient free space") || Says("Insufficient suitable") || Says("free extents") => new InsufficientResourceException(failure.Message),
            _ when Says(" in use") || Says("is used by another device") || Says("open logical volume") => new InUseException(failure.Message),
            _ => failure,
        };
    }
}

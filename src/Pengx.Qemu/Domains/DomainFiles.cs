using System.Text;
using System.Text.Json;

namespace Pengx.Qemu;

/// <summary>The files of one domain. All paths are made of our directories and the UUID, never of a user's text.</summary>
internal sealed class DomainFiles
{
    private const UnixFileMode Private = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;
    private const int MaxQuotedLog = 2000;

    // What QEMU says when all is well.
    private const string Chatter = "VNC server running on ";

    private readonly DomainId _id;
    private readonly string _state;

    public DomainFiles(string stateDirectory, string runDirectory, DomainId id)
    {
        _id = id;
        _state = Path.Combine(stateDirectory, id.ToString());
        RunDirectory = Path.Combine(runDirectory, id.Value.ToString("N"));
        PidFile = PidFileOf(runDirectory, id);
    }

    public string RunDirectory { get; }

    public string PidFile { get; }

    public string MonitorSocket => Path.Combine(RunDirectory, "qmp");

    public string SerialSocket => Path.Combine(RunDirectory, "serial");

    public string AgentSocket => Path.Combine(RunDirectory, "agent");

    public string VncSocket => Path.Combine(RunDirectory, "vnc");

    public string SerialLog => Path.Combine(_state, "serial.log");

    public string QemuLog => Path.Combine(_state, "qemu.log");

    public bool HasRunDirectory => Directory.Exists(RunDirectory);

    public bool IsDefined => File.Exists(DefinitionPath);

    private string DefinitionPath => Path.Combine(_state, "definition.json");

    private string RunFile => Path.Combine(_state, "run.json");

    public bool HasArrival => File.Exists(ArrivalFile);

    private string ArrivalFile => Path.Combine(_state, "arrival.json");

    private string CrashFile => Path.Combine(_state, "crash.json");

    public static string PidFileOf(string runDirectory, DomainId id) => Path.Combine(runDirectory, id.Value.ToString("N"), "pid");

    public Task WriteDefinitionAsync(DomainDefinition definition, CancellationToken cancellationToken)
    {
        CreateStateDirectory();
        return DefinitionFile.WriteAsync(DefinitionPath, definition, cancellationToken);
    }

    public void DeleteDefinition()
    {
        File.Delete(DefinitionPath);
        DurableFile.FlushDirectory(_state);
    }

    /// <exception cref="HypervisorException">The file is damaged.</exception>
    public DomainDefinition? ReadDefinition() => DefinitionFile.Read(DefinitionPath, _id);

    public Task WriteRunAsync(RunRecord record, CancellationToken cancellationToken) =>
        DurableFile.WriteAsync(RunFile, record, QemuJsonContext.Default.RunRecord, cancellationToken);

    public RunRecord? ReadRun() => ReadLeniently(RunFile, QemuJsonContext.Default.RunRecord);

    /// <summary>Notes the move by which the guest came, before it runs: it is remembered longer than the run.</summary>
    public Task WriteArrivalAsync(ArrivalRecord record, CancellationToken cancellationToken) =>
        DurableFile.WriteAsync(ArrivalFile, record, QemuJsonContext.Default.ArrivalRecord, cancellationToken);

    /// <summary>Whether the guest was let run here at the end of a move.</summary>
    /// <param name="move">The move.</param>
    public bool HasRunAfter(Guid move) =>
        ReadRun() is { HasRun: true, Arrival: { } coming } && coming == move
        || (HasArrival && (ReadLeniently(ArrivalFile, QemuJsonContext.Default.ArrivalRecord) is not { } record || record.Move == move));

    public void DeleteArrival()
    {
        File.Delete(ArrivalFile);
        DurableFile.FlushDirectory(_state);
    }

    public void CreateStateDirectory()
    {
        if (!Directory.Exists(_state))
        {
            Directory.CreateDirectory(_state, Private);
            DurableFile.FlushDirectory(Path.GetDirectoryName(_state)!);
        }
    }

    public Task WriteCrashAsync(CrashRecord record, CancellationToken cancellationToken)
    {
        Directory.CreateDirectory(_state, Private);
        return DurableFile.WriteAsync(CrashFile, record, QemuJsonContext.Default.CrashRecord, cancellationToken);
    }

    public CrashRecord? ReadCrash() => File.Exists(CrashFile) ? ReadLeniently(CrashFile, QemuJsonContext.Default.CrashRecord) ?? new(default, "unknown") : null;

    public void DeleteCrash()
    {
        if (Directory.Exists(_state))
        {
            File.Delete(CrashFile);
        }
    }

    /// <summary>An empty run directory; what an earlier run left in it is gone.</summary>
    public void CreateRunDirectory()
    {
        DeleteRunDirectory();
        Directory.CreateDirectory(RunDirectory, Private);
    }

    public void DeleteRunDirectory()
    {
        if (Directory.Exists(RunDirectory))
        {
            Directory.Delete(RunDirectory, recursive: true);
        }
    }

    /// <summary>Forgets a run; the logs stay for whoever wants to read them.</summary>
    public void DeleteRun()
    {
        DeleteRunDirectory();
        if (Directory.Exists(_state))
        {
            File.Delete(RunFile);
            File.Delete(RunFile + ".new");
        }
    }

    public void DeleteLogs()
    {
        if (Directory.Exists(_state))
        {
            File.Delete(SerialLog);
            File.Delete(QemuLog);
        }
    }

    public void DeleteAll()
    {
        DeleteRunDirectory();
        if (Directory.Exists(_state))
        {
            // The definition first: a directory without one is a domain that is not defined.
            File.Delete(DefinitionPath);
            Directory.Delete(_state, recursive: true);
            DurableFile.FlushDirectory(Path.GetDirectoryName(_state)!);
        }
    }

    /// <summary>The end of what QEMU wrote on its standard error.</summary>
    public string ReadQemuLogTail()
    {
        try
        {
            using var stream = new FileStream(QemuLog, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
            stream.Position = Math.Max(0, stream.Length - MaxQuotedLog);
            using var reader = new StreamReader(stream, Encoding.UTF8);
            return string.Join('\n', reader.ReadToEnd().Split('\n').Where(static line => !line.StartsWith(Chatter, StringComparison.Ordinal))).Trim();
        }
        catch (IOException)
        {
            return "";
        }
    }

    // Bookkeeping of a run: when it cannot be read, the process table still tells the truth.
    private static T? ReadLeniently<T>(string path, System.Text.Json.Serialization.Metadata.JsonTypeInfo<T> type)
        where T : class
    {
        try
        {
            return DurableFile.Read(path, type);
        }
        catch (Exception exception) when (exception is JsonException or IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }
}

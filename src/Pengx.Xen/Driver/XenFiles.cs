using System.Text.Json;

namespace Pengx.Xen;

/// <summary>The files of one domain. All paths are made of our directories and the UUID, never of a user's text.</summary>
internal sealed class XenFiles(string stateDirectory, string runDirectory, DomainId id)
{
    private const UnixFileMode Private = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;

    private readonly string _state = Path.Combine(stateDirectory, id.ToString());

    /// <summary>The <c>xl.cfg</c>. xl's monitor of the domain has it on its command line, and an xl that moves it: by it they are found.</summary>
    public string Configuration => ConfigurationOf(stateDirectory, id);

    /// <summary>Where the guest's QEMU opens our monitor, if it has a QEMU; by it that process is found, too.</summary>
    public string MonitorSocket => Path.Combine(runDirectory, $"{id}.qmp");

    /// <summary>What of the run must be known while its disks change; it lies beside the socket, since it ends with the host's run, too.</summary>
    private string RunRecordPath => Path.Combine(runDirectory, $"{id}.json");

    public bool IsDefined => File.Exists(DefinitionPath);

    private string DefinitionPath => Path.Combine(_state, "definition.json");

    public static string ConfigurationOf(string stateDirectory, DomainId id) => Path.Combine(stateDirectory, id.ToString(), "xl.cfg");

    public async Task WriteAsync(DomainDefinition definition, string configuration, CancellationToken cancellationToken)
    {
        if (!Directory.Exists(_state))
        {
            Directory.CreateDirectory(_state, Private);
            DurableFile.FlushDirectory(stateDirectory);
        }

        // The configuration is made of the definition: first what is the truth.
        await DefinitionFile.WriteAsync(DefinitionPath, definition, cancellationToken).ConfigureAwait(false);
        await WriteConfigurationAsync(configuration, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Replaces the <c>xl.cfg</c>, readable by the owner only: it holds the console's password.</summary>
    public Task WriteConfigurationAsync(string configuration, CancellationToken cancellationToken) =>
        DurableFile.WriteTextAsync(Configuration, configuration, cancellationToken);

    /// <exception cref="HypervisorException">The file is damaged.</exception>
    public DomainDefinition? ReadDefinition() => DefinitionFile.Read(DefinitionPath, id);

    /// <summary>A place for the monitor's socket, with nothing of an earlier run in it.</summary>
    public void PrepareRun()
    {
        Directory.CreateDirectory(runDirectory, Private);
        DeleteRun();
    }

    public void DeleteRun()
    {
        File.Delete(MonitorSocket);
        File.Delete(RunRecordPath);
    }

    /// <exception cref="HypervisorException">The file is damaged.</exception>
    public XenRunRecord? ReadRunRecord()
    {
        try
        {
            return DurableFile.Read(RunRecordPath, XenJsonContext.Default.XenRunRecord);
        }
        catch (Exception exception) when (exception is JsonException or IOException or UnauthorizedAccessException)
        {
            throw new HypervisorException($"What was recorded of the run of domain {id} cannot be read: {exception.Message}", exception);
        }
    }

    /// <summary>Replaces the record; one that has nothing to tell is removed.</summary>
    public async Task WriteRunRecordAsync(XenRunRecord record)
    {
        if (record is { IsHeld: false, Changes.Count: 0 })
        {
            File.Delete(RunRecordPath);
        }
        else
        {
            await DurableFile.WriteAsync(RunRecordPath, record, XenJsonContext.Default.XenRunRecord, CancellationToken.None).ConfigureAwait(false);
        }
    }

    public void DeleteAll()
    {
        if (Directory.Exists(_state))
        {
            // The definition first: a directory without one is a domain that is not defined.
            File.Delete(DefinitionPath);
            Directory.Delete(_state, recursive: true);
            DurableFile.FlushDirectory(stateDirectory);
        }
    }
}

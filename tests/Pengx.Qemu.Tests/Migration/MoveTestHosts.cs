namespace Pengx.Qemu.Tests;

/// <summary>Two hosts that see the same disks, with an ssh between them.</summary>
internal sealed class MoveTestHosts : IAsyncDisposable
{
    public const string OtherName = "pm2";

    private readonly SshServer _ssh;

    private MoveTestHosts(SshServer ssh)
    {
        _ssh = ssh;
        (Here.Options.PeerMigrationSocket, There.Options.PeerMigrationSocket) = (There.Options.ListenSocket, Here.Options.ListenSocket);
        foreach (var option in ssh.ClientOptions)
        {
            Here.Options.SshOptions.Add(option);
            There.Options.SshOptions.Add(option);
        }
    }

    public QemuTestHost Here { get; } = new();

    public QemuTestHost There { get; } = new();

    public static async Task<MoveTestHosts> StartAsync()
    {
        QemuTestHost.RequireQemu();
        return new(await SshServer.StartAsync());
    }

    public static ILiveMigration MigrationOf(IHypervisorDriver driver)
    {
        Assert.True(driver.TryGetFeature<ILiveMigration>(out var migration), "The driver moves no running guests.");
        return migration;
    }

    /// <summary>A guest with a counter's disk, which the other host sees, too.</summary>
    public (DomainDefinition Definition, string Counter) CreateCounting()
    {
        var counter = Here.CreateDisk("xvdb", 4 * 1024 * 1024);
        return (Here.CreateBootable(counter), ((FileLocation)counter.Layers[0].Location).Path);
    }

    /// <summary>Starts a guest that counts, and waits until it has counted past a number.</summary>
    public async Task<(DomainDefinition Definition, string Counter)> StartCountingAsync(QemuHypervisorDriver here, long past, CancellationToken cancellationToken)
    {
        var (definition, counter) = CreateCounting();
        await here.Domains.DefineAsync(definition, cancellationToken);
        await here.Domains.StartAsync(definition.Id, cancellationToken);
        await CountsPastAsync(Here, definition.Id, past, cancellationToken);
        return (definition, counter);
    }

    public static async Task<string> SerialAsync(QemuTestHost host, DomainId id)
    {
        if (!File.Exists(host.FilesOf(id).SerialLog))
        {
            return "";
        }

        await using FileStream stream = new(host.FilesOf(id).SerialLog, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
        using StreamReader reader = new(stream);
        return await reader.ReadToEndAsync();
    }

    public static async Task CountsPastAsync(QemuTestHost host, DomainId id, long number, CancellationToken cancellationToken)
    {
        var serial = "";
        await QemuTestHost.EventuallyAsync(
            async () =>
            {
                serial = await SerialAsync(host, id);
                return GuestNumbers.Last(serial) > number;
            },
            () => $"It does not count past {number}; its console ends with: {serial[^Math.Min(500, serial.Length)..]}",
            cancellationToken);
    }

    /// <summary>The QEMU processes of a host.</summary>
    public static IReadOnlyList<ProcessTable.Entry> ProcessesOf(QemuTestHost host) => ProcessTable.Find(id => DomainFiles.PidFileOf(host.Options.RunDirectory!, id));

    public static async Task KillAsync(int pid, CancellationToken cancellationToken)
    {
        using var process = QemuProcess.Open(pid, TimeProvider.System);
        Assert.NotNull(process);
        process.Signal(NativeMethods.SigKill);
        Assert.True(await process.WaitForExitAsync(QemuTestHost.Patience, cancellationToken));
    }

    public async ValueTask DisposeAsync()
    {
        await There.DisposeAsync();
        await Here.DisposeAsync();
        await _ssh.DisposeAsync();
    }
}

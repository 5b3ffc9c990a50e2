using System.Globalization;
using System.Text;
using Microsoft.Extensions.DependencyInjection;
using Pengx.Storage;
using Pengx.Testing;

namespace Pengx.Orchestration.Tests;

/// <summary>What outlives the service (database, journal, storage, guests), and the service on it, to be restarted.</summary>
internal sealed class World : IAsyncDisposable
{
    private ServiceProvider? _services;

    public World()
    {
        Host.ImageExists = Storage.Exists;
        Host.Storage = Storage;
    }

    public InMemoryStore Store { get; } = new();

    public InMemoryStorage Storage { get; } = new();

    public InMemoryDiskChains Chains => new(Storage);

    public SimulatedHost Host { get; } = new();

    public InMemoryJournal Journal { get; } = new();

    public LocalHost Pm { get; } = new() { Id = PmId.New(), Name = "pm1" };

    /// <summary>Stands for the home of the service's user; it is made by whoever puts something there.</summary>
    public string Home { get; } = Path.Combine(Path.GetTempPath(), $"pengx-home-{Guid.NewGuid():N}");

    public string SshDirectory => Path.Combine(Home, ".ssh");

    public string AuthorizedKeys => Path.Combine(SshDirectory, "authorized_keys");

    public Func<IEnumerable<InterfaceAddress>> Addresses { get; set; } = () => [];

    public Action<MachineOptions> Configure { get; set; } = _ => { };

    /// <summary>What a test registers instead of, or beside, the usual.</summary>
    public Action<IServiceCollection> Register { get; set; } = _ => { };

    /// <summary>Stands for sysfs, where cards with virtual functions are looked for.</summary>
    public string Sys => Path.Combine(Home, "sys");

    public string ResolvConf => Path.Combine(Home, "resolv.conf");

    public bool ApplyNetworks { get; set; }

    public VirtualMachines Machines => Get<VirtualMachines>();

    public VirtualMachineDisks Disks => Get<VirtualMachineDisks>();

    public VirtualMachineSnapshots Snapshots => Get<VirtualMachineSnapshots>();

    public VirtualMachineInterfaces Interfaces => Get<VirtualMachineInterfaces>();

    public VirtualMachineBackups Backups => Get<VirtualMachineBackups>();

    public Templates Templates => Get<Templates>();

    public Storlinks Storlinks => Get<Storlinks>();

    public PhysicalMachines Hosts => Get<PhysicalMachines>();

    public IOperations Operations => Get<IOperations>();

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public static async Task<World> StartedAsync(Action<MachineOptions>? configure = null)
    {
        var world = new World();
        world.Storage.IsOpen = world.Host.IsOpen;
        world.Configure = configure ?? world.Configure;
        await world.StartAsync();
        return world;
    }

    public T Get<T>()
        where T : notnull => _services!.GetRequiredService<T>();

    public async Task<OperationEngine> StartAsync(IOperationJournal? journal = null)
    {
        await StopAsync();
        var services = new ServiceCollection();
        services.AddSingleton<IPengxStore>(Store);
        services.AddSingleton<IStorageBackend>(Storage);
        services.AddSingleton<IDiskChains>(Chains);
        services.AddSingleton<IDiskUse>(Chains);
        services.AddSingleton(journal ?? Journal);
        services.AddSingleton(Host);
        services.AddSingleton(Pm);
        services.AddSingleton(new HostInterfaces(Path.Combine(Home, "net"), () => Addresses()));
        services.Configure<HostNetworkOptions>(options => (options.Apply, options.ResolvConf, options.Sys) = (ApplyNetworks, ResolvConf, Sys));
        services.Configure<StorageLayerOptions>(options => options.SecretDirectory = Path.Combine(Home, "secrets"));
        services.AddSingleton<IPlanExecutor>(new StoragePlanExecutor(new ProcessRunner()));
        services.AddSingleton<IStorageLayerDriver>(new LocalLayers(new ProcessRunner(), leaseDirectory: Path.Combine(Home, "leases")));
        Register(services);
        services.Configure<MachineOptions>(options =>
        {
            options.ShutdownWait = TimeSpan.FromMilliseconds(100);
            options.RebootWait = TimeSpan.FromMilliseconds(100);
            options.SshDirectory = SshDirectory;
            Configure(options);
        });
        services.AddPengx().AddSimulator().AddOrchestration(options =>
        {
            options.RetryDelay = TimeSpan.FromMilliseconds(1);
            options.MaxRetryDelay = TimeSpan.FromMilliseconds(5);
        });
        _services = services.BuildServiceProvider();
        await _services.GetRequiredService<PengxService>().StartAsync(Token);
        return _services.GetRequiredService<OperationEngine>();
    }

    public async Task StopAsync()
    {
        if (_services is { } services)
        {
            _services = null;
            await services.DisposeAsync();
        }
    }

    public async ValueTask DisposeAsync()
    {
        await StopAsync();
        if (Directory.Exists(Home))
        {
            Directory.Delete(Home, recursive: true);
        }
    }

    /// <summary>Waits for an operation, which must succeed.</summary>
    public async Task<Operation> DoneAsync(Task<Operation> started) => (await EndedAsync(started)).EnsureSucceeded();

    public async Task<Operation> EndedAsync(Task<Operation> started) => await Operations.WaitAsync((await started).Id, Token);

    public async Task<StorlinkId> AddStorlinkAsync(string name = "store1", bool shared = false)
    {
        var done = await DoneAsync(Storlinks.CreateAsync(new CreateStorlink { Name = name, Link = $"/data/{name}", Type = StorlinkType.Local, Level = StorlinkLevel.File, Shared = shared }, null, Token));
        return StorlinkId.TryParse(done.Created!.Split('/')[1], out var id) ? id : throw new InvalidOperationException(done.Created);
    }

    public static CreateVirtualMachine Request(StorlinkId storlink, string name = "web1") => new()
    {
        Name = name,
        Storlink = storlink,
        Cpus = 1,
        MemoryMiB = 512,
        MaxMemoryMiB = 1024,
        OsDiskSizeMiB = 100,
        Networks = ["0"],
    };

    public async Task<VmId> AddMachineAsync(StorlinkId storlink, string name = "web1", Func<CreateVirtualMachine, CreateVirtualMachine>? change = null) =>
        VmOf(await DoneAsync(Machines.CreateAsync((change ?? (request => request))(Request(storlink, name)), null, Token)));

    public async Task<TemplateId> AddTemplateAsync(StorlinkId storlink, string name = "debian", long size = 100) => TemplateOf(await DoneAsync(Templates.AddNewAsync(
        new AddNewTemplate { Name = name, Os = GuestOs.Debian, Architecture = OsArchitecture.X64, Disks = [new(storlink, size, DiskFormat.Qcow2)] }, null, Token)));

    public static VmId VmOf(Operation operation) => VmId.TryParse(operation.Created!.Split('/')[1], out var id) ? id : throw new InvalidOperationException(operation.Created);

    public static BackupId BackupOf(Operation operation) => BackupId.TryParse(operation.Created!.Split('/')[3], out var id) ? id : throw new InvalidOperationException(operation.Created);

    public async Task<BackupId> AddBackupAsync(VmId vm, StorlinkId storlink, string name = "nightly") =>
        BackupOf(await DoneAsync(Backups.CreateAsync(vm, new CreateVirtualMachineBackup { Name = name, Storlink = storlink, Description = "d" }, null, Token)));

    /// <summary>What a machine's disks show, in boot order.</summary>
    public async Task<IReadOnlyList<string?>> ContentsAsync(VmId vm) => [.. (await Disks.ListAsync(vm, Token)).Select(disk => Storage.ContentOf(disk.Id))];

    public static TemplateId TemplateOf(Operation operation) => TemplateId.TryParse(operation.Created!.Split('/')[1], out var id) ? id : throw new InvalidOperationException(operation.Created);

    /// <summary>Records that a machine lives on a PM, as the migration that another PM's service runs does.</summary>
    public async Task MoveRowAsync(VmId id, PmId pm)
    {
        await using var session = await Store.OpenAsync(Token);
        session.VirtualMachines.Update((await session.VirtualMachines.FindAsync(id, Token))! with { Pm = pm });
        await session.SaveAsync(Token);
    }

    /// <summary>Another PM, as its own service would write its row.</summary>
    public async Task<PmId> AddPeerAsync(string name, string? key, DateTimeOffset? seen = null, long memory = 1024)
    {
        await using var session = await Store.OpenAsync(Token);
        var id = PmId.New();
        session.PhysicalMachines.Add(new PhysicalMachine { Id = id, Name = name, Cpus = 1, Memory = DataSize.FromMiB(memory), SshPublicKey = key, CreatedAt = DateTimeOffset.UnixEpoch, UpdatedAt = seen ?? DateTimeOffset.UnixEpoch });
        await session.SaveAsync(Token);
        return id;
    }

    public async Task AssertWholeAsync()
    {
        var found = await Get<ConsistencyCheck>().RunAsync(Token);
        for (var attempt = 0; attempt < 100 && found.Count > 0 && found.All(one => one.Kind == InconsistencyKind.StateDiffers); attempt++)
        {
            // The rows follow the hypervisor's events in their own time.
            await Task.Delay(50, Token);
            found = await Get<ConsistencyCheck>().RunAsync(Token);
        }

        Assert.True(found.Count == 0, string.Join('\n', found));
    }

    /// <summary>Waits for what an event brings about in the background.</summary>
    public static async Task EventuallyAsync(Func<Task<bool>> holds)
    {
        using var timer = new PeriodicTimer(TimeSpan.FromMilliseconds(10));
        for (var attempt = 0; attempt < 500; attempt++)
        {
            if (await holds())
            {
                return;
            }

            await timer.WaitForNextTickAsync(Token);
        }

        Assert.Fail("It did not come about within five seconds.");
    }

    public async Task<T> ReadAsync<T>(Func<IStoreSession, Task<T>> read)
    {
        await using var session = await Store.OpenAsync(Token);
        return await read(session);
    }

    /// <summary>Everything that lasts, as text: rows without their counters and times of change, images, configurations, guests.</summary>
    public async Task<string> PictureAsync()
    {
        var text = new StringBuilder();
        await using var session = await Store.OpenAsync(Token);
        await foreach (var row in session.Storlinks.ListAsync(Token))
        {
            Line(row with { Revision = 0 });
            foreach (var volume in Storage.Volumes(row.Id).OrderBy(disk => disk.Value))
            {
                Line($"volume {volume}: {Storage.ContentOf(volume)}");
            }

            foreach (var backup in await Storage.ListDescriptionsAsync(row, Token))
            {
                Line($"description {backup}");
            }
        }

        await foreach (var row in session.Templates.ListAsync(Token))
        {
            Line(row with { Revision = 0, UpdatedAt = default, RecentBootedAt = null });
        }

        await foreach (var row in session.VirtualMachines.ListAsync(Token))
        {
            Line(row with { Revision = 0, UpdatedAt = default, RecentBootedAt = null });
            foreach (var snapshot in await session.Snapshots.ListByVmAsync(row.Id, Token))
            {
                Line(snapshot with { Revision = 0 });
            }

            foreach (var backup in await session.Backups.ListByVmAsync(row.Id, Token))
            {
                Line(backup with { Revision = 0 });
            }
        }

        await foreach (var row in session.VmInterfaces.ListAsync(Token))
        {
            Line(row with { Revision = 0 });
        }

        foreach (var kind in Enum.GetValues<DiskOwnerKind>())
        {
            await foreach (var row in session.Disks.ListAsync(kind, Token))
            {
                Line(row with { Revision = 0 });
            }
        }

        var driver = new SimulatedHypervisor(Host);
        await ((IHypervisorDriver)driver).StartAsync(Token);
        foreach (var id in (await driver.Domains.ListDefinedAsync(Token)).OrderBy(id => id.Value))
        {
            Line($"defined {id}");
        }

        foreach (var status in (await driver.Domains.ListAsync(Token)).OrderBy(status => status.Id.Value))
        {
            var guest = Host.Guest(status.Id);
            Line($"{status.State} {status.Id} {guest.Name} {status.Cpus} {status.Memory} {string.Join(' ', guest.Disks.Select(disk => disk.Id))} {string.Join(' ', guest.Nics)} starts {guest.Starts}");
        }

        foreach (var row in await session.Networks.ListByPmAsync(Pm.Id, Token))
        {
            Line($"{row with { Revision = 0 }} {string.Join(' ', row.BridgePorts)} {string.Join(' ', row.BondSlaves)}");
        }

        foreach (var row in await session.Dns.ListByPmAsync(Pm.Id, Token))
        {
            Line(row with { Revision = 0 });
        }

        foreach (var row in await session.SriovCards.ListByPmAsync(Pm.Id, Token))
        {
            Line($"{row.Id} {row.PhysicalFunction} {string.Join(' ', row.VirtualFunctions)}");
        }

        foreach (var row in await session.StorageLayers.ListByPmAsync(Pm.Id, Token))
        {
            // The size of the disk that the tests run on is nothing that they can hold still.
            Line($"{row.Id} {row.Category} {row.Name} {row.MountPoint}");
        }

        string[] files = Directory.Exists(Home) ? Directory.GetFileSystemEntries(Home, "*", SearchOption.AllDirectories) : [];
        foreach (var file in files.Order(StringComparer.Ordinal))
        {
            Line(file.StartsWith(Sys, StringComparison.Ordinal) || file == ResolvConf ? $"{file} {(File.Exists(file) ? await File.ReadAllTextAsync(file, Token) : "")}" : file.Contains("leases", StringComparison.Ordinal) ? "" : file);
        }

        if (File.Exists(AuthorizedKeys))
        {
            Line(await File.ReadAllTextAsync(AuthorizedKeys, Token));
        }

        return text.ToString();

        void Line(object line) => text.AppendLine(CultureInfo.InvariantCulture, $"{line}");
    }
}

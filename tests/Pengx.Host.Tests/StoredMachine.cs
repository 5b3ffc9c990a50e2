using System.Collections.Immutable;
using System.Globalization;
using Microsoft.Extensions.DependencyInjection;
using Pengx.Data;
using Pengx.Orchestration;
using Pengx.Testing;

namespace Pengx.Host.Tests;

/// <summary>The use cases in this process, on a real database file and real images, with one machine that nothing runs. What its disks
/// must hold is known block by block.</summary>
internal sealed class StoredMachine : IAsyncDisposable
{
    private const int Block = 64 * 1024;
    private const int Blocks = 64;

    private readonly string _directory = Directory.CreateTempSubdirectory("pengx-stored-").FullName;
    private readonly SimulatedHost _host = new();
    private readonly LocalHost _pm = new() { Id = PmId.New(), Name = "pm1" };
    private readonly ProcessRunner _runner = new();
    private readonly SqlitePengxStore _store;
    private ServiceProvider? _services;

    public StoredMachine()
    {
        Requires.Tool("qemu-img", "qemu");
        Requires.Tool("qemu-io", "qemu");
        Images = Directory.CreateDirectory(Path.Combine(_directory, "images")).FullName;
        Vault = Directory.CreateDirectory(Path.Combine(_directory, "vault")).FullName;
        _host.ImageSize = _ => new DataSize(Blocks * Block);
        _store = new($"Data Source={Path.Combine(_directory, "pengx.db")}", null);
    }

    public string Images { get; }

    /// <summary>Where backups lie.</summary>
    public string Vault { get; }

    public VmId Vm { get; private set; }

    public StorlinkId Storlink { get; private set; }

    /// <summary>What the current disks must hold, alike.</summary>
    public ImmutableDictionary<int, byte> Now { get; set; } = ImmutableDictionary<int, byte>.Empty;

    /// <summary>What the disks of each snapshot must hold.</summary>
    public Dictionary<string, ImmutableDictionary<int, byte>> Kept { get; } = [];

    /// <summary>What the disks of each backup must hold, the newest last.</summary>
    public List<(string Name, ImmutableDictionary<int, byte> Held)> Backups { get; } = [];

    public IOperationJournal Journal => _store.Journal;

    public VirtualMachineSnapshots Snapshots => _services!.GetRequiredService<VirtualMachineSnapshots>();

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public async Task<OperationEngine> StartAsync(IOperationJournal? journal = null)
    {
        await StopAsync();
        var services = new ServiceCollection();
        services.AddSingleton<IPengxStore>(_store);
        services.AddSingleton(journal ?? Journal);
        services.AddSingleton(_host);
        services.AddSingleton(_pm);
        services.AddPengx().AddLocalStorage().AddSimulator().AddOrchestration(options =>
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

    /// <summary>A machine with a disk in each format.</summary>
    public async Task AddAsync()
    {
        var link = await DoneAsync(_services!.GetRequiredService<Storlinks>().CreateAsync(
            new CreateStorlink { Name = "store", Link = Images, Type = StorlinkType.Local, Level = StorlinkLevel.File }, null, Token));
        Storlink = new(int.Parse(link.Created!.Split('/')[1], CultureInfo.InvariantCulture));
        var made = await DoneAsync(_services!.GetRequiredService<VirtualMachines>().CreateAsync(
            new CreateVirtualMachine { Name = "vm", Storlink = Storlink, Cpus = 1, MemoryMiB = 64, OsDiskSizeMiB = 4, DiskFormat = DiskFormat.Raw }, null, Token));
        Vm = new(Guid.Parse(made.Created!.Split('/')[1]));
        await DoneAsync(_services!.GetRequiredService<VirtualMachineDisks>().CreateAsync(Vm, new CreateDisk { SizeMiB = 4, Storlink = Storlink, Format = DiskFormat.Qcow2 }, null, Token));
    }

    /// <summary>Lets the machine run, on a hypervisor that moves no bytes: what it would copy of the changed blocks is written by hand.</summary>
    public async Task RunAsync()
    {
        _host.Before(SimulatedVerb.CopyChanges, async (_, _) =>
        {
            var before = Backups[^1].Held;
            foreach (var image in await NewImagesAsync())
            {
                foreach (var (block, value) in Now.Where(one => before.GetValueOrDefault(one.Key) != one.Value))
                {
                    await ToolAsync("qemu-io", "-f", "qcow2", "-c", string.Create(CultureInfo.InvariantCulture, $"write -P {value} {block * Block} {Block}"), "-c", "flush", image);
                }
            }
        });
        await DoneAsync(_services!.GetRequiredService<VirtualMachines>().StartAsync(Vm, null, Token));
    }

    public Task EndAsync() => DoneAsync(_services!.GetRequiredService<VirtualMachines>().PowerOffAsync(Vm, null, Token));

    public async Task<Operation> BackUpAsync(string name)
    {
        var vaults = _services!.GetRequiredService<Storlinks>();
        if ((await vaults.ListAsync(Token)).All(view => view.Storlink.Name != "vault"))
        {
            await DoneAsync(vaults.CreateAsync(new CreateStorlink { Name = "vault", Link = Vault, Type = StorlinkType.Local, Level = StorlinkLevel.File }, null, Token));
        }

        var vault = (await vaults.ListAsync(Token)).Single(view => view.Storlink.Name == "vault").Storlink.Id;
        return await BackupsOf.CreateAsync(Vm, new CreateVirtualMachineBackup { Name = name, Storlink = vault, Incremental = true }, null, Token);
    }

    public async Task<Operation> RestoreBackupAsync(string name) => await BackupsOf.RestoreAsync(Vm, await FindBackupAsync(name), null, Token);

    public async Task<Operation> DeleteBackupAsync(string name) => await BackupsOf.DeleteAsync(Vm, await FindBackupAsync(name), null, Token);

    /// <summary>Every backup is there, as long a chain as there are backups, and holds what it must; and nothing else is there.</summary>
    public async Task AssertBackupsAsync()
    {
        var backups = await BackupsOf.ListAsync(Vm, Token);
        Assert.Equal(Backups.Select(backup => backup.Name), backups.Select(backup => backup.Name));
        Assert.Equal(Math.Max(0, backups.Count - 1), (await BackupsOf.ListParentsAsync(Vm, Token)).Count);
        List<string> files = [];
        foreach (var (backup, expected) in backups.Zip(Backups))
        {
            files.Add($"{backup.Id}.backup.json");
            foreach (var disk in await BackupsOf.ListDisksAsync(Vm, backup.Id, Token))
            {
                files.Add($"{disk.Id}.{disk.Format.Name}");
                await AssertHoldsAsync(disk, expected.Held, expected.Name);
            }
        }

        Assert.Equal(files.Order(), Directory.GetFileSystemEntries(Vault).Select(path => Path.GetFileName(path)).Order());
    }

    public async Task WriteAsync(int block, byte value)
    {
        foreach (var disk in await DisksAsync())
        {
            await ToolAsync("qemu-io", "-f", disk.Format.Name, "-c", string.Create(CultureInfo.InvariantCulture, $"write -P {value} {block * Block} {Block}"), "-c", "flush", PathOf(disk));
        }

        Now = Now.SetItem(block, value);
    }

    public Task<Operation> CreateAsync(string name) => Snapshots.CreateAsync(Vm, new CreateSnapshot { Name = name, Storlink = Storlink }, null, Token);

    public async Task<Operation> DeleteAsync(string name) => await Snapshots.DeleteAsync(Vm, await FindAsync(name), null, Token);

    public async Task<Operation> RestoreAsync(string name) => await Snapshots.RestoreAsync(Vm, await FindAsync(name), null, Token);

    public async Task TakeAsync(string name)
    {
        await DoneAsync(CreateAsync(name));
        Kept[name] = Now;
    }

    public async Task DropAsync(string name)
    {
        await DoneAsync(DeleteAsync(name));
        Kept.Remove(name);
    }

    public async Task BackAsync(string name)
    {
        await DoneAsync(RestoreAsync(name));
        Now = Kept[name];
    }

    public Task<Operation> DeleteMachineAsync() => _services!.GetRequiredService<VirtualMachines>().DeleteAsync(Vm, null, Token);

    public async Task<Operation> DoneAsync(Task<Operation> started) =>
        (await _services!.GetRequiredService<IOperations>().WaitAsync((await started).Id, Token)).EnsureSucceeded();

    public async Task AssertNowAsync()
    {
        foreach (var disk in await DisksAsync())
        {
            await AssertHoldsAsync(disk, Now, "now");
        }
    }

    /// <summary>Everything is there and holds what it must, and nothing else is there.</summary>
    public async Task AssertAllAsync()
    {
        var found = await _services!.GetRequiredService<ConsistencyCheck>().RunAsync(Token);
        Assert.True(found.Count == 0, string.Join('\n', found));
        await AssertNowAsync();
        var snapshots = await Snapshots.ListAsync(Vm, Token);
        Assert.Equal(Kept.Keys.Order(), snapshots.Select(snapshot => snapshot.Name).Order());
        foreach (var snapshot in snapshots)
        {
            foreach (var disk in await Snapshots.ListDisksAsync(Vm, snapshot.Id, Token))
            {
                await AssertHoldsAsync(disk, Kept[snapshot.Name], snapshot.Name);
            }
        }
    }

    public async ValueTask DisposeAsync()
    {
        await StopAsync();
        Directory.Delete(_directory, recursive: true);
    }

    private Task<IReadOnlyList<Disk>> DisksAsync() => _services!.GetRequiredService<VirtualMachineDisks>().ListAsync(Vm, Token);

    private async Task<SnapshotId> FindAsync(string name) => (await Snapshots.ListAsync(Vm, Token)).Single(snapshot => snapshot.Name == name).Id;

    private VirtualMachineBackups BackupsOf => _services!.GetRequiredService<VirtualMachineBackups>();

    private async Task<BackupId> FindBackupAsync(string name) => (await BackupsOf.ListAsync(Vm, Token)).Single(backup => backup.Name == name).Id;

    /// <summary>The images of backups that are not recorded yet.</summary>
    private async Task<IReadOnlyList<string>> NewImagesAsync()
    {
        await using var session = await _store.OpenAsync(Token);
        var known = await session.Disks.ListAsync(DiskOwnerKind.Backup, Token).Select(disk => $"{disk.Id}.qcow2").ToListAsync(Token);
        return [.. Directory.GetFiles(Vault, "*.qcow2").Where(path => !known.Contains(Path.GetFileName(path)))];
    }

    private string PathOf(Disk disk) => Path.Combine(disk.Owner.Kind == DiskOwnerKind.Backup ? Vault : Images, $"{disk.Id}.{disk.Format.Name}");

    private async Task AssertHoldsAsync(Disk disk, ImmutableDictionary<int, byte> expected, string where)
    {
        var raw = Path.Combine(_directory, "seen.raw");
        await ToolAsync("qemu-img", "convert", "-f", disk.Format.Name, "-O", "raw", PathOf(disk), raw);
        var bytes = await File.ReadAllBytesAsync(raw, Token);
        Assert.Equal(Blocks * Block, bytes.Length);
        for (var block = 0; block < Blocks; block++)
        {
            var value = expected.GetValueOrDefault(block);
            var other = bytes.AsSpan(block * Block, Block).IndexOfAnyExcept(value);
            Assert.True(other < 0, $"{where}: disk {disk.Order} holds {bytes[(block * Block) + Math.Max(other, 0)]} and not {value} in block {block}.");
        }
    }

    private async Task ToolAsync(string program, params string[] arguments) =>
        (await _runner.RunAsync(new() { FileName = program, Arguments = arguments }, Token)).EnsureSuccess();
}

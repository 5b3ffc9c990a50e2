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
        _store = new($"Data Source={Path.Combine(_directory, "pengx.db")}", null);
    }

    public string Images { get; }

    public VmId Vm { get; private set; }

    public StorlinkId Storlink { get; private set; }

    /// <summary>What the current disks must hold, alike.</summary>
    public ImmutableDictionary<int, byte> Now { get; set; } = ImmutableDictionary<int, byte>.Empty;

    /// <summary>What the disks of each snapshot must hold.</summary>
    public Dictionary<string, ImmutableDictionary<int, byte>> Kept { get; } = [];

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

    private string PathOf(Disk disk) => Path.Combine(Images, $"{disk.Id}.{disk.Format.Name}");

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

using Microsoft.Extensions.DependencyInjection;
using Pengx.Benchmarks.LiveDisks;
using Pengx.Orchestration;

namespace Pengx.Benchmarks.Operations;

/// <summary>
/// What journal, locks and rows cost an operation: a simulated machine, whose verbs take no time, is paused and resumed as operations on a
/// real SQLite file; no request is part of it. Run with <c>operations-real [DIRECTORY]</c>. Each operation flushes four times, so as many
/// flushes of a small file in the same directory are taken in turns with it.
/// </summary>
internal static class OperationOverhead
{
    private const int Rounds = 400;

    /// <summary>Not measured: the code is compiled in the meantime.</summary>
    private const int FirstRounds = 400;

    private const int Flushes = 4;

    private static readonly byte[] s_block = new byte[4096];

    public static async Task RunAsync(string? place)
    {
        var directory = Directory.CreateDirectory(Path.Combine(place ?? Path.GetTempPath(), $"pxo-{Environment.ProcessId}")).FullName;
        try
        {
            ServiceCollection services = new();
            services.AddPengx().AddSimulator().AddLocalStorage().AddSqlite($"Data Source={Path.Combine(directory, "pengx.db")}").AddOrchestration().AddLocalHost(directory, "pm1");
            await using var provider = services.BuildServiceProvider();
            await provider.GetRequiredService<PengxService>().StartAsync(CancellationToken.None);
            var (machines, operations) = (provider.GetRequiredService<VirtualMachines>(), provider.GetRequiredService<IOperations>());
            var vm = await CreateAsync(provider, directory);
            using var file = File.OpenHandle(Path.Combine(directory, "flushed"), FileMode.CreateNew, FileAccess.Write);
            PairedSample sample = new();
            var isPaused = false;
            for (var round = 0; round < FirstRounds; round++)
            {
                await OperateAsync();
            }

            for (var round = 0; round < Rounds; round++)
            {
                await sample.TakeAsync(round, OperateAsync, FlushAsync);
            }

            Console.WriteLine($"\n{Environment.ProcessorCount} processors; median, and lowest to highest, in milliseconds.\n");
            Console.WriteLine($"| measured | the operation | {Flushes} flushes of 4 KiB | ratio |\n|---|---|---|---|");
            sample.Print("pause or resume of a simulated machine");

            async Task OperateAsync()
            {
                await DoneAsync(operations, isPaused ? machines.ResumeAsync(vm, null) : machines.SuspendAsync(vm, null));
                isPaused = !isPaused;
            }

            Task FlushAsync()
            {
                for (var flush = 0; flush < Flushes; flush++)
                {
                    RandomAccess.Write(file, s_block, RandomAccess.GetLength(file));
                    RandomAccess.FlushToDisk(file);
                }

                return Task.CompletedTask;
            }
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }

    private static async Task<VmId> CreateAsync(ServiceProvider provider, string directory)
    {
        var operations = provider.GetRequiredService<IOperations>();
        var (machines, storlinks) = (provider.GetRequiredService<VirtualMachines>(), provider.GetRequiredService<Storlinks>());
        var store = Directory.CreateDirectory(Path.Combine(directory, "store")).FullName;
        var link = await DoneAsync(operations, storlinks.CreateAsync(new CreateStorlink { Name = "store", Link = store, Type = StorlinkType.Local, Level = StorlinkLevel.File }, null));
        var created = await DoneAsync(operations, machines.CreateAsync(
            new CreateVirtualMachine
            {
                Name = "benchmark",
                Storlink = StorlinkId.TryParse(link.Created!.Split('/')[1], out var id) ? id : throw new InvalidOperationException(link.Created),
                Cpus = 1,
                MemoryMiB = 128,
                MaxMemoryMiB = 128,
                OsDiskSizeMiB = 1,
                DiskFormat = DiskFormat.Raw,
                Networks = ["0"],
            },
            null));
        var vm = VmId.TryParse(created.Created!.Split('/')[1], out var made) ? made : throw new InvalidOperationException(created.Created);
        await DoneAsync(operations, machines.StartAsync(vm, null));
        return vm;
    }

    private static async Task<Operation> DoneAsync(IOperations operations, Task<Operation> started) => (await operations.WaitAsync((await started).Id)).EnsureSucceeded();
}

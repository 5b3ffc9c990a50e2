using Microsoft.Extensions.Logging;
using Pengx.Testing;

namespace Pengx.Data.Tests;

/// <summary>Tests that measure the process's memory: nothing else may run meanwhile.</summary>
[CollectionDefinition(nameof(Memory), DisableParallelization = true)]
public sealed class Memory;

/// <summary>The list of many machines: as many queries as for few, and no more memory.</summary>
[Collection(nameof(Memory))]
public sealed class LargeListTests
{
    private const int DisksEach = 3;
    private const string Seed = "seed";

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Ten_thousand_machines_take_as_many_queries_as_ten_and_are_given_out_while_they_are_read()
    {
        await using var database = new TemporaryDatabase();
        using var counter = new QueryCounter();
        using var loggers = LoggerFactory.Create(logging => logging.AddProvider(counter).SetMinimumLevel(LogLevel.Debug));
        var store = await database.ReadyStoreAsync(loggers);
        await SeedAsync(store);
        await CopiedMachines.AddAsync(database.File, Seed, nic: 0, DisksEach, from: 1, count: 10);
        var (few, fewQueries, _, _) = await ListAsync(store, counter);
        Assert.Equal(10, few);

        await CopiedMachines.AddAsync(database.File, Seed, nic: 0, DisksEach, from: 10, count: 10_000);
        var (many, manyQueries, beforeFirst, held) = await ListAsync(store, counter);
        Assert.Equal(10_000, many);
        Assert.Equal((4, 4), (fewQueries, manyQueries));
        TestContext.Current.TestOutputHelper?.WriteLine($"{beforeFirst:P1} of all that is allocated is allocated before the first machine; {held / 1024} KiB more are held at its middle");
        Assert.True(beforeFirst < 0.05, $"{beforeFirst:P1} of all that is allocated was allocated before the first machine was given out.");
        Assert.True(held < 4 << 20, $"{held / 1024} KiB are held in the middle of the list.");
    }

    private static async Task<(int Machines, int Queries, double BeforeFirst, long Held)> ListAsync(SqlitePengxStore store, QueryCounter counter)
    {
        counter.Messages.Clear();
        counter.Levels.Clear();
        await using var session = await store.OpenAsync(Token);

        // Once for the queries to be compiled; that is no part of the list.
        Assert.NotNull(await session.VirtualMachines.ListWithDevicesAsync(Token).FirstAsync(Token));
        var queries = counter.Count;
        var (machines, first, held) = (0, 0L, 0L);
        var start = GC.GetAllocatedBytesForCurrentThread();
        var live = GC.GetTotalMemory(forceFullCollection: true);
        await foreach (var row in session.VirtualMachines.ListWithDevicesAsync(Token))
        {
            Assert.Equal((DisksEach, 1), (row.Disks.Count, row.Interfaces.Count));
            Assert.Equal([0, 1, 2], row.Disks.Select(disk => disk.Order));
            if (++machines == 1)
            {
                first = GC.GetAllocatedBytesForCurrentThread() - start;
            }
            else if (machines == 5_000)
            {
                held = GC.GetTotalMemory(forceFullCollection: true) - live;
            }
        }

        return (machines, counter.Count - queries, (double)first / (GC.GetAllocatedBytesForCurrentThread() - start), held);
    }

    /// <summary>Makes one machine with its disks.</summary>
    private static async Task SeedAsync(SqlitePengxStore store)
    {
        await using var session = await store.OpenAsync(Token);
        var pm = SampleRows.Pm();
        var storlink = SampleRows.Storlink(pm.Id);
        var vm = SampleRows.Vm(pm.Id, Seed);
        session.PhysicalMachines.Add(pm);
        session.Storlinks.Add(storlink);
        session.VirtualMachines.Add(vm);
        session.VmInterfaces.Add(SampleRows.Interface(vm.Id, 0));
        for (var order = 0; order < DisksEach; order++)
        {
            session.Disks.Add(SampleRows.Disk(DiskOwner.Of(vm.Id), storlink.Id, order));
        }

        await session.SaveAsync(Token);
    }
}

using System.Globalization;
using System.Runtime.CompilerServices;
using Pengx.Orchestration;
using Pengx.Testing;

namespace Pengx.Data.Tests;

/// <summary>The life of a service that is going to be killed: this program, started again with a file in the environment, saves
/// and journals without end and says each time, once it was told so, that a write is done.</summary>
internal static class CrashWriter
{
    public const string Variable = "PENGX_TEST_CRASH_WRITER";

    // Before the test runner's own entry point, so that the runner plays no part in the child.
    [ModuleInitializer]
    internal static void Start()
    {
        if (Environment.GetEnvironmentVariable(Variable) is { Length: > 0 } file)
        {
            WriteAsync(file).GetAwaiter().GetResult();
        }
    }

    private static async Task WriteAsync(string file)
    {
        await using var store = SqlitePengxStore.Open(file);
        await store.InitializeAsync();
        Say("ready");
        var pm = await PmAsync(store);
        while (true)
        {
            await using var session = await store.OpenAsync();
            var number = await session.Storlinks.NextIdAsync();

            // Two rows in one transaction: the one without the other would be a torn write.
            session.Storlinks.Add(SampleRows.Storlink(pm, number.Value, string.Create(CultureInfo.InvariantCulture, $"link{number}")));
            session.Networks.Add(SampleRows.Network(pm, number.Value, $"eth{number.Value}"));
            await session.SaveAsync();
            Say(string.Create(CultureInfo.InvariantCulture, $"saved {number}"));

            var record = new OperationRecord
            {
                Id = OperationId.New(),
                Kind = "test.write@1",
                Target = $"storlink/{number}",
                Description = "a write",
                Pm = pm,
                CreatedAt = SampleRows.Time,
                Checkpoint = new() { State = OperationState.Running, StateJson = "{}" },
            };
            var admission = await store.Journal.AddAsync(record, [new($"storlink/{number}")], SampleRows.Time.AddDays(1));
            Say($"journaled {record.Id}");
            await store.Journal.SaveAsync(admission.Lease!, record.Checkpoint with { State = OperationState.Succeeded, FinishedAt = SampleRows.Time });
            Say($"finished {record.Id}");
        }
    }

    private static async Task<PmId> PmAsync(SqlitePengxStore store)
    {
        await using var session = await store.OpenAsync();
        if (await session.PhysicalMachines.ListAsync().FirstOrDefaultAsync() is { } known)
        {
            return known.Id;
        }

        var pm = SampleRows.Pm();
        session.PhysicalMachines.Add(pm);
        await session.SaveAsync();
        return pm.Id;
    }

    private static void Say(string text)
    {
        Console.Out.WriteLine(text);
        Console.Out.Flush();
    }
}

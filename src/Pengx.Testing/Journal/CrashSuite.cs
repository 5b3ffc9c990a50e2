using Pengx.Orchestration;
using Xunit;

namespace Pengx.Testing;

/// <summary>What a crash does not touch (journal, database, files, guests), and how to build on it what dies with the process.
/// One instance sees one crash, or none.</summary>
public abstract class CrashWorld : IAsyncDisposable
{
    /// <summary>The journal that survives.</summary>
    public abstract IOperationJournal Journal { get; }

    /// <summary>Builds and starts a fresh engine, with everything else that lives in a process, on the surviving parts.</summary>
    /// <param name="journal">The journal to give it: <see cref="Journal"/>, or one in front of it that dies.</param>
    /// <param name="cancellationToken">Ends the start.</param>
    public abstract Task<OperationEngine> StartAsync(IOperationJournal journal, CancellationToken cancellationToken);

    /// <summary>Does what is tested: starts operations and waits for their end. A crash reaches it as
    /// <see cref="SimulatedCrashException"/>, which it lets through.</summary>
    /// <param name="engine">The engine of the first generation.</param>
    /// <param name="cancellationToken">Ends the act.</param>
    public abstract Task ActAsync(OperationEngine engine, CancellationToken cancellationToken);

    /// <summary>Demands that the world is whole: all old or all new, nothing orphaned.</summary>
    /// <param name="operations">All operations in the journal, the newest first; each has ended.</param>
    /// <param name="cancellationToken">Ends the check.</param>
    public abstract Task VerifyAsync(IReadOnlyList<Operation> operations, CancellationToken cancellationToken);

    /// <summary>Removes the surviving parts too.</summary>
    public virtual ValueTask DisposeAsync()
    {
        GC.SuppressFinalize(this);
        return ValueTask.CompletedTask;
    }
}

/// <summary>Proves that a scenario survives a crash at every journal write: for each write in turn, just before it and just after it,
/// a fresh world crashes there, is started again, and must end whole. At last the scenario runs without a crash.</summary>
public static class CrashSuite
{
    private const int MaxWrites = 1000;

    /// <summary>How long one crash and recovery may take.</summary>
    public static TimeSpan Patience { get; } = TimeSpan.FromSeconds(60);

    /// <summary>Runs the scenario with a crash at every write.</summary>
    /// <param name="create">Makes a fresh world.</param>
    /// <param name="crashTwice">Whether the recovery crashes too, at each of its own writes; the effort grows with the square.</param>
    /// <param name="cancellationToken">Ends the suite.</param>
    /// <returns>How many crashes there were.</returns>
    public static async Task<int> RunAsync(Func<Task<CrashWorld>> create, bool crashTwice = false, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(create);
        var crashes = 0;
        for (var write = 1; write <= MaxWrites; write++)
        {
            foreach (var moment in (CrashMoment[])[CrashMoment.Before, CrashMoment.After])
            {
                if (!await CrashOnceAsync(create, write, moment, recovery: null, cancellationToken).ConfigureAwait(false))
                {
                    return crashes;
                }

                crashes++;
                for (var second = 1; crashTwice; second++)
                {
                    if (!await CrashOnceAsync(create, write, moment, second, cancellationToken).ConfigureAwait(false))
                    {
                        break;
                    }

                    crashes++;
                }
            }
        }

        throw new InvalidOperationException($"The scenario writes more than {MaxWrites} times to its journal; it does not seem to end.");
    }

    /// <summary>One world. Returns whether the last crash that was asked for happened.</summary>
    private static async Task<bool> CrashOnceAsync(
        Func<Task<CrashWorld>> create, int write, CrashMoment moment, int? recovery, CancellationToken cancellationToken)
    {
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        patience.CancelAfter(Patience);
        var place = $"crash {(moment == CrashMoment.Before ? "before" : "after")} write {write}{(recovery is null ? "" : $", then after write {recovery} of the recovery")}";
        var world = await create().ConfigureAwait(false);
        await using (world.ConfigureAwait(false))
        {
            try
            {
                var journal = new CrashingJournal(world.Journal, write, moment);
                var crashed = await LiveAsync(world, journal, world.ActAsync, patience.Token).ConfigureAwait(false);
                if (recovery is { } second)
                {
                    var recovering = new CrashingJournal(world.Journal, second, CrashMoment.After);
                    crashed = await LiveAsync(world, recovering, (engine, token) => SettleAsync(engine, token), patience.Token).ConfigureAwait(false);
                }

                await RecoverAsync(world, patience.Token).ConfigureAwait(false);
                return crashed;
            }
            catch (Exception exception) when (!cancellationToken.IsCancellationRequested)
            {
                throw new CrashSuiteException($"{place}: {exception.Message}", exception);
            }
        }
    }

    /// <summary>One life of the process, up to its crash or its end.</summary>
    private static async Task<bool> LiveAsync(
        CrashWorld world, CrashingJournal journal, Func<OperationEngine, CancellationToken, Task> act, CancellationToken cancellationToken)
    {
        OperationEngine? engine = null;
        try
        {
            engine = await world.StartAsync(journal, cancellationToken).ConfigureAwait(false);
            await act(engine, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception) when (journal.HasCrashed)
        {
            // However the crash showed itself, the process is gone.
        }
        finally
        {
            if (engine is not null)
            {
                await engine.DisposeAsync().ConfigureAwait(false);
            }
        }

        return journal.HasCrashed;
    }

    private static async Task RecoverAsync(CrashWorld world, CancellationToken cancellationToken)
    {
        var engine = await world.StartAsync(world.Journal, cancellationToken).ConfigureAwait(false);
        await using (engine.ConfigureAwait(false))
        {
            var operations = await SettleAsync(engine, cancellationToken).ConfigureAwait(false);
            foreach (var operation in operations)
            {
                Assert.True(operation.IsFinished, $"{operation.Description} has not ended: {operation.Message}");
            }

            Assert.Empty(await engine.ListLockedAsync(cancellationToken).ConfigureAwait(false));
            await world.VerifyAsync(operations, cancellationToken).ConfigureAwait(false);
        }
    }

    private static async Task<IReadOnlyList<Operation>> SettleAsync(OperationEngine engine, CancellationToken cancellationToken)
    {
        var settled = new List<Operation>();
        await foreach (var operation in engine.ListAsync(cancellationToken: cancellationToken).ConfigureAwait(false))
        {
            settled.Add(await engine.WaitAsync(operation.Id, cancellationToken).ConfigureAwait(false));
        }

        return settled;
    }
}

/// <summary>A world was not whole after a crash; the message says where the crash was.</summary>
/// <param name="message">Where the crash was, and what was wrong.</param>
/// <param name="innerException">What was wrong.</param>
public sealed class CrashSuiteException(string message, Exception innerException) : Exception(message, innerException);

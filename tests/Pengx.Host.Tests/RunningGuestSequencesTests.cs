using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;

namespace Pengx.Host.Tests;

/// <summary>Random sequences of operations on guests that run and count, with real QEMU, the real service and real kills. The guest is
/// the judge: see <see cref="JudgedGuest"/>.</summary>
public sealed class RunningGuestSequencesTests(ITestOutputHelper output)
{
    /// <summary>How many sequences are tried.</summary>
    private const string CountVariable = "PENGX_GUEST_SEQUENCES";

    /// <summary>The seed of the first; the others follow.</summary>
    private const string SeedVariable = "PENGX_GUEST_SEED";

    /// <summary>How many times memory is kept and gone back to.</summary>
    private const string MemoryVariable = "PENGX_GUEST_MEMORIES";

    private const int Memories = 4;
    private const int Sequences = 2;
    private const int Steps = 6;

    /// <summary>How many sequences one machine goes through, one after the other, and how many machines there are at a time.</summary>
    private const int Each = 10;
    private const int AtATime = 2;

    [Fact]
    public async Task Random_sequences_on_a_running_guest_lose_nothing_that_it_flushed()
    {
        var count = Number(CountVariable, Sequences);
        var first = Number(SeedVariable, 1);
        var clock = Stopwatch.StartNew();
        Dictionary<string, int> done = [];
        ConcurrentBag<string> failures = [];
        try
        {
            await Parallel.ForEachAsync(
                Enumerable.Range(first, count).Chunk(Each),
                new ParallelOptions { MaxDegreeOfParallelism = AtATime, CancellationToken = TestContext.Current.CancellationToken },
                async (seeds, _) =>
                {
                    if (await RunAsync(seeds, done, Tell) is { } failure)
                    {
                        failures.Add(failure);
                        Tell(failure);
                    }
                });
        }
        finally
        {
            // Also where it was ended before its time.
            Tell($"{done.GetValueOrDefault("sequences")} of {count} sequences from seed {first}:");
            foreach (var (what, times) in done.OrderBy(one => one.Key, StringComparer.Ordinal))
            {
                output.WriteLine($"{times,6} {what}");
            }
        }

        Assert.True(failures.IsEmpty, string.Join("\n\n", failures));
        Assert.Equal(count, done["sequences"]);

        void Tell(string what) => output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{clock.Elapsed.TotalSeconds,6:F0} s: {what}"));
    }

    [Fact]
    public async Task Memory_is_of_its_disks_instant_whatever_is_killed()
    {
        var count = Number(MemoryVariable, Memories);
        await using var guests = await RealGuests.StartAsync();
        var target = Directory.CreateTempSubdirectory("pengx-target-");
        var vault = Directory.CreateTempSubdirectory("pengx-vault-");
        Dictionary<string, int> done = [];
        JudgedGuest? guest = null;
        try
        {
            guest = await JudgedGuest.StartAsync(guests, target.FullName, vault.FullName, "raw", done);
            guest.Begin(Number(SeedVariable, 1));
            var random = guest.Random;
            for (var round = 0; round < count; round++)
            {
                await guest.SnapshotAsync(random.Next(5) switch { 0 => Disturbance.Cancelled, 1 => Disturbance.GuestKilled, 2 => Disturbance.BothKilled, _ => Disturbance.ServiceKilled }, memory: true);
                if (guest.Memories.Count == 0)
                {
                    continue;
                }

                await guest.TurnOffAsync(Disturbance.None);
                await guest.StartWithAsync(OneOf(random, guest.Memories), random.Next(2) == 0 ? Disturbance.ServiceKilled : Disturbance.None);
                while (guest.Snapshots.Count > 3)
                {
                    await guest.DeleteSnapshotAsync(OneOf(random, guest.Snapshots), Disturbance.None);
                }
            }

            await guest.EndAsync();
            await guest.LeaveAsync();
        }
        catch (Exception exception) when (!TestContext.Current.CancellationToken.IsCancellationRequested)
        {
            throw new InvalidOperationException($"{string.Join(", ", guest?.Told ?? [])}: {exception.Message}\n{guests.Host.Log}", exception);
        }
        finally
        {
            target.Delete(recursive: true);
            vault.Delete(recursive: true);
            foreach (var (what, times) in done.OrderBy(one => one.Key, StringComparer.Ordinal))
            {
                output.WriteLine($"{times,6} {what}");
            }
        }
    }

    /// <summary>Takes one machine through some sequences, and tells each that is done.</summary>
    /// <returns>What went wrong, and in which.</returns>
    private static async Task<string?> RunAsync(int[] seeds, Dictionary<string, int> done, Action<string> tell)
    {
        await using var guests = await RealGuests.StartAsync("--Pengx:Limits:CopyMiBPerSecond=24");
        var target = Directory.CreateTempSubdirectory("pengx-target-").FullName;
        var vault = Directory.CreateTempSubdirectory("pengx-vault-").FullName;
        var at = seeds[0];
        JudgedGuest? guest = null;
        try
        {
            guest = await JudgedGuest.StartAsync(guests, target, vault, at / Each % 2 == 0 ? "raw" : "qcow2", done);
            foreach (var seed in seeds)
            {
                at = seed;
                guest.Begin(seed);
                for (var step = 0; step < Steps; step++)
                {
                    await StepAsync(guest);
                }

                await guest.EndAsync();
                int soFar;
                lock (done)
                {
                    soFar = done["sequences"] = done.GetValueOrDefault("sequences") + 1;
                }

                tell($"sequence {seed} is done, the {soFar}. of all");
            }

            await guest.LeaveAsync();
            return null;
        }
        catch (Exception exception) when (!TestContext.Current.CancellationToken.IsCancellationRequested)
        {
            return $"Sequence {at} ({string.Join(", ", guest?.Told ?? [])}): {exception}\n{guests.Host.Log}";
        }
        finally
        {
            Directory.Delete(target, recursive: true);
            Directory.Delete(vault, recursive: true);
        }
    }

    private static Task StepAsync(JudgedGuest guest)
    {
        var (random, snapshots) = (guest.Random, guest.Snapshots);
        return random.Next(16) switch
        {
            < 3 => guest.SnapshotAsync(Any(random)),
            < 6 when snapshots.Count > 0 => guest.DeleteSnapshotAsync(OneOf(random, snapshots), Any(random)),
            < 7 when guest.Copies.Count == 0 => guest.CopyAsync(Any(random)),
            < 9 when guest.Backups.Count < 2 => guest.BackUpAsync(Any(random)),
            < 10 => guest.MoveAsync(Any(random)),
            < 11 => PauseAsync(guest),
            < 14 => TurnOffAndOnAsync(guest),
            < 15 => guest.KillGuestAsync(),
            15 => guest.KillServiceAsync(),
            _ => guest.SnapshotAsync(Any(random)),
        };
    }

    private static async Task PauseAsync(JudgedGuest guest)
    {
        var random = guest.Random;
        await guest.PauseAsync(Mild(random));
        await AtRestAsync(guest);
        if (guest.IsPaused)
        {
            await guest.ResumeAsync(Mild(random));
        }
    }

    private static async Task TurnOffAndOnAsync(JudgedGuest guest)
    {
        var random = guest.Random;
        await guest.TurnOffAsync(Mild(random));
        switch (random.Next(5))
        {
            case 0 when guest.Snapshots.Count > 0:
                await guest.StartWithAsync(OneOf(random, random.Next(2) == 0 && guest.Memories.Count > 0 ? guest.Memories : guest.Snapshots), Mild(random));
                return;
            case < 3 when guest.Snapshots.Count > 0:
                await guest.RestoreAsync(OneOf(random, guest.Snapshots), Mild(random));
                break;
            case 3 when guest.Backups.Count > 0:
                await guest.RestoreBackupAsync(OneOf(random, guest.Backups), Mild(random));
                break;
            case 4:
                await AtRestAsync(guest);
                break;
            default:
                break;
        }

        await guest.TurnOnAsync(Mild(random));
    }

    /// <summary>Something that is possible while the guest does not write.</summary>
    private static Task AtRestAsync(JudgedGuest guest)
    {
        var (random, snapshots) = (guest.Random, guest.Snapshots);
        return random.Next(6) switch
        {
            0 => guest.SnapshotAsync(Any(random)),
            1 when snapshots.Count > 0 => guest.DeleteSnapshotAsync(OneOf(random, snapshots), Any(random)),
            2 when guest.Copies.Count == 0 => guest.CopyAsync(Any(random)),
            3 when guest.Backups.Count < 2 => guest.BackUpAsync(Any(random)),
            4 => guest.MoveAsync(Any(random)),
            _ => Task.CompletedTask,
        };
    }

    private static string OneOf(Random random, IReadOnlyList<string> names) => names[random.Next(names.Count)];

    private static Disturbance Any(Random random) => random.Next(12) switch
    {
        0 => Disturbance.Cancelled,
        1 or 2 => Disturbance.ServiceKilled,
        3 => Disturbance.GuestKilled,
        4 => Disturbance.BothKilled,
        _ => Disturbance.None,
    };

    private static Disturbance Mild(Random random) => random.Next(8) == 0 ? Disturbance.ServiceKilled : Disturbance.None;

    private static int Number(string variable, int otherwise) =>
        int.TryParse(Environment.GetEnvironmentVariable(variable), CultureInfo.InvariantCulture, out var wanted) ? wanted : otherwise;
}

using Pengx.Storage.Tests;

namespace Pengx.Host.Tests;

/// <summary>Disks that are full or fail, and tools that die, in the middle of what is done to a guest that counts: a clear error,
/// nothing half made, nothing lost, and the same works when the trouble is over.</summary>
public sealed class DiskFaultTests
{
    private static readonly string[] s_verbs = ["copy", "backup", "smigrate"];

    [Fact]
    public async Task A_storage_link_that_fills_up_in_the_middle_of_a_copy_a_backup_or_a_move_undoes_it()
    {
        await using var small = await LoopFileSystem.MountAsync("ext4", DataSize.FromMiB(160));
        await using var trial = await Trial.StartAsync(small.Directory);
        foreach (var verb in s_verbs)
        {
            var names = small.Names();
            Assert.Contains("No space left on device", await FailsInTheMiddleAsync(trial, small, verb), StringComparison.Ordinal);
            Assert.Equal([.. names, "filler"], small.Names());

            // A guest that wrote to the full file system may have been stopped for it; then that was told, and it only has to be resumed.
            await trial.ResumeAsync();
            await trial.AssertGoesOnAsync();

            // Full from the beginning, it is told before anything is made.
            Assert.Matches("[0-9]+ MiB", await trial.FailsAsync(await trial.BeginAsync(verb)));
            Assert.Equal([.. names, "filler"], small.Names());
            File.Delete(small.PathOf("filler"));
            await trial.SucceedsAsync(verb);
            await trial.AssertGoesOnAsync();
        }

        await trial.EndAsync();
    }

    [Fact]
    public async Task A_snapshot_on_a_full_storage_link_is_undone_and_one_that_fills_up_later_stops_the_guest_until_there_is_room()
    {
        await using var small = await LoopFileSystem.MountAsync("ext4", DataSize.FromMiB(96));
        await using var trial = await Trial.StartAsync(small.Directory);
        await Trial.FillAsync(small);
        Assert.Contains("0 MiB are free", await trial.RefusedAsync("snapshot"), StringComparison.Ordinal);
        Assert.Equal(["filler"], small.Names());
        await trial.AssertGoesOnAsync();

        File.Delete(small.PathOf("filler"));
        await trial.SucceedsAsync("snapshot");
        await Trial.FillAsync(small);
        await ServedMachines.EventuallyAsync(async () => await trial.Host.StatusAsync(trial.Vm) == "PAUSED", "the guest is stopped for want of space", 120);
        Assert.Contains("No space left on device; the guest stands still until it is resumed", trial.Host.Log, StringComparison.Ordinal);

        // Without room it stops again; with it nothing is lost.
        File.Delete(small.PathOf("filler"));
        await trial.ResumeAsync();
        await trial.AssertGoesOnAsync();
        await trial.EndAsync();
    }

    [Fact]
    public async Task A_disk_that_cannot_be_read_undoes_a_copy_a_backup_or_a_move()
    {
        var target = Directory.CreateTempSubdirectory("pengx-target-");
        try
        {
            await using var trial = await Trial.StartAsync(target.FullName, start: false);
            await using (var faulty = await FaultyFile.PutAsync(await trial.BootFileAsync()))
            {
                await trial.TurnOnAsync();
                foreach (var verb in s_verbs)
                {
                    var count = target.GetFileSystemInfos().Length;
                    faulty.ReadsFail(true);
                    Assert.Contains("Input/output error", await trial.FailsAsync(await trial.BeginAsync(verb)), StringComparison.Ordinal);
                    Assert.Equal(count, target.GetFileSystemInfos().Length);
                    await trial.AssertGoesOnAsync();
                    faulty.ReadsFail(false);
                }

                await trial.TurnOffAsync();
            }

            // On an ordinary file again: the one in its place tells a new time at each look, which a copy takes for a change.
            await trial.TurnOnAsync();
            foreach (var verb in s_verbs)
            {
                await trial.SucceedsAsync(verb);
                await trial.AssertGoesOnAsync();
            }

            await trial.EndAsync();
        }
        finally
        {
            target.Delete(recursive: true);
        }
    }

    [Fact]
    public async Task A_disk_that_cannot_be_written_is_told_to_the_guest_and_in_the_log_and_goes_on_when_it_can()
    {
        var target = Directory.CreateTempSubdirectory("pengx-target-");
        try
        {
            await using var trial = await Trial.StartAsync(target.FullName, start: false);
            await using (var faulty = await FaultyFile.PutAsync(await trial.CounterFileAsync()))
            {
                await trial.TurnOnAsync();
                faulty.WritesFail(true);
                await trial.Guests.PrintsAsync(trial.Vm, "PENGX-GUEST counter failed: ");
                await ServedMachines.EventuallyAsync(() => Task.FromResult(trial.Host.Log.Contains("failed to write: Input/output error; the guest was told", StringComparison.Ordinal)), $"it is in the log:\n{trial.Host.Log}");

                Assert.Equal("RUNNING", await trial.Host.StatusAsync(trial.Vm));
                faulty.WritesFail(false);
                await trial.TurnOffAsync();
                await trial.TurnOnAsync();
                await trial.AssertGoesOnAsync();
                await trial.TurnOffAsync();
            }

            await trial.TurnOnAsync();
            await trial.EndAsync();
        }
        finally
        {
            target.Delete(recursive: true);
        }
    }

    [Fact]
    public async Task A_tool_that_is_killed_in_the_middle_of_a_copy_or_a_backup_undoes_it()
    {
        var target = Directory.CreateTempSubdirectory("pengx-target-");
        try
        {
            await using var trial = await Trial.StartAsync(target.FullName);

            // Two layers of two formats are the tool's business.
            await trial.SucceedsAsync("snapshot");
            foreach (var verb in s_verbs.Where(verb => verb != "smigrate"))
            {
                var count = target.GetFileSystemInfos().Length;
                var operation = await trial.BeginAsync(verb);
                await trial.KillToolAsync("qemu-img", "convert");
                Assert.Contains("qemu-img", await trial.FailsAsync(operation), StringComparison.Ordinal);
                Assert.Equal(count, target.GetFileSystemInfos().Length);
                await trial.AssertGoesOnAsync();
                await trial.SucceedsAsync(verb);
                await trial.AssertGoesOnAsync();
            }

            await trial.EndAsync();
        }
        finally
        {
            target.Delete(recursive: true);
        }
    }

    /// <summary>Fills a file system in the middle of an operation. Where that comes right between two of its disks, no write is tried and none fails: then
    /// once more.</summary>
    /// <returns>What the operation says of its failure.</returns>
    private static async Task<string> FailsInTheMiddleAsync(Trial trial, LoopFileSystem fileSystem, string verb)
    {
        for (var attempt = 1; ; attempt++)
        {
            var operation = await trial.BeginAsync(verb);
            await trial.MovesAsync(operation);
            await Trial.FillAsync(fileSystem);
            var failure = await trial.FailsAsync(operation);
            if (attempt == 5 || !failure.Contains("has 0 MiB free", StringComparison.Ordinal))
            {
                return failure;
            }

            File.Delete(fileSystem.PathOf("filler"));
            await trial.ResumeAsync();
        }
    }
}

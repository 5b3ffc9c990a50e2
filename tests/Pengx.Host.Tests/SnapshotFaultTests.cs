using System.Net;
using Pengx.Storage.Tests;
using Pengx.Testing;

namespace Pengx.Host.Tests;

/// <summary>
/// Disks that are full or fail, and tools that die, in the middle of a snapshot's deletion and of going back to a snapshot or a backup. A
/// deletion that is under way goes forward: what hinders it is told, it is tried again by itself, and the guest keeps what it wrote meanwhile. What goes
/// back is undone.
/// </summary>
public sealed class SnapshotFaultTests
{
    private const string NoSpace = "No space left on device";
    /// <summary>Room for one new overlay, which asks for 320 KiB and takes 192, and for no second one.</summary>
    private const int OverlayRoom = 384 * 1024;

    private const string ReadError = "Input/output error";

    [Fact]
    public async Task A_merge_under_a_running_guest_is_told_when_the_lower_image_has_no_room_and_goes_on_when_there_is_some()
    {
        await using var small = await LoopFileSystem.MountAsync("ext4", DataSize.FromMiB(96));
        await using var trial = await Trial.StartAsync(small.Directory, start: false, onTarget: true, slowCopies: false);
        var merge = await PrepareDownAsync(trial);
        await using (var faulty = await FaultyFile.PutAsync(merge.Source))
        {
            await trial.TurnOnAsync();
            var names = small.Names();
            faulty.BeSlow(true);
            var operation = await trial.BeginAsync(HttpMethod.Delete, merge.Path);
            await trial.MovesAsync(operation);
            await Trial.FillAsync(small);
            faulty.BeSlow(false);
            await trial.IsTriedAgainAsync(operation, "merge", NoSpace);

            // It writes elsewhere, and does not notice.
            await trial.Guests.GoesOnAsync(trial.Vm);
            await trial.IsTriedAgainAsync(operation, "merge", NoSpace, attempt: 2);
            await trial.AssertNothingFoundAsync();
            Assert.Equal("RUNNING", await trial.Host.StatusAsync(trial.Vm));
            Assert.Equal([.. names, "filler"], small.Names());

            // A service that dies over it takes it up again.
            await trial.Host.KillAsync();
            File.Delete(small.PathOf("filler"));
            await trial.Host.StartAsync();
            await EndAsync(trial, faulty, operation);
        }

        await trial.AssertGoesOnAsync();
        await trial.TurnOffAsync();
        await AssertMergedAsync(trial, merge);
        await trial.EndAsync();
    }

    [Fact]
    public async Task A_merge_into_what_a_running_guest_writes_to_goes_on_with_the_guest_when_there_is_room()
    {
        await using var small = await LoopFileSystem.MountAsync("ext4", DataSize.FromMiB(64));
        await using var trial = await Trial.StartAsync(small.Directory, start: false, slowCopies: false);
        await trial.AddDiskAsync(32, onTarget: false);
        var merge = await PrepareUpAsync(trial, (0, 32, 0));
        await using (var faulty = await FaultyFile.PutAsync(merge.Source))
        {
            await trial.TurnOnAsync();
            var names = small.Names();
            faulty.BeSlow(true);
            var operation = await trial.BeginAsync(HttpMethod.Delete, merge.Path);
            await trial.MovesAsync(operation);
            await Trial.FillAsync(small);
            faulty.BeSlow(false);
            await trial.IsTriedAgainAsync(operation, "merge", NoSpace);
            await ServedMachines.EventuallyAsync(async () => await trial.Host.StatusAsync(trial.Vm) == "PAUSED", "the guest is stopped for want of space", 120);
            Assert.Contains("the deletion of snapshot", await trial.Host.RefusedAsync(HttpMethod.Post, $"/vms/{trial.Vm}/resume/", null, HttpStatusCode.BadRequest), StringComparison.Ordinal);
            Assert.Equal([.. names, "filler"], small.Names());

            File.Delete(small.PathOf("filler"));
            await EndAsync(trial, faulty, operation);
        }

        await trial.ResumeAsync();
        await trial.AssertGoesOnAsync();
        await trial.TurnOffAsync();
        await AssertMergedAsync(trial, merge);
        await trial.EndAsync();
    }

    [Fact]
    public async Task A_merge_of_a_stopped_machine_outlives_a_killed_tool_and_a_full_storage_link()
    {
        await using var small = await LoopFileSystem.MountAsync("ext4", DataSize.FromMiB(128));
        await using var trial = await Trial.StartAsync(small.Directory, onTarget: true, slowCopies: false);
        await trial.TurnOffAsync();
        var counter = await trial.CounterAsync();
        var down = await PrepareDownAsync(trial);
        await GoesThroughAsync("commit", down);
        await GoesThroughAsync("rebase", await PrepareUpAsync(trial, down.Held));
        await trial.TurnOnAsync();
        await trial.AssertGoesOnAsync();
        await trial.EndAsync();

        async Task GoesThroughAsync(string tool, Merge merge)
        {
            var names = small.Names();
            await using var faulty = await FaultyFile.PutAsync(merge.Source);
            faulty.BeSlow(true);
            var operation = await trial.BeginAsync(HttpMethod.Delete, merge.Path);
            await trial.MovesAsync(operation, DataSize.FromMiB(32));
            await trial.KillToolAsync("qemu-img", tool);
            await trial.IsTriedAgainAsync(operation, "merge", "qemu-img");
            await Trial.FillAsync(small);
            faulty.BeSlow(false);
            await trial.IsTriedAgainAsync(operation, "merge", NoSpace, attempt: 2);
            Assert.Equal([.. names, "filler"], small.Names());
            Assert.Equal(counter, await trial.CounterAsync());
            await trial.AssertNothingFoundAsync();
            Assert.Contains("the deletion of snapshot", await trial.Host.RefusedAsync(HttpMethod.Post, $"/vms/{trial.Vm}/start/", null, HttpStatusCode.BadRequest), StringComparison.Ordinal);

            File.Delete(small.PathOf("filler"));
            await EndAsync(trial, faulty, operation);
            await trial.AssertConsistentAsync();
            await AssertMergedAsync(trial, merge);
            await trial.StandsAtAsync(counter);
        }
    }

    [Fact]
    public async Task A_layer_that_cannot_be_read_refuses_its_merge_or_holds_it_up_until_it_can()
    {
        var target = Directory.CreateTempSubdirectory("pengx-target-");
        try
        {
            await using var trial = await Trial.StartAsync(target.FullName, start: false, onTarget: true, slowCopies: false);
            var merge = await PrepareDownAsync(trial);
            await using (var faulty = await FaultyFile.PutAsync(merge.Source))
            {
                await trial.TurnOnAsync();

                // From the beginning: nothing is hidden, nothing changes.
                faulty.ReadsFail(true);
                Assert.Contains(ReadError, await trial.FailsAsync(await trial.BeginAsync(HttpMethod.Delete, merge.Path)), StringComparison.Ordinal);
                Assert.True(await trial.Host.IsServedAsync(merge.Path));
                faulty.ReadsFail(false);
                await trial.AssertGoesOnAsync();

                faulty.BeSlow(true);
                var operation = await trial.BeginAsync(HttpMethod.Delete, merge.Path);
                await trial.MovesAsync(operation);
                faulty.ReadsFail(true);
                faulty.BeSlow(false);
                await trial.IsTriedAgainAsync(operation, "merge", ReadError);
                await trial.Guests.GoesOnAsync(trial.Vm);
                await trial.IsTriedAgainAsync(operation, "merge", ReadError, attempt: 2);
                Assert.Equal("RUNNING", await trial.Host.StatusAsync(trial.Vm));
                faulty.ReadsFail(false);
                await EndAsync(trial, faulty, operation);
            }

            await trial.AssertGoesOnAsync();
            await trial.TurnOffAsync();
            await AssertMergedAsync(trial, merge);
            await trial.EndAsync();
        }
        finally
        {
            target.Delete(recursive: true);
        }
    }

    [Fact]
    public async Task Going_back_to_a_snapshot_on_a_full_storage_link_is_undone_and_the_machine_keeps_what_it_has()
    {
        await using var small = await LoopFileSystem.MountAsync("ext4", DataSize.FromMiB(64));
        await using var trial = await Trial.StartAsync(small.Directory, slowCopies: false);
        var snapshot = await trial.TakeAsync(onTarget: true);
        var path = PathOf(trial, snapshot);
        var then = await trial.CounterAsync(DisksOf(trial, snapshot));
        await trial.AssertGoesOnAsync();
        await trial.TurnOffAsync();
        var now = await trial.CounterAsync();
        Assert.True(now > then);

        // Without any room, and with enough for one overlay and no second one.
        var names = small.Names();
        await Trial.FillAsync(small);
        foreach (var room in (int[])[0, OverlayRoom])
        {
            await LeaveAsync(small, room);
            Assert.Contains("has 0 MiB free", await trial.FailsAsync(await trial.BeginAsync(HttpMethod.Post, path)), StringComparison.Ordinal);
            Assert.Equal(room > 0, trial.Host.Log.Contains("vm.snapshot.restore Disk ", StringComparison.Ordinal));
            Assert.Equal([.. names, "filler"], small.Names());
            await trial.AssertConsistentAsync();
        }

        File.Delete(small.PathOf("filler"));
        await trial.StandsAtAsync(now);
        await trial.TurnOnAsync();
        await trial.AssertGoesOnAsync();
        await trial.TurnOffAsync();
        await trial.GoesThroughAsync(await trial.BeginAsync(HttpMethod.Post, path));
        await trial.StandsAtAsync(then);
        await trial.TurnOnAsync();
        await trial.AssertGoesOnAsync();
        await trial.EndAsync();
    }

    [Fact]
    public async Task A_restore_from_a_backup_that_runs_out_of_room_or_cannot_be_read_is_undone_and_the_machine_keeps_what_it_has()
    {
        await using var small = await LoopFileSystem.MountAsync("ext4", DataSize.FromMiB(160));
        await using var trial = await Trial.StartAsync(small.Directory, onTarget: true);
        var backup = await trial.BackUpAsync();
        var (path, images) = ($"/vms/{trial.Vm}/backups/{backup}/", $"/vms/{trial.Vm}/disks/backups/{backup}/");
        var then = await trial.CounterAsync(images);
        await trial.AssertGoesOnAsync();
        await trial.TurnOffAsync();
        var now = await trial.CounterAsync();
        Assert.True(now > then);

        var names = small.Names();
        Assert.Contains(NoSpace, await FailsAsync(() => Trial.FillAsync(small)), StringComparison.Ordinal);
        Assert.Matches("[0-9]+ MiB", await trial.FailsAsync(await trial.BeginAsync(HttpMethod.Post, path)));
        Assert.Equal([.. names, "filler"], small.Names());
        File.Delete(small.PathOf("filler"));

        Assert.Contains("qemu-img", await FailsAsync(() => trial.KillToolAsync("qemu-img", "convert")), StringComparison.Ordinal);
        await KeepsAsync();

        // While it is verified, and of the second disk when the first one is being copied.
        await using (var faulty = await FaultyFile.PutAsync(await trial.FileAsync(images, 1)))
        {
            faulty.ReadsFail(true);
            Assert.Contains(ReadError, await trial.FailsAsync(await trial.BeginAsync(HttpMethod.Post, path)), StringComparison.Ordinal);
            faulty.ReadsFail(false);
            await KeepsAsync();
            Assert.Contains(ReadError, await FailsAsync(() =>
            {
                faulty.ReadsFail(true);
                return faulty.ForgetAsync();
            }), StringComparison.Ordinal);
        }

        await KeepsAsync();
        await trial.TurnOnAsync();
        await trial.AssertGoesOnAsync();
        await trial.TurnOffAsync();
        await trial.GoesThroughAsync(await trial.BeginAsync(HttpMethod.Post, path));
        await trial.StandsAtAsync(then);
        await trial.TurnOnAsync();
        await trial.AssertGoesOnAsync();
        await trial.EndAsync();

        async Task<string> FailsAsync(Func<Task> disturb)
        {
            var operation = await trial.BeginAsync(HttpMethod.Post, path);
            await trial.MovesAsync(operation);
            await disturb();
            return await trial.FailsAsync(operation);
        }

        async Task KeepsAsync()
        {
            Assert.Equal(names, small.Names());
            await trial.AssertConsistentAsync();
            await trial.StandsAtAsync(now);
        }
    }

    /// <summary>A snapshot that goes down into an image on the second storage link, which a guest does not write to.</summary>
    private static async Task<Merge> PrepareDownAsync(Trial trial)
    {
        await trial.AddDiskAsync(32, onTarget: true);
        await trial.WriteAsync(16, 16, 1);
        var goes = await trial.TakeAsync(onTarget: false);
        await trial.WriteAsync(0, 12, 2);
        var stays = await trial.TakeAsync(onTarget: false);
        (int, int, byte)[] held = [(0, 12, 2), (12, 4, 0), (16, 16, 1)];
        return new(PathOf(trial, goes), await trial.FileAsync(DisksOf(trial, stays), 2), held, stays, held);
    }

    /// <summary>A snapshot that is pulled up into an image on the second storage link, where the guest's are, too.</summary>
    /// <param name="trial">A machine with a third disk.</param>
    /// <param name="before">What that disk holds, in MiB.</param>
    private static async Task<Merge> PrepareUpAsync(Trial trial, params (int At, int Count, byte Value)[] before)
    {
        var stays = await trial.TakeAsync(onTarget: false);
        await trial.WriteAsync(0, 12, 3);
        var goes = await trial.TakeAsync(onTarget: true);
        await trial.WriteAsync(16, 16, 4);
        return new(PathOf(trial, goes), await trial.FileAsync(DisksOf(trial, goes), 2), [(0, 12, 3), (12, 4, 0), (16, 16, 4)], stays, before);
    }

    /// <summary>Lets a stranger give some room back. What the file system keeps for itself is no room.</summary>
    private static async Task LeaveAsync(LoopFileSystem fileSystem, int room)
    {
        DriveInfo drive = new(fileSystem.Directory);
        await using var filler = File.OpenWrite(fileSystem.PathOf("filler"));
        while (drive.AvailableFreeSpace < room)
        {
            filler.SetLength(filler.Length - (64 * 1024));
        }
    }

    private static string PathOf(Trial trial, string snapshot) => $"/vms/{trial.Vm}/snapshots/{snapshot}/";

    private static string DisksOf(Trial trial, string snapshot) => $"/vms/{trial.Vm}/disks/snapshots/{snapshot}/";

    private static async Task EndAsync(Trial trial, FaultyFile faulty, string operation)
    {
        await trial.ReachesAsync(operation, "delete images");
        await faulty.GiveUpAsync();
        await trial.GoesThroughAsync(operation);
    }

    private static async Task AssertMergedAsync(Trial trial, Merge merge)
    {
        Assert.False(await trial.Host.IsServedAsync(merge.Path));
        await trial.AssertHoldsAsync($"/vms/{trial.Vm}/disks/", merge.Held);
        await trial.AssertHoldsAsync(DisksOf(trial, merge.Stays), merge.HeldThere);
    }

    /// <summary>A snapshot whose deletion merges much of the third disk.</summary>
    /// <param name="Path">What is deleted.</param>
    /// <param name="Source">The image that is moved, and goes.</param>
    /// <param name="Held">What the third disk holds, in MiB.</param>
    /// <param name="Stays">The other snapshot.</param>
    /// <param name="HeldThere">What its third disk holds.</param>
    private sealed record Merge(string Path, string Source, (int At, int Count, byte Value)[] Held, string Stays, (int At, int Count, byte Value)[] HeldThere);
}

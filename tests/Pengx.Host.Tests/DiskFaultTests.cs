using System.Diagnostics;
using System.Net;
using System.Xml.Linq;
using Pengx.Storage.Tests;
using Pengx.Testing;

namespace Pengx.Host.Tests;

/// <summary>Disks that are full or fail, and tools that die, in the middle of what is done to a guest that counts: a clear error,
/// nothing half made, nothing lost, and the same works when the trouble is over.</summary>
public sealed class DiskFaultTests
{
    private static readonly string[] s_verbs = ["copy", "backup", "smigrate"];

    private static CancellationToken Token => TestContext.Current.CancellationToken;

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
        await FillAsync(small);
        Assert.Contains("0 MiB are free", await trial.RefusedAsync("snapshot"), StringComparison.Ordinal);
        Assert.Equal(["filler"], small.Names());
        await trial.AssertGoesOnAsync();

        File.Delete(small.PathOf("filler"));
        await trial.SucceedsAsync("snapshot");
        await FillAsync(small);
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
                await KillToolAsync(trial.Host, "qemu-img", "convert");
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
            await FillAsync(fileSystem);
            var failure = await trial.FailsAsync(operation);
            if (attempt == 5 || !failure.Contains("has 0 MiB free", StringComparison.Ordinal))
            {
                return failure;
            }

            File.Delete(fileSystem.PathOf("filler"));
            await trial.ResumeAsync();
        }
    }

    /// <summary>A stranger takes all the room that there is; that it wanted more is its own failure.</summary>
    private static async Task FillAsync(LoopFileSystem fileSystem) =>
        await new ProcessRunner().RunAsync(new() { FileName = "fallocate", Arguments = ["-l", $"{DataSize.FromMiB(200).Bytes}", fileSystem.PathOf("filler")] }, Token);

    /// <summary>Kills a tool that the service has started, as soon as there is one.</summary>
    private static Task KillToolAsync(HostProcess host, string program, string verb) => ServedMachines.EventuallyAsync(
        async () =>
        {
            foreach (var entry in Directory.GetDirectories("/proc").Where(entry => int.TryParse(Path.GetFileName(entry), out _)))
            {
                try
                {
                    var words = (await File.ReadAllTextAsync(Path.Combine(entry, "cmdline"), Token)).Split('\0');
                    if (words.Length > 1 && Path.GetFileName(words[0]) == program && words.Contains(verb)
                        && (await File.ReadAllTextAsync(Path.Combine(entry, "stat"), Token)).Split(") ")[^1].Split(' ')[1] == $"{host.ProcessId}")
                    {
                        using var process = Process.GetProcessById(int.Parse(Path.GetFileName(entry), System.Globalization.CultureInfo.InvariantCulture));
                        process.Kill();
                        return true;
                    }
                }
                catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or ArgumentException)
                {
                    // It ended while we looked.
                }
            }

            return false;
        },
        $"the service runs {program} {verb}");

    /// <summary>A guest that counts, and a second storage link.</summary>
    private sealed class Trial : IAsyncDisposable
    {
        private readonly string _target;
        private readonly string _directory;
        private int _made;
        private int _process;
        private long _least;

        private Trial(RealGuests guests, string vm, string target, string directory)
        {
            Guests = guests;
            Vm = vm;
            _target = target;
            _directory = directory;
        }

        public RealGuests Guests { get; }

        public string Vm { get; }

        public HostProcess Host => Guests.Host;

        public static async Task<Trial> StartAsync(string directory, bool start = true)
        {
            var guests = await RealGuests.StartAsync("--Pengx:Limits:CopyMiBPerSecond=10");
            try
            {
                var target = await guests.Host.AddStorlinkAsync(directory, "target");
                Trial trial = new(guests, await guests.AddAsync("counts"), target, directory);
                if (start)
                {
                    await trial.TurnOnAsync();
                }

                return trial;
            }
            catch
            {
                await guests.DisposeAsync();
                throw;
            }
        }

        public Task<string> BootFileAsync() => FileAsync(0);

        public Task<string> CounterFileAsync() => FileAsync(1);

        public async Task TurnOnAsync()
        {
            await Host.ChangeAsync(HttpMethod.Post, $"/vms/{Vm}/start/", null, HttpStatusCode.OK);
            _process = Assert.Single(Host.GuestProcesses());
            await Guests.PrintsAsync(Vm, $"PENGX-GUEST flushed {_least + 1}");
        }

        /// <summary>Cuts the power; what was flushed is there.</summary>
        public async Task TurnOffAsync()
        {
            await Host.ChangeAsync(HttpMethod.Post, $"/vms/{Vm}/poweroff/", null, HttpStatusCode.OK);
            var flushed = Math.Max(_least, RealGuests.LastFlushed(Guests.Serial(Vm)));
            _least = await CounterAsync($"/vms/{Vm}/disks/");
            Assert.True(_least >= flushed && _least <= flushed + 2, $"The guest had flushed {flushed}, its disk holds {_least}.");
        }

        public async Task<string> BeginAsync(string verb)
        {
            var (path, xml) = Request(verb);
            var (status, body, response) = await Host.SendAsync(HttpMethod.Post, path, xml, ("Prefer", "respond-async"));
            Assert.True(status == HttpStatusCode.Accepted, body);
            return response.Headers.Location!.OriginalString;
        }

        /// <returns>Why it is refused.</returns>
        public Task<string> RefusedAsync(string verb)
        {
            var (path, xml) = Request(verb);
            return Host.RefusedAsync(HttpMethod.Post, path, xml, HttpStatusCode.BadRequest);
        }

        private (string Path, string Xml) Request(string verb)
        {
            var (path, xml) = verb switch
            {
                "snapshot" => ("snapshots", $"<snapshot><name>s{++_made}</name><storlink>{_target}</storlink></snapshot>"),
                "backup" => ("backups", $"<vm><backup_name>b{++_made}</backup_name><storlink>{_target}</storlink></vm>"),
                _ => (verb, $"<vm><name>c{++_made}</name><storlink>{_target}</storlink></vm>"),
            };
            return ($"/vms/{Vm}/{path}/", xml);
        }

        /// <summary>Waits until bytes are moved.</summary>
        public Task MovesAsync(string operation) => ServedMachines.EventuallyAsync(
            async () =>
            {
                var seen = await Host.GetXmlAsync(operation);
                Assert.True(IsUnfinished(seen), $"It ended before it was seen at work: {seen}\n{Host.Log}");
                return seen.Element("step")!.Value is "copy disks" or "move disks" && seen.Element("bytes_done")!.Value is not ("" or "0");
            },
            "bytes are moved");

        public async Task<string> FailsAsync(string operation)
        {
            var seen = await EndsAsync(operation);
            var message = seen.Element("message")!.Value;
            Assert.True(seen.Element("state")!.Value == "FAILED", $"{seen}\n{Host.Log}");
            Assert.DoesNotContain("Needs attention", message, StringComparison.Ordinal);
            return message;
        }

        /// <summary>The same again, and what it made shows a moment between its beginning and its end.</summary>
        public async Task SucceedsAsync(string verb)
        {
            var from = RealGuests.LastFlushed(Guests.Serial(Vm));
            var seen = await EndsAsync(await BeginAsync(verb));
            Assert.True(seen.Element("state")!.Value == "SUCCEEDED", $"{seen}\n{Host.Log}");
            var to = RealGuests.LastFlushed(Guests.Serial(Vm)) + 2;
            var disks = verb switch
            {
                "copy" => $"/vms/{(await Host.GetXmlAsync("/vms/")).Elements("vm").Single(vm => vm.Attribute("id")!.Value != Vm).Attribute("id")!.Value}/disks/",
                "backup" => $"/vms/{Vm}/disks/backups/{(await Host.GetXmlAsync($"/vms/{Vm}/backups/")).Elements().Single().Attribute("id")!.Value}/",
                "snapshot" => $"/vms/{Vm}/disks/snapshots/{(await Host.GetXmlAsync($"/vms/{Vm}/snapshots/")).Elements().Single().Attribute("id")!.Value}/",
                _ => null,
            };
            if (disks is not null)
            {
                Assert.InRange(await CounterAsync(disks), from, to);
            }
        }

        /// <summary>Lets a guest go on that its disk's failure stopped; one that was not stopped is left alone.</summary>
        public async Task ResumeAsync()
        {
            if (await Host.StatusAsync(Vm) == "PAUSED")
            {
                Assert.Contains("the guest stands still until it is resumed", Host.Log, StringComparison.Ordinal);
                await Host.ChangeAsync(HttpMethod.Post, $"/vms/{Vm}/resume/", null, HttpStatusCode.OK);
            }
        }

        /// <summary>The same process counts on, on what the rows say, and nothing is left of what failed.</summary>
        public async Task AssertGoesOnAsync()
        {
            await Guests.GoesOnAsync(Vm);
            Assert.Equal([_process], Host.GuestProcesses());
            var found = (await Host.GetXmlAsync("/consistency/")).Elements().ToList();
            Assert.True(found.Count == 0, $"{string.Join('\n', found)}\n{Host.Log}");
            Assert.DoesNotContain((await Host.GetXmlAsync("/operations/")).Elements(), IsUnfinished);
        }

        /// <summary>Cuts the power once more, and lets all go.</summary>
        public async Task EndAsync()
        {
            await TurnOffAsync();
            foreach (var path in (string[])[$"/vms/{Vm}/backups/", $"/vms/{Vm}/snapshots/"])
            {
                foreach (var one in (await Host.GetXmlAsync(path)).Elements())
                {
                    await Host.ChangeAsync(HttpMethod.Delete, $"{path}{one.Attribute("id")!.Value}/", null, HttpStatusCode.NoContent);
                }
            }

            foreach (var vm in (await Host.GetXmlAsync("/vms/")).Elements("vm"))
            {
                await Host.ChangeAsync(HttpMethod.Delete, $"/vms/{vm.Attribute("id")!.Value}/", null, HttpStatusCode.NoContent);
            }

            Assert.DoesNotContain(Directory.GetFileSystemEntries(_directory), path => !path.EndsWith("lost+found", StringComparison.Ordinal));
            await Guests.AssertWholeAsync();
        }

        public ValueTask DisposeAsync() => Guests.DisposeAsync();

        private static bool IsUnfinished(XElement operation) => operation.Element("state")!.Value is "PENDING" or "RUNNING";

        private async Task<XElement> EndsAsync(string operation)
        {
            XElement seen = new("none");
            await ServedMachines.EventuallyAsync(async () => !IsUnfinished(seen = await Host.GetXmlAsync(operation)), "the operation ends", 120);
            return seen;
        }

        private async Task<string> FileAsync(int order) => PathOf((await Host.GetXmlAsync($"/vms/{Vm}/disks/")).Elements("disk").ElementAt(order));

        private string PathOf(XElement disk) => ShownDisks.PathOf(disk, Guests.Store, _directory);

        private async Task<long> CounterAsync(string disks) =>
            await ShownDisks.CounterAsync((await Host.GetXmlAsync(disks)).Elements("disk").ElementAt(1), Guests.Store, _directory);
    }
}

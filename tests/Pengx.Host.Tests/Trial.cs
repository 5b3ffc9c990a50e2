using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Xml.Linq;
using Pengx.Storage.Tests;
using Pengx.Testing;

namespace Pengx.Host.Tests;

/// <summary>A guest that counts, and a second storage link.</summary>
internal sealed class Trial : IAsyncDisposable
{
    private readonly string _target;
    private readonly string _directory;
    private int _made;
    private int? _process;
    private long _least;

    private static CancellationToken Token => TestContext.Current.CancellationToken;

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

    /// <param name="directory">What the second storage link shows.</param>
    /// <param name="start">Whether the guest is started.</param>
    /// <param name="onTarget">Whether the machine's disks lie on the second storage link.</param>
    /// <param name="slowCopies">Whether disks are copied slowly enough for something to happen in the middle.</param>
    public static async Task<Trial> StartAsync(string directory, bool start = true, bool onTarget = false, bool slowCopies = true)
    {
        var guests = await RealGuests.StartAsync(slowCopies ? ["--Pengx:Limits:CopyMiBPerSecond=10"] : []);
        try
        {
            var target = await guests.Host.AddStorlinkAsync(directory, "target");
            Trial trial = new(guests, await guests.AddAsync("counts", storlink: onTarget ? target : null), target, directory);
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

    /// <summary>A stranger takes all the room that there is; that it wanted more is its own failure.</summary>
    public static async Task FillAsync(LoopFileSystem fileSystem) =>
        await new ProcessRunner().RunAsync(new() { FileName = "fallocate", Arguments = ["-l", $"{DataSize.FromMiB(200).Bytes}", fileSystem.PathOf("filler")] }, Token);

    /// <summary>Kills a tool that the service has started, as soon as there is one.</summary>
    public Task KillToolAsync(string program, string verb) => ServedMachines.EventuallyAsync(
        async () =>
        {
            foreach (var entry in Directory.GetDirectories("/proc").Where(entry => int.TryParse(Path.GetFileName(entry), out _)))
            {
                try
                {
                    var words = (await File.ReadAllTextAsync(Path.Combine(entry, "cmdline"), Token)).Split('\0');
                    if (words.Length > 1 && Path.GetFileName(words[0]) == program && words.Contains(verb)
                        && (await File.ReadAllTextAsync(Path.Combine(entry, "stat"), Token)).Split(") ")[^1].Split(' ')[1] == $"{Host.ProcessId}")
                    {
                        using var process = Process.GetProcessById(int.Parse(Path.GetFileName(entry), CultureInfo.InvariantCulture));
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

    public Task<string> BootFileAsync() => FileAsync($"/vms/{Vm}/disks/", 0);

    public Task<string> CounterFileAsync() => FileAsync($"/vms/{Vm}/disks/", 1);

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
        _process = null;
    }

    public Task<string> BeginAsync(string verb)
    {
        var (path, xml) = Request(verb);
        return BeginAsync(HttpMethod.Post, path, xml);
    }

    public async Task<string> BeginAsync(HttpMethod method, string path, string? xml = null)
    {
        var (status, body, response) = await Host.SendAsync(method, path, xml, ("Prefer", "respond-async"));
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

    /// <summary>Waits until bytes are moved, of a disk of a size where one is given.</summary>
    public Task MovesAsync(string operation, DataSize? size = null) => ServedMachines.EventuallyAsync(
        async () =>
        {
            var seen = await Host.GetXmlAsync(operation);
            Assert.True(IsUnfinished(seen), $"It ended before it was seen at work: {seen}\n{Host.Log}");
            return seen.Element("step")!.Value is "copy disks" or "move disks" or "merge" && seen.Element("bytes_done")!.Value is not ("" or "0")
                && (size is null || seen.Element("bytes_total")!.Value == $"{size.Value.Bytes}");
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

    /// <summary>Waits until a step that has to be seen through has failed and is to be tried again.</summary>
    /// <param name="operation">The operation.</param>
    /// <param name="step">The step.</param>
    /// <param name="words">What is told of the failure.</param>
    /// <param name="attempt">How often it has failed by then.</param>
    public Task IsTriedAgainAsync(string operation, string step, string words, int attempt = 1)
    {
        var told = $"Operation {IdOf(operation)}: step '{step}' failed at attempt {attempt.ToString(CultureInfo.InvariantCulture)}, it is tried again";
        return ServedMachines.EventuallyAsync(
            async () =>
            {
                var seen = await Host.GetXmlAsync(operation);
                var log = Host.Log;
                Assert.True(IsUnfinished(seen), $"{seen}\n{log}");
                if (log.Split('\n').FirstOrDefault(line => line.Contains(told, StringComparison.Ordinal)) is not { } line)
                {
                    return false;
                }

                Assert.Contains(words, line, StringComparison.Ordinal);
                return true;
            },
            $"step '{step}' fails: {words}");
    }

    /// <summary>Waits until an operation is at a step, or has ended.</summary>
    public Task ReachesAsync(string operation, string step) => ServedMachines.EventuallyAsync(
        async () => await Host.GetXmlAsync(operation) is var seen && (!IsUnfinished(seen) || seen.Element("step")!.Value == step), $"step '{step}' is reached");

    public async Task GoesThroughAsync(string operation)
    {
        var seen = await EndsAsync(operation);
        Assert.True(seen.Element("state")!.Value == "SUCCEEDED", $"{seen}\n{Host.Log}");
    }

    /// <summary>The same again, and what it made shows a moment between its beginning and its end.</summary>
    public async Task SucceedsAsync(string verb)
    {
        var from = RealGuests.LastFlushed(Guests.Serial(Vm));
        await GoesThroughAsync(await BeginAsync(verb));
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

    /// <summary>Gives the machine, which is off, a third disk that its guest leaves alone.</summary>
    public Task AddDiskAsync(int size, bool onTarget) => Host.ChangeAsync(
        HttpMethod.Post, $"/vms/{Vm}/disks/", $"<disk><size>{size}</size><storlink>{(onTarget ? _target : Guests.Storlink)}</storlink></disk>", HttpStatusCode.Created);

    /// <summary>Fills MiB of the third disk of the machine, which is off.</summary>
    public async Task WriteAsync(int at, int count, byte value)
    {
        var disk = (await Host.GetXmlAsync($"/vms/{Vm}/disks/")).Elements("disk").ElementAt(2);
        await RunAsync("qemu-io", "-f", disk.Element("format")!.Value, "-c", $"write -P {value} {at}M {count}M", PathOf(disk));
    }

    /// <summary>Demands what the third disk of a list holds, in MiB.</summary>
    public async Task AssertHoldsAsync(string disks, params (int At, int Count, byte Value)[] held)
    {
        var disk = (await Host.GetXmlAsync(disks)).Elements("disk").ElementAt(2);
        await RunAsync("qemu-io", ["-r", "-U", "-f", disk.Element("format")!.Value, .. held.SelectMany(part => (string[])["-c", $"read -P {part.Value} {part.At}M {part.Count}M"]), PathOf(disk)]);
    }

    /// <summary>Takes a snapshot.</summary>
    /// <returns>Its id.</returns>
    public async Task<string> TakeAsync(bool onTarget) => IdOf(await Host.ChangeAsync(
        HttpMethod.Post,
        $"/vms/{Vm}/snapshots/",
        $"<snapshot><name>s{++_made}</name><storlink>{(onTarget ? _target : Guests.Storlink)}</storlink></snapshot>",
        HttpStatusCode.Created));

    /// <summary>Backs the machine up to the first storage link.</summary>
    /// <returns>Its id.</returns>
    public async Task<string> BackUpAsync() => IdOf(await Host.ChangeAsync(
        HttpMethod.Post, $"/vms/{Vm}/backups/", $"<vm><backup_name>b{++_made}</backup_name><storlink>{Guests.Storlink}</storlink></vm>", HttpStatusCode.OK));

    /// <summary>The file of a disk of a list.</summary>
    public async Task<string> FileAsync(string disks, int order) => PathOf((await Host.GetXmlAsync(disks)).Elements("disk").ElementAt(order));

    /// <summary>The newest record on the second disk of a list.</summary>
    public async Task<long> CounterAsync(string disks) =>
        await ShownDisks.CounterAsync((await Host.GetXmlAsync(disks)).Elements("disk").ElementAt(1), Guests.Store, _directory);

    /// <summary>The newest record on the disks of the machine, which is off.</summary>
    public Task<long> CounterAsync() => CounterAsync($"/vms/{Vm}/disks/");

    /// <summary>From now on the machine, which is off, stands at another moment: its disks must hold just that, and what it counts begins there.</summary>
    public async Task StandsAtAsync(long counter)
    {
        Assert.Equal(counter, await CounterAsync());
        _least = counter;
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
        Assert.Equal([_process!.Value], Host.GuestProcesses());
        await AssertConsistentAsync();
    }

    /// <summary>The images are those of the rows, and nothing is left of what failed.</summary>
    public async Task AssertConsistentAsync()
    {
        await AssertNothingFoundAsync();
        Assert.DoesNotContain((await Host.GetXmlAsync("/operations/")).Elements(), IsUnfinished);
    }

    /// <summary>The images are those of the rows, but for what is being worked on.</summary>
    public async Task AssertNothingFoundAsync()
    {
        var found = (await Host.GetXmlAsync("/consistency/")).Elements().ToList();
        Assert.True(found.Count == 0, $"{string.Join('\n', found)}\n{Host.Log}");
    }

    /// <summary>Cuts the power once more, and lets all go.</summary>
    public async Task EndAsync()
    {
        if (_process is not null)
        {
            await TurnOffAsync();
        }

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

    private static async Task RunAsync(string program, params string[] arguments)
    {
        var result = (await new ProcessRunner().RunAsync(new() { FileName = program, Arguments = arguments }, Token)).EnsureSuccess();
        Assert.DoesNotContain("failed", result.Output, StringComparison.OrdinalIgnoreCase);
    }

    private static string IdOf(string location) => location.Trim('/').Split('/')[^1];

    private string PathOf(XElement disk) => ShownDisks.PathOf(disk, Guests.Store, _directory);
}

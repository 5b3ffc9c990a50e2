using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Security.Cryptography;
using System.Text.Json;
using System.Xml.Linq;
using Pengx.Testing;

namespace Pengx.Host.Tests;

/// <summary>What happens in the middle of an operation.</summary>
internal enum Disturbance
{
    None,
    Cancelled,
    ServiceKilled,
    GuestKilled,
    BothKilled,
}

/// <summary>
/// A machine on a real service whose guest counts all the time, and a model beside it of what each disk must hold. Whatever is done to
/// the machine is done here, and is at once held against the model: the guest's own numbers, the images of snapshots, copies and
/// backups, the tree of snapshots, the files on the storage links, the locks and the service's own check.
/// </summary>
internal sealed class JudgedGuest
{
    private const string FlushedMark = "PENGX-GUEST flushed ";
    private const string ResumesMark = "PENGX-GUEST counter resumes at ";

    private readonly RealGuests _guests;
    private readonly Dictionary<string, Node> _snapshots = [];
    private readonly Dictionary<string, Kept> _copies = [];
    private readonly Dictionary<string, Kept> _backups = [];
    private readonly (string Id, string Directory)[] _places;
    private readonly (string Id, string Directory) _vault;
    private readonly Dictionary<string, int> _done;
    private readonly List<string> _told = [];
    private int _made;
    private string? _stands;

    /// <summary>The newest number that the machine's disk holds for certain; exactly that while the guest is off.</summary>
    private long _held;

    /// <summary>What it held when the guest was started.</summary>
    private long _started;

    /// <summary>Whether it went on then with the memory that was kept with that, and did not boot.</summary>
    private bool _goesOn;

    private bool _isOn;
    private bool _isPaused;
    private bool _isKilled;

    private JudgedGuest(RealGuests guests, string vm, (string Id, string Directory)[] places, (string Id, string Directory) vault, Dictionary<string, int> done)
    {
        _guests = guests;
        Vm = vm;
        _places = places;
        _vault = vault;
        _done = done;
    }

    public string Vm { get; }

    public bool IsPaused => _isPaused;

    /// <summary>What was done in this sequence.</summary>
    public IReadOnlyList<string> Told => _told;

    public Random Random { get; private set; } = new(0);

    /// <summary>The snapshots that users see.</summary>
    public IReadOnlyList<string> Snapshots => [.. _snapshots.Where(one => !one.Value.Hidden).Select(one => one.Key).Order(StringComparer.Ordinal)];

    /// <summary>Those that the guest's memory was kept with.</summary>
    public IReadOnlyList<string> Memories => [.. Snapshots.Where(name => _snapshots[name].Memory)];

    public IReadOnlyList<string> Copies => [.. _copies.Keys.Order(StringComparer.Ordinal)];

    public IReadOnlyList<string> Backups => [.. _backups.Keys.Order(StringComparer.Ordinal)];

    private HostProcess Host => _guests.Host;

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    /// <summary>Makes the machine and starts it.</summary>
    /// <param name="guests">The service.</param>
    /// <param name="target">A directory that becomes a second storage link.</param>
    /// <param name="vault">A directory that becomes a storage link for backups.</param>
    /// <param name="format">The format of the machine's disks.</param>
    /// <param name="done">Counts what is done.</param>
    public static async Task<JudgedGuest> StartAsync(RealGuests guests, string target, string vault, string format, Dictionary<string, int> done)
    {
        var second = await guests.Host.AddStorlinkAsync(target, "target");
        var backups = await guests.Host.AddStorlinkAsync(vault, "vault");
        var vm = await guests.AddAsync("judge", format: format);
        JudgedGuest guest = new(guests, vm, [(guests.Storlink, guests.Store), (second, target)], (backups, vault), done);
        await guest.TurnOnAsync(Disturbance.None);
        return guest;
    }

    /// <summary>A new sequence begins.</summary>
    public void Begin(int seed)
    {
        Random = new Random(seed);
        _told.Clear();
    }

    /// <summary>Takes a snapshot.</summary>
    /// <param name="disturbance">What happens meanwhile.</param>
    /// <param name="memory">Whether with the guest's memory; null: one in three of those that run.</param>
    public async Task SnapshotAsync(Disturbance disturbance, bool? memory = null)
    {
        var name = Name("s");
        var (here, elsewhere) = await PlacesAsync();
        var from = Floor();
        var withMemory = (memory ?? Random.Next(3) == 0) && _isOn && !_isPaused;
        var outcome = await ActAsync(
            withMemory ? "snapshot with memory" : "snapshot",
            disturbance,
            withMemory ? 1000 : 500,
            HttpMethod.Post,
            $"/vms/{Vm}/snapshots/",
            $"<snapshot><name>{name}</name><storlink>{(Random.Next(4) == 0 ? elsewhere : here).Id}</storlink>{(withMemory ? "<memory>true</memory>" : "")}</snapshot>");
        if (outcome.Succeeded)
        {
            _snapshots[name] = new Node(_stands, new(from, Ceiling())) { Memory = withMemory };
            _stands = name;
        }

        await SettleAsync();
    }

    public async Task DeleteSnapshotAsync(string name, Disturbance disturbance)
    {
        var outcome = await ActAsync("delete snapshot", disturbance, 700, HttpMethod.Delete, $"/vms/{Vm}/snapshots/{await SnapshotIdAsync(name)}/", null);
        if (outcome.Succeeded)
        {
            Drop(name);
        }

        await SettleAsync();
    }

    public async Task CopyAsync(Disturbance disturbance)
    {
        var name = Name("c");
        var from = Floor();
        var outcome = await ActAsync("copy", disturbance, 1200, HttpMethod.Post, $"/vms/{Vm}/copy/", $"<vm><name>{name}</name><storlink>{_places[Random.Next(2)].Id}</storlink></vm>");
        if (outcome.Succeeded)
        {
            _copies[name] = new(await IdAsync("/vms/", "vm", name), new(from, Ceiling()));
        }

        await KeepAsync(outcome, from);
        await SettleAsync();
    }

    public async Task BackUpAsync(Disturbance disturbance)
    {
        var name = Name("b");
        var from = Floor();
        var type = Random.Next(2) == 0 ? "full" : "incremental";
        var outcome = await ActAsync($"{type} backup", disturbance, 1500, HttpMethod.Post, $"/vms/{Vm}/backups/", $"<vm><backup_name>{name}</backup_name><storlink>{_vault.Id}</storlink><type>{type}</type></vm>");
        if (outcome.Succeeded)
        {
            var made = (await Host.GetXmlAsync($"/vms/{Vm}/backups/")).Elements("vmbackup").Single(one => one.Element("name")!.Value == name);
            var parent = made.Element("parent")?.Value;
            Assert.True(type == "incremental" || parent is null, $"A full backup lies on {parent}.");
            Count(parent is null ? "backup complete in itself" : "backup upon another");
            _backups[name] = new(made.Attribute("id")!.Value, new(from, Ceiling())) { Parent = parent };
        }

        await KeepAsync(outcome, from);
        await SettleAsync();
    }

    /// <summary>Moves the disks to the other storage link; the snapshots go.</summary>
    public async Task MoveAsync(Disturbance disturbance)
    {
        var (_, target) = await PlacesAsync();
        var outcome = await ActAsync("smigrate", disturbance, 1500, HttpMethod.Post, $"/vms/{Vm}/smigrate/", $"<vm><storlink>{target.Id}</storlink></vm>");
        if (!outcome.Succeeded && outcome.Message.Contains("migrate again to move the rest", StringComparison.Ordinal))
        {
            // Some of it is there for good. That is said, and the way out is, too.
            Count("smigrate half undone");
            await ReviveAsync();
            outcome = await ActAsync("smigrate", Disturbance.None, 0, HttpMethod.Post, $"/vms/{Vm}/smigrate/", $"<vm><storlink>{target.Id}</storlink></vm>");
        }

        // It may also have ended too late to be undone: the disks are there, and had no snapshots.
        var isThere = outcome.Message.Contains("nothing is left to move", StringComparison.Ordinal);
        if (isThere)
        {
            Count("smigrate done before its end");
        }

        if (outcome.Succeeded || isThere)
        {
            _snapshots.Clear();
            _stands = null;
        }

        await SettleAsync();
    }

    /// <summary>Where the boot disk is written to, and the other place. Snapshots lie where they were made, and their merges, restores and
    /// backups take a disk to where one of its layers lay.</summary>
    private async Task<((string Id, string Directory) Here, (string Id, string Directory) Elsewhere)> PlacesAsync()
    {
        var boot = (await Host.GetXmlAsync($"/vms/{Vm}/disks/")).Elements("disk").First().Element("storlink")!.Value;
        return _places[0].Id == boot ? (_places[0], _places[1]) : (_places[1], _places[0]);
    }

    public async Task PauseAsync(Disturbance disturbance)
    {
        Demand(await ActAsync("pause", disturbance, 100, HttpMethod.Post, $"/vms/{Vm}/suspend/", null));
        Assert.Equal("PAUSED", await Host.StatusAsync(Vm));
        _isPaused = true;
        await SettleAsync();
    }

    public async Task ResumeAsync(Disturbance disturbance)
    {
        Demand(await ActAsync("resume", disturbance, 100, HttpMethod.Post, $"/vms/{Vm}/resume/", null));
        _isPaused = false;
        await SettleAsync();
    }

    public async Task TurnOffAsync(Disturbance disturbance)
    {
        Demand(await ActAsync("poweroff", disturbance, 200, HttpMethod.Post, $"/vms/{Vm}/poweroff/", null));
        Assert.Equal("SHUTDOWN", await Host.StatusAsync(Vm));
        Assert.Empty(Host.GuestProcesses());
        await ReadWhatIsLeftAsync();
        await SettleAsync();
    }

    public async Task TurnOnAsync(Disturbance disturbance)
    {
        Demand(await ActAsync("start", disturbance, 700, HttpMethod.Post, $"/vms/{Vm}/start/", null));
        await IsOnAsync();
    }

    public async Task RestoreAsync(string name, Disturbance disturbance)
    {
        Demand(await ActAsync("restore snapshot", disturbance, 300, HttpMethod.Post, $"/vms/{Vm}/snapshots/{await SnapshotIdAsync(name)}/", null));
        StandOn(name);
        _held = _snapshots[name].Holds.Exactly;
        Assert.Equal(_held, await CounterAsync($"/vms/{Vm}/disks/"));
        await SettleAsync();
    }

    public async Task StartWithAsync(string name, Disturbance disturbance)
    {
        var (before, left) = (_held, _stands!);
        Demand(await ActAsync("start with snapshot", disturbance, 700, HttpMethod.Post, $"/vms/{Vm}/start/snapshots/{await SnapshotIdAsync(name)}/", null));
        if (await NewNameAsync() is { } kept)
        {
            _snapshots[kept] = new Node(left, new(before, before));
            _stands = name;
        }
        else
        {
            // Nothing is kept only where nothing would be lost.
            Assert.Equal(_snapshots[left].Holds.Exactly, before);
            StandOn(name);
        }

        _held = _snapshots[name].Holds.Exactly;
        await IsOnAsync(goesOn: _snapshots[name].Memory);
    }

    public async Task RestoreBackupAsync(string name, Disturbance disturbance)
    {
        Demand(await ActAsync("restore backup", disturbance, 900, HttpMethod.Post, $"/vms/{Vm}/backups/{_backups[name].Id}/", null));
        _held = _backups[name].Holds.Exactly;
        Assert.Equal(_held, await CounterAsync($"/vms/{Vm}/disks/"));
        await SettleAsync();
    }

    /// <summary>The machine's process ends as in a crash, while nothing is done to it.</summary>
    public async Task KillGuestAsync()
    {
        Tell("QEMU killed");
        await KillProcessAsync();
        await SettleAsync();
    }

    /// <summary>The service ends as in a crash, while it does nothing.</summary>
    public async Task KillServiceAsync()
    {
        Tell("service killed");
        await Host.KillAsync();
        await Host.StartAsync();
        await SettleAsync();
    }

    /// <summary>Everything that was kept is looked at once more: not one number more or less than at first. Then it all goes, and nothing
    /// is left of it.</summary>
    public async Task EndAsync()
    {
        await ReadKeptAsync(all: true);
        List<(string Kind, string Name)> left = [.. Snapshots.Select(name => ("snapshot", name)), .. Copies.Select(name => ("copy", name)), .. Backups.Select(name => ("backup", name))];
        var order = left.ToArray();
        Random.Shuffle(order);
        foreach (var (kind, name) in order)
        {
            switch (kind)
            {
                case "snapshot":
                    await DeleteSnapshotAsync(name, Disturbance.None);
                    break;
                case "copy":
                    Demand(await ActAsync("delete copy", Disturbance.None, 0, HttpMethod.Delete, $"/vms/{_copies[name].Id}/", null));
                    _copies.Remove(name);
                    break;
                default:
                    await DeleteBackupAsync(name);
                    break;
            }
        }

        while (_backups.Count > 0)
        {
            foreach (var name in Backups)
            {
                await DeleteBackupAsync(name);
            }
        }

        Assert.Empty(_snapshots);
        Assert.Null(_stands);

        // What all of it left of the machine's own disks is shown by one more copy.
        await CopyAsync(Disturbance.None);
        var last = _copies.Keys.Single();
        Demand(await ActAsync("delete copy", Disturbance.None, 0, HttpMethod.Delete, $"/vms/{_copies[last].Id}/", null));
        _copies.Remove(last);
        await SettleAsync();
        AssertNeverBack();
    }

    /// <summary>Deletes a backup, unless another one lies on it: that is refused, and changes nothing.</summary>
    private async Task DeleteBackupAsync(string name)
    {
        var path = $"/vms/{Vm}/backups/{_backups[name].Id}/";
        if (_backups.Values.Any(other => other.Parent == _backups[name].Id))
        {
            await Host.RefusedAsync(HttpMethod.Delete, path, null, HttpStatusCode.BadRequest);
            Count("deletion of a backup beneath another refused");
            await SettleAsync();
            return;
        }

        Demand(await ActAsync("delete backup", Disturbance.None, 0, HttpMethod.Delete, path, null));
        _backups.Remove(name);
    }

    /// <summary>The machine goes, and nothing is left.</summary>
    public async Task LeaveAsync()
    {
        await TurnOffAsync(Disturbance.None);
        await Host.ChangeAsync(HttpMethod.Delete, $"/vms/{Vm}/", null, HttpStatusCode.NoContent);
        Assert.Empty(Directory.GetFileSystemEntries(_places[1].Directory));
        Assert.Empty(Directory.GetFileSystemEntries(_vault.Directory));
        await _guests.AssertWholeAsync();
    }

    // A number may be on the disk before its line is on the console, and the next one on its way when that line is.
    private const int Slack = 2;

    private string Name(string stem) => string.Create(CultureInfo.InvariantCulture, $"{stem}{++_made}");

    private void Count(string what)
    {
        lock (_done)
        {
            _done[what] = _done.GetValueOrDefault(what) + 1;
        }
    }

    private void Tell(string what)
    {
        _told.Add(what);
        Count(what);
    }

    /// <summary>The newest number that is flushed for certain.</summary>
    private long Floor() => _isOn ? Math.Max(_held, RealGuests.LastFlushed(_guests.Serial(Vm))) : _held;

    /// <summary>The newest number that can be on the disk.</summary>
    private long Ceiling() => _isOn ? Floor() + Slack : _held;

    private async Task<Outcome> ActAsync(string what, Disturbance disturbance, int longest, HttpMethod method, string path, string? xml)
    {
        disturbance = disturbance switch
        {
            Disturbance.GuestKilled when !_isOn => Disturbance.None,
            Disturbance.BothKilled when !_isOn => Disturbance.ServiceKilled,
            _ => disturbance,
        };

        var told = disturbance == Disturbance.None ? what : $"{what} ({disturbance})";
        _told.Add(told);
        Count(what);
        var (status, body, response) = await Host.SendAsync(method, path, xml, ("Prefer", "respond-async"));
        Assert.True(status == HttpStatusCode.Accepted, $"{method} {path}: {(int)status} {body}");
        var operation = response.Headers.Location!.OriginalString;
        if (disturbance != Disturbance.None)
        {
            // The moment is random on purpose: it is what the test varies, not what it waits for.
            await Task.Delay(TimeSpan.FromMilliseconds(Random.Next(longest)), TimeProvider.System, Token);
            var amid = IsUnfinished(await Host.GetXmlAsync(operation));
            Count($"{disturbance}{(amid ? " in the middle" : " just after the end")}");
            await DisturbAsync(disturbance, operation);
        }

        XElement seen = new("none");
        await ServedMachines.EventuallyAsync(async () => !IsUnfinished(seen = await Host.GetXmlAsync(operation)), $"'{told}' ends: {seen}", 120);
        Outcome outcome = new(seen.Element("state")!.Value, seen.Element("message")!.Value);
        Assert.DoesNotContain("Needs attention", outcome.Message, StringComparison.Ordinal);
        string[] allowed = disturbance switch
        {
            Disturbance.None or Disturbance.ServiceKilled => ["SUCCEEDED"],
            Disturbance.Cancelled => ["SUCCEEDED", "CANCELLED"],
            _ => ["SUCCEEDED", "FAILED"],
        };
        Assert.True(allowed.Contains(outcome.State), $"'{told}' ended as {outcome.State}: {outcome.Message}");
        if (!outcome.Succeeded)
        {
            Count($"{disturbance}: {outcome.State}");
            _told[^1] += $" {outcome.State}: {outcome.Message}";
        }

        return outcome;
    }

    private async Task DisturbAsync(Disturbance disturbance, string operation)
    {
        switch (disturbance)
        {
            case Disturbance.Cancelled:
                await Host.SendAsync(HttpMethod.Delete, operation);
                break;
            case Disturbance.ServiceKilled:
                await Host.KillAsync();
                await Host.StartAsync();
                break;
            case Disturbance.GuestKilled:
                await KillProcessAsync();
                break;
            case Disturbance.BothKilled:
                await Host.KillAsync();
                await KillProcessAsync();
                await Host.StartAsync();
                break;
        }
    }

    private static bool IsUnfinished(XElement operation) => operation.Element("state")!.Value is "PENDING" or "RUNNING";

    private static void Demand(Outcome outcome) => Assert.True(outcome.Succeeded, outcome.Message);

    private async Task KillProcessAsync()
    {
        using var process = Process.GetProcessById(Assert.Single(Host.GuestProcesses()));
        process.Kill();
        await process.WaitForExitAsync(Token);
        _isKilled = true;
    }

    /// <summary>After whatever was done: everything is as the model says, and the guest runs if it should.</summary>
    private async Task SettleAsync()
    {
        await ReviveAsync();
        if (_isOn && !_isPaused)
        {
            await GoesOnAsync();
        }

        await ReadKeptAsync(all: false);
        await AssertTreeAsync();
        await AssertPlacesAsync();
    }

    /// <summary>A guest that was killed has lost nothing that it flushed, and starts again.</summary>
    private async Task ReviveAsync()
    {
        if (!_isOn || !_isKilled)
        {
            Assert.Equal(_isOn ? 1 : 0, Host.GuestProcesses().Count);
            return;
        }

        await ServedMachines.EventuallyAsync(async () => await Host.StatusAsync(Vm) is not ("RUNNING" or "PAUSED"), "the end of QEMU is noticed");
        await ReadWhatIsLeftAsync();
        Demand(await ActAsync("start", Disturbance.None, 0, HttpMethod.Post, $"/vms/{Vm}/start/", null));
        await IsOnAsync(settle: false);
    }

    private async Task ReadWhatIsLeftAsync()
    {
        AssertNeverBack();
        var floor = Floor();
        _isOn = _isPaused = false;
        _held = await CounterAsync($"/vms/{Vm}/disks/");
        Assert.True(_held >= floor && _held <= floor + Slack, $"The guest had flushed {floor}, its disk holds {_held}.");
    }

    /// <param name="settle">Whether everything is held against the model.</param>
    /// <param name="goesOn">Whether it goes on with its memory, instead of booting.</param>
    private async Task IsOnAsync(bool settle = true, bool goesOn = false)
    {
        _isOn = true;
        _isPaused = _isKilled = false;
        _started = _held;
        _goesOn = goesOn;
        if (goesOn)
        {
            Count("started with memory");
        }
        else
        {
            await ServedMachines.EventuallyAsync(() => Task.FromResult(_guests.Serial(Vm).Contains(ResumesMark, StringComparison.Ordinal)), "the guest finds its counter", 180);
        }

        await GoesOnAsync();
        AssertNeverBack();
        if (settle)
        {
            await SettleAsync();
        }
    }

    private async Task GoesOnAsync()
    {
        var floor = Floor();
        await ServedMachines.EventuallyAsync(() => Task.FromResult(RealGuests.LastFlushed(_guests.Serial(Vm)) > floor), $"the guest goes on from {floor}", 120);
        _held = Floor();
    }

    /// <summary>The guest found exactly what its disk held, and its counter only ever went on, number by number.</summary>
    private void AssertNeverBack()
    {
        var serial = _guests.Serial(Vm);
        var lines = serial[..(serial.LastIndexOf('\n') + 1)].Split('\n');
        long last = -1;
        foreach (var line in lines)
        {
            if (line.StartsWith(ResumesMark, StringComparison.Ordinal))
            {
                Assert.False(_goesOn, "The guest has booted, and should have gone on with its memory.");
                last = Number(line, ResumesMark);
                Assert.True(last == _started, $"The guest resumed at {last}, and its disk had held {_started}.");
            }
            else if (line.StartsWith(FlushedMark, StringComparison.Ordinal))
            {
                var number = Number(line, FlushedMark);
                if (_goesOn && last < 0)
                {
                    // Its memory and its disk are of one instant, which may be amid a line on the console.
                    Assert.InRange(number, _started, _started + 1);
                    last = number - 1;
                }

                Assert.Equal(last + 1, number);
                last++;
            }
        }

        static long Number(string line, string mark) => long.Parse(line[mark.Length..].Trim(), CultureInfo.InvariantCulture);
    }

    /// <summary>Adds the snapshot that takes over where overlays could not be merged back.</summary>
    private async Task KeepAsync(Outcome outcome, long from)
    {
        if (outcome.Message.Contains("are kept as its snapshot", StringComparison.Ordinal) && await NewNameAsync() is { } kept)
        {
            Count("overlays kept as a snapshot");
            _snapshots[kept] = new Node(_stands, new(from, Ceiling()));
            _stands = kept;
        }
        else if (outcome.Message.Contains("which is good for nothing else", StringComparison.Ordinal))
        {
            // A merge that began and could not be finished: it is finished now, and nothing is left of it.
            Count("overlays kept as a partial snapshot");
            await ReviveAsync();
            var partial = await NewNameAsync() ?? throw new InvalidOperationException($"There is no snapshot, and the operation said: {outcome.Message}");
            Demand(await ActAsync("delete partial snapshot", Disturbance.None, 0, HttpMethod.Delete, $"/vms/{Vm}/snapshots/{await SnapshotIdAsync(partial)}/", null));
        }
    }

    private async Task<string?> NewNameAsync() => (await Host.GetXmlAsync($"/vms/{Vm}/snapshots/")).Elements("snapshot")
        .Select(snapshot => snapshot.Element("name")!.Value).SingleOrDefault(name => !_snapshots.ContainsKey(name));

    private Task<string> SnapshotIdAsync(string name) => IdAsync($"/vms/{Vm}/snapshots/", "snapshot", name);

    private async Task<string> IdAsync(string path, string element, string name) =>
        (await Host.GetXmlAsync(path)).Elements(element).Single(one => one.Element("name")!.Value == name).Attribute("id")!.Value;

    /// <summary>What leaves the place where the machine stands may leave a hidden snapshot with a single one upon it, which is merged then.</summary>
    private void StandOn(string name)
    {
        var left = _stands;
        _stands = name;
        Collapse(left);
    }

    private void Drop(string name)
    {
        var node = _snapshots[name];
        if (Children(name) > 1)
        {
            _snapshots[name] = node with { Hidden = true };
            return;
        }

        Remove(name);
        Collapse(node.Parent);
    }

    private void Collapse(string? name)
    {
        if (name is not null && _snapshots[name].Hidden && Children(name) < 2)
        {
            Remove(name);
        }
    }

    private void Remove(string name)
    {
        _snapshots.Remove(name, out var node);
        foreach (var child in _snapshots.Where(one => one.Value.Parent == name).Select(one => one.Key).ToList())
        {
            _snapshots[child] = _snapshots[child] with { Parent = node!.Parent };
        }

        if (_stands == name)
        {
            _stands = node!.Parent;
        }
    }

    private int Children(string name) => _snapshots.Values.Count(node => node.Parent == name) + (_stands == name ? 1 : 0);

    private async Task AssertTreeAsync()
    {
        var seen = (await Host.GetXmlAsync($"/vms/{Vm}/snapshots/")).Elements("snapshot").ToList();
        var names = seen.ToDictionary(one => one.Attribute("id")!.Value, one => one.Element("name")!.Value);
        Assert.Equal(Snapshots, names.Values.Order(StringComparer.Ordinal));
        foreach (var one in seen)
        {
            Assert.Equal(_snapshots[one.Element("name")!.Value].Memory, one.Element("memory")?.Value == "True");
            var parent = _snapshots[one.Element("name")!.Value].Parent;
            while (parent is not null && _snapshots[parent].Hidden)
            {
                parent = _snapshots[parent].Parent;
            }

            Assert.Equal(parent, one.Element("parent")!.Value is { Length: > 0 } shown ? names[shown] : null);
        }
    }

    /// <summary>The files are those of the rows, the service finds nothing amiss, and nothing is still at work.</summary>
    private async Task AssertPlacesAsync()
    {
        List<string> listed = [];
        foreach (var path in (string[])[$"/vms/{Vm}/disks/", .. _copies.Values.Select(copy => $"/vms/{copy.Id}/disks/")])
        {
            listed.AddRange((await Host.GetXmlAsync(path)).Elements("disk").Select(ShownDisks.FileOf));
        }

        foreach (var name in Snapshots)
        {
            listed.AddRange((await Host.GetXmlAsync($"/vms/{Vm}/disks/snapshots/{await SnapshotIdAsync(name)}/")).Elements("disk").Select(ShownDisks.FileOf));
        }

        foreach (var backup in _backups.Values)
        {
            listed.Add($"{backup.Id}.backup.json");
            listed.AddRange((await Host.GetXmlAsync($"/vms/{Vm}/disks/backups/{backup.Id}/")).Elements("disk").Select(ShownDisks.FileOf));
        }

        listed.AddRange((await Host.GetXmlAsync($"/templates/{_guests.Template}/disks/")).Elements("disk").Select(ShownDisks.FileOf));
        var files = _places.Append(_vault).SelectMany(place => Directory.GetFileSystemEntries(place.Directory)).Select(path => Path.GetFileName(path)!).ToList();
        Assert.Empty(listed.Except(files));

        // What users do not see are the disks of hidden snapshots, and the memory of others.
        Assert.True(listed.Count + (2 * _snapshots.Values.Count(node => node.Hidden)) + _snapshots.Values.Count(node => node is { Hidden: false, Memory: true }) == files.Count, $"Listed are {string.Join(", ", listed)}; there are {string.Join(", ", files.Except(listed))} besides, with {_snapshots.Values.Count(node => node.Hidden)} hidden snapshots.");

        // A lock that no operation holds is a finding, too.
        var found = (await Host.GetXmlAsync("/consistency/")).Elements().ToList();
        Assert.True(found.Count == 0, string.Join('\n', found));
        Assert.DoesNotContain((await Host.GetXmlAsync("/operations/")).Elements(), IsUnfinished);
    }

    /// <summary>What was kept holds a number between the operation's beginning and its end, and that number ever after.</summary>
    private async Task ReadKeptAsync(bool all)
    {
        foreach (var name in Snapshots.Where(name => all || !_snapshots[name].Holds.IsExact))
        {
            _snapshots[name] = _snapshots[name] with { Holds = await ReadAsync($"snapshot {name}", _snapshots[name].Holds, $"/vms/{Vm}/disks/snapshots/{await SnapshotIdAsync(name)}/") };
        }

        foreach (var (name, copy) in _copies.Where(one => all || !one.Value.Holds.IsExact).ToList())
        {
            _copies[name] = copy with { Holds = await ReadAsync($"copy {name}", copy.Holds, $"/vms/{copy.Id}/disks/") };
        }

        foreach (var (name, backup) in _backups.Where(one => all || !one.Value.Holds.IsExact).ToList())
        {
            _backups[name] = backup with { Holds = await ReadAsync($"backup {name}", backup.Holds, $"/vms/{Vm}/disks/backups/{backup.Id}/") };
            await AssertChecksumsAsync(backup.Id);
        }
    }

    private async Task<Interval> ReadAsync(string what, Interval expected, string disks)
    {
        var held = await CounterAsync(disks);
        Assert.True(held >= expected.From && held <= expected.To, $"The {what} holds {held}, and not a number from {expected.From} to {expected.To}.");
        Count("images read");
        return new(held, held);
    }

    /// <summary>Reads a list of disks: the first must be the guest's own, unchanged, the second's counter whole.</summary>
    private async Task<long> CounterAsync(string path)
    {
        var disks = (await Host.GetXmlAsync(path)).Elements("disk").ToList();
        Assert.Equal(2, disks.Count);
        var compared = await new ProcessRunner().RunAsync(
            new() { FileName = "qemu-img", Arguments = ["compare", "-U", "-f", "raw", "-F", disks[0].Element("format")!.Value, GuestImage.Require(), ShownDisks.PathOf(disks[0], Directories)] }, Token);
        Assert.True(compared.ExitCode == 0, $"The boot disk {ShownDisks.PathOf(disks[0], Directories)} is not what it was: {compared.Output} {compared.Error}");
        return await ShownDisks.CounterAsync(disks[1], Directories);
    }

    private async Task AssertChecksumsAsync(string backup)
    {
        using var description = JsonDocument.Parse(await File.ReadAllBytesAsync(Path.Combine(_vault.Directory, $"{backup}.backup.json"), Token));
        foreach (var image in description.RootElement.GetProperty("images").EnumerateArray())
        {
            await using var file = File.OpenRead(Path.Combine(_vault.Directory, image.GetProperty("file").GetString()!));
            Assert.Equal(image.GetProperty("sha256").GetString(), Convert.ToHexStringLower(await SHA256.HashDataAsync(file, Token)));
        }
    }

    private IEnumerable<string> Directories => _places.Append(_vault).Select(place => place.Directory);

    private sealed record Outcome(string State, string Message)
    {
        public bool Succeeded => State == "SUCCEEDED";
    }

    private readonly record struct Interval(long From, long To)
    {
        public bool IsExact => From == To;

        public long Exactly => IsExact ? From : throw new InvalidOperationException("It was not read yet.");
    }

    private sealed record Node(string? Parent, Interval Holds, bool Hidden = false)
    {
        /// <summary>Whether the guest's memory was kept with it.</summary>
        public bool Memory { get; init; }
    }

    private sealed record Kept(string Id, Interval Holds)
    {
        /// <summary>The backup that an incremental one lies on.</summary>
        public string? Parent { get; init; }
    }
}

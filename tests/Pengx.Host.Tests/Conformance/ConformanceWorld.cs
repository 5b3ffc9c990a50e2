using System.Net;
using System.Text.RegularExpressions;
using System.Xml.Linq;
using Pengx.Data;

namespace Pengx.Host.Tests;

/// <summary>
/// The objects that one run of one row needs, made by plain requests; each run has its own. Its machine boots the test guest where a template with
/// it is given, and is empty otherwise.
/// </summary>
internal sealed partial class ConformanceWorld(HostProcess host, string store, string storlink, string? guest)
{
    private readonly Dictionary<string, string> _objects = new() { ["storlink"] = storlink };
    private XElement? _before;
    private string? _disk;
    private int _printed;

    public HostProcess Host => host;

    /// <summary>What the objects are called: a new name for each run.</summary>
    public string Name { get; } = $"conf {Guid.NewGuid():N}"[..20];

    public Guid Vm => Guid.Parse(_objects["vm_uuid"]);

    public Guid Template => Guid.Parse(_objects["gvm_uuid"]);

    public Guid Disk => Guid.Parse(_objects["disk_uuid"]);

    public Guid Snapshot => Guid.Parse(_objects["snapshot_uuid"]);

    public Guid Backup => Guid.Parse(_objects["backup_uuid"]);

    public Guid Pm => Guid.Parse(_objects["pm_uuid"]);

    public Guid OtherPm => Guid.Parse(_objects["other_pm"]);

    public Guid Image => Guid.Parse(_objects["image"]);

    public int Interface => int.Parse(_objects["interface_id"]);

    /// <summary>The storage link of the path: one that nothing uses.</summary>
    public int FreeStorlink => int.Parse(_objects["id"]);

    /// <summary>The storage link on which everything is made.</summary>
    public int Storlink => int.Parse(_objects["storlink"]);

    /// <summary>A directory that no storage link has yet.</summary>
    public string Directory { get; private set; } = "";

    /// <summary>Makes what a row's path and body name, and brings the machine into its state.</summary>
    public async Task PrepareAsync(string path, string? body, string? state, bool booted)
    {
        foreach (var name in Placeholder().Matches($"{path} {body}").Select(match => match.Groups[1].Value).Distinct().OrderBy(name => name != "vm_uuid"))
        {
            if (!_objects.ContainsKey(name))
            {
                _objects[name] = await MakeAsync(name);
            }
        }

        if (_objects.ContainsKey("snapshot_uuid") || _objects.ContainsKey("backup_uuid"))
        {
            _disk = await CurrentDiskAsync();
        }

        if (state is not null)
        {
            await BringAsync(state, booted);
        }
    }

    /// <summary>Puts the objects into a path or a body.</summary>
    public string Fill(string text) => Placeholder().Replace(text, match => _objects[match.Groups[1].Value]);

    /// <summary>The same world, in which one object is unknown.</summary>
    public ConformanceWorld Without(string name)
    {
        var other = new ConformanceWorld(host, store, storlink, guest);
        foreach (var (known, value) in _objects)
        {
            other._objects[known] = value;
        }

        other._objects[name] = name is "id" or "interface_id" ? "2000000000" : Guid.NewGuid().ToString();
        return other;
    }

    /// <summary>The names of the objects in a path.</summary>
    public static IEnumerable<string> ObjectsIn(string path) => Placeholder().Matches(path).Select(match => match.Groups[1].Value);

    /// <summary>Puts another number or UUID that nobody has into every place of a path.</summary>
    public static string FillUnknown(string path) => Placeholder().Replace(path, match => match.Groups[1].Value is "id" or "interface_id" ? "2000000000" : Guid.NewGuid().ToString());

    private async Task BringAsync(string state, bool booted)
    {
        if (state == "SHUTDOWN")
        {
            return;
        }

        await host.ChangeAsync(HttpMethod.Post, $"/vms/{Vm}/start/", null, HttpStatusCode.OK);
        if (state == "PAUSED")
        {
            await host.ChangeAsync(HttpMethod.Post, $"/vms/{Vm}/suspend/", null, HttpStatusCode.OK);
        }

        await IsInStateAsync(state);
        if (booted)
        {
            await GuestPrintsAsync("PENGX-GUEST up");
        }

        _printed = guest is null ? 0 : host.Serial(Vm.ToString()).Length;
    }

    public async Task IsInStateAsync(string state) => Assert.Equal(state, await host.StatusAsync(Vm.ToString()));

    /// <summary>The test guest, where there is one, has printed it since the request.</summary>
    public async Task GuestPrintsAsync(string text)
    {
        if (guest is not null)
        {
            await host.PrintsAsync(Vm.ToString(), text, _printed);
        }
    }

    /// <summary>Stops a guest that the next rows would have to share the processors with.</summary>
    public async Task RestAsync()
    {
        if (guest is not null && _objects.ContainsKey("vm_uuid") && await host.IsServedAsync($"/vms/{Vm}/") && await host.StatusAsync(Vm.ToString()) != "SHUTDOWN")
        {
            await host.ChangeAsync(HttpMethod.Post, $"/vms/{Vm}/poweroff/", null, HttpStatusCode.OK);
        }
    }

    public Task<XElement> MachineAsync() => host.GetXmlAsync($"/vms/{Vm}/");

    public async Task IsGoneAsync(string path) => await host.RefusedAsync(HttpMethod.Get, Fill(path), null, HttpStatusCode.NotFound);

    public async Task ShowsAsync(string path, string element, string value) => Assert.Equal(Fill(value), (await host.GetXmlAsync(Fill(path))).Element(element)?.Value);

    /// <summary>The machine that is shut down has another disk than before, and what the disk was made from is still listed.</summary>
    public async Task IsRestoredAsync(string from)
    {
        Assert.NotEqual(_disk, await CurrentDiskAsync());
        await IsInStateAsync("SHUTDOWN");
        Assert.Single((await host.GetXmlAsync(Fill(from))).Elements());
    }

    /// <summary>An element of that name in a list holds this run's name.</summary>
    public async Task IsListedAsync(string path) =>
        Assert.Single((await host.GetXmlAsync(path)).Elements(), element => element.Element("name")?.Value == Fill("{name}"));

    public async Task RememberAsync() => _before = await SeenAsync();

    /// <summary>Nothing that a refused request could have changed has changed.</summary>
    public async Task NothingChangedAsync() => Assert.Equal(_before!.ToString(), (await SeenAsync()).ToString());

    private async Task<string> CurrentDiskAsync() => Assert.Single((await host.GetXmlAsync($"/vms/{Vm}/disks/")).Elements()).Attribute("id")!.Value;

    private async Task<XElement> SeenAsync()
    {
        var seen = new XElement("seen");
        foreach (var path in (string[])["/vms/", "/v2/templates/", "/storlinks/all/"])
        {
            var list = await host.GetXmlAsync(path);
            list.Descendants("free").Remove();
            seen.Add(list);
        }

        if (_objects.ContainsKey("vm_uuid"))
        {
            seen.Add(await host.GetXmlAsync($"/vms/{Vm}/disks/"), await host.GetXmlAsync($"/vms/{Vm}/interfaces/"), await MachineAsync());
            seen.Add(await host.GetXmlAsync($"/vms/{Vm}/snapshots/"), await host.GetXmlAsync($"/vms/{Vm}/backups/"));
        }

        return seen;
    }

    private async Task<string> MakeAsync(string name) => name switch
    {
        "name" => Name,
        "pm_uuid" => (await host.GetXmlAsync("/pms/")).Attribute("id")!.Value,
        "other_pm" => await AddPhysicalMachineAsync(),
        "vm_uuid" when guest is null => await host.AddMachineAsync(Fill("{storlink}"), $"{Name}!", 64, "<os_disk_size>1</os_disk_size><os>DEBIAN</os><network><list-item>0</list-item></network>"),
        "vm_uuid" => await host.AddMachineAsync(Fill("{storlink}"), $"{Name}!", 160, $"<template>{guest}</template><network><list-item>0</list-item></network>"),
        "gvm_uuid" or "template" => await CreatedAsync(
            "/templates/add_new/",
            Fill($"<template><name>{Name}?{name}</name><os>DEBIAN</os><os_arch>X64</os_arch><disk><storlink>{{storlink}}</storlink><size>1</size><format>qcow2</format></disk></template>")),
        "disk_uuid" => await CreatedAsync(Fill("/vms/{vm_uuid}/disks/"), Fill("<disk><size>1</size><storlink>{storlink}</storlink></disk>")),
        "interface_id" => (await host.GetXmlAsync(Fill("/vms/{vm_uuid}/interfaces/"))).Element("interface")!.Attribute("id")!.Value,
        "snapshot_uuid" => await CreatedAsync(Fill("/vms/{vm_uuid}/snapshots/"), Fill($"<snapshot><name>{Name}</name><storlink>{{storlink}}</storlink></snapshot>")),
        "backup_uuid" => await CreatedAsync(
            Fill("/vms/{vm_uuid}/backups/"), Fill($"<vm><backup_name>{Name}</backup_name><storlink>{{storlink}}</storlink></vm>"), HttpStatusCode.OK),
        "image" => AddImage(),
        "directory" => AddDirectory(),
        "id" => await host.AddStorlinkAsync(AddDirectory(), $"{Name}$"),
        _ => throw new InvalidOperationException($"No run knows how to make {{{name}}}."),
    };

    private async Task<string> CreatedAsync(string path, string body, HttpStatusCode status = HttpStatusCode.Created) =>
        (await host.ChangeAsync(HttpMethod.Post, path, body, status)).Split('/', StringSplitOptions.RemoveEmptyEntries)[^1];

    /// <summary>What a service on another machine records of itself in the database that both have; this one takes it for up.</summary>
    private async Task<string> AddPhysicalMachineAsync()
    {
        await host.ChangeAsync(HttpMethod.Put, Fill("/storlinks/{storlink}/"), "<storlink><shared>True</shared></storlink>", HttpStatusCode.NoContent);
        await using var database = SqlitePengxStore.Open(Path.Combine(host.DataDirectory, "pengx.db"));
        await using var session = await database.OpenAsync(TestContext.Current.CancellationToken);
        var now = TimeProvider.System.GetUtcNow();
        PhysicalMachine pm = new() { Id = PmId.New(), Name = $"{Name}%", Cpus = 4, Memory = new DataSize(8L << 30), CreatedAt = now, UpdatedAt = now };
        session.PhysicalMachines.Add(pm);
        await session.SaveAsync(TestContext.Current.CancellationToken);
        return pm.Id.ToString();
    }

    private string AddImage()
    {
        var image = Guid.NewGuid().ToString();
        using var file = File.Create(Path.Combine(store, $"{image}.raw"));
        file.SetLength(1 << 20);
        return image;
    }

    private string AddDirectory() =>
        Directory = System.IO.Directory.CreateDirectory(Path.Combine(Path.GetDirectoryName(store)!, "links", Guid.NewGuid().ToString("N"))).FullName;

    [GeneratedRegex(@"\{(\w+)\}")]
    private static partial Regex Placeholder();
}

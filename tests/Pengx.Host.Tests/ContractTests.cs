using System.Net;
using System.Text;
using System.Xml.Linq;

namespace Pengx.Host.Tests;

/// <summary>One service on the simulator, shared by the tests of the HTTP contract.</summary>
public class SimulatedService : IAsyncLifetime
{
    protected internal virtual string Hypervisor => "simulator";

    protected virtual string[] Arguments => [];

    public HostProcess Host { get; private set; } = null!;

    public string Store { get; } = Directory.CreateTempSubdirectory("pengx-store-").FullName;

    public string Storlink { get; private set; } = "";

    /// <summary>The template that holds the test guest; null where machines are empty.</summary>
    public string? GuestTemplate { get; private protected set; }

    public string Ssh { get; } = Directory.CreateTempSubdirectory("pengx-ssh-").FullName;

    public string AuthorizedKeys => Path.Combine(Ssh, "authorized");

    /// <summary>A well-formed key that opens nothing.</summary>
    public string Key { get; } = $"ssh-ed25519 {Convert.ToBase64String([0, 0, 0, 11, .. "ssh-ed25519"u8, 0, 0, 0, 32, .. new byte[32]])} root@pm1";

    public virtual async ValueTask InitializeAsync()
    {
        await File.WriteAllTextAsync(Path.Combine(Ssh, "id_ed25519.pub"), $"{Key}\n");
        Host = await HostProcess.StartAsync(Hypervisor, [$"--Pengx:SshDirectory={Ssh}", $"--Pengx:AuthorizedKeysPath={AuthorizedKeys}", .. Arguments]);
        Storlink = await Host.AddStorlinkAsync(Store, "shared store");
    }

    public async ValueTask DisposeAsync()
    {
        GC.SuppressFinalize(this);
        await Host.DisposeAsync();
        Directory.Delete(Store, recursive: true);
        Directory.Delete(Ssh, recursive: true);
    }
}

public sealed class ContractTests(SimulatedService service) : IClassFixture<SimulatedService>
{
    private static readonly (string, string) V2 = ("Accept", "application/xml; version=v2");
    private static readonly (string, string) V1 = ("Accept", "application/xml; version=v1");

    private HostProcess Host => service.Host;

    private static string Unique(string name) => $"{name}-{Guid.NewGuid():N}"[..20];

    [Theory]
    [InlineData("/pms/all/", "pms")]
    [InlineData("/pms/", "pm")]
    [InlineData("/pmperf/", "pmperf")]
    [InlineData("/storlinks/", "storlinks")]
    [InlineData("/storlinks/all/", "storlinks")]
    [InlineData("/templates/", "templates")]
    [InlineData("/vms/", "vms")]
    [InlineData("/operations/", "operations")]
    [InlineData("/healthz", "root")]
    [InlineData("/readyz", "root")]
    public async Task Every_list_answers_with_and_without_slash_and_with_every_prefix(string path, string root)
    {
        foreach (var spelling in (string[])[path, path.TrimEnd('/'), $"/v2{path}", $"/api/v2{path}", $"/api{path}"])
        {
            var (status, body, response) = await Host.SendAsync(HttpMethod.Get, spelling);
            Assert.True(status == HttpStatusCode.OK, $"{spelling}: {(int)status} {body}");
            Assert.Equal(root, XElement.Parse(body).Name.LocalName);
            Assert.Equal("application/xml; charset=utf-8", response.Content.Headers.ContentType?.ToString());
        }
    }

    [Fact]
    public async Task Versions_are_told_by_prefix_before_header_and_unknown_ones_are_not_found()
    {
        await Host.RefusedAsync(HttpMethod.Get, "/v3/vms/", null, HttpStatusCode.NotFound);
        await Host.RefusedAsync(HttpMethod.Get, "/vms/", null, HttpStatusCode.NotFound, ("Accept", "application/xml; version=v9"));
        await Host.RefusedAsync(HttpMethod.Get, "/v1/storlinks/all/", null, HttpStatusCode.NotFound);
        await Host.RefusedAsync(HttpMethod.Get, "/v1/storlinks/all/", null, HttpStatusCode.NotFound, V2);
        await Host.RefusedAsync(HttpMethod.Get, "/storlinks/all/", null, HttpStatusCode.NotFound, V1);
        await Host.GetXmlAsync("/v2/storlinks/all/", V1);
        await Host.GetXmlAsync("/storlinks/all/", ("Accept", "application/xml; version=2"));
    }

    [Fact]
    public async Task A_template_has_its_state_in_v2_only()
    {
        await Host.ChangeAsync(HttpMethod.Post, "/templates/add_new/", $"<template><name>{Unique("gold")}</name><os>DEBIAN</os><os_arch>X64</os_arch><disk><storlink>{service.Storlink}</storlink><size>16</size><format>qcow2</format></disk></template>", HttpStatusCode.Created);
        var old = (await Host.GetXmlAsync("/templates/")).Elements().First();
        Assert.Equal(["name", "size", "os", "os_arch", "desc"], old.Elements().Select(element => element.Name.LocalName));
        var current = (await Host.GetXmlAsync("/templates/", V2)).Elements().First();
        Assert.Equal(["name", "size", "os", "os_arch", "desc", "lock_status", "pm", "state", "recent_booted_at"], current.Elements().Select(element => element.Name.LocalName));
        Assert.Equal(16, (int)current.Element("size")!);
        Assert.Equal("False", current.Element("lock_status")!.Value);
    }

    [Fact]
    public async Task A_machine_shows_the_reference_s_elements_in_its_order()
    {
        var name = Unique("web");
        var vm = await Host.AddMachineAsync(service.Storlink, name, rest: "<os_disk_size>8</os_disk_size><os>DEBIAN</os><network><list-item>0</list-item><list-item>xenbr7</list-item></network><desc>it serves</desc>");
        var shown = await Host.GetXmlAsync($"/vms/{vm.ToUpperInvariant()}/");
        Assert.Equal(vm, shown.Attribute("id")!.Value);
        Assert.Equal(
            ["name", "status", "cpu_core", "memory", "maxmem", "disk_size", "pm", "nics", "os", "os_arch", "os_type", "create_date", "last_boot_time", "vnc_port", "vnc_password"],
            shown.Elements().Select(element => element.Name.LocalName).Order(Comparer<string>.Create((_, _) => 0)));
        Assert.Equal("SHUTDOWN", shown.Element("status")!.Value);
        Assert.Equal("128", shown.Element("maxmem")!.Value);
        Assert.Equal(["xenbr0", "xenbr7"], shown.Descendants("network").Select(network => network.Value));
        Assert.All(shown.Descendants("mac"), mac => Assert.StartsWith("00:16:3e:", mac.Value, StringComparison.Ordinal));
        Assert.Equal("DEBIAN", shown.Element("os")!.Value);
        Assert.Matches(@"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$", shown.Element("create_date")!.Value);

        var listed = (await Host.GetXmlAsync("/vms/")).Elements().Single(element => element.Attribute("id")!.Value == vm);
        Assert.Equal(name, listed.Element("name")!.Value);
        Assert.Null(listed.Element("vnc_password"));
    }

    [Fact]
    public async Task Control_walks_through_the_states_and_refuses_the_wrong_ones()
    {
        var vm = await Host.AddMachineAsync(service.Storlink, Unique("ctl"));
        await Host.RefusedAsync(HttpMethod.Post, $"/vms/{vm}/shutdown/", null, HttpStatusCode.BadRequest);
        await Host.RefusedAsync(HttpMethod.Post, $"/vms/{vm}/resume/", null, HttpStatusCode.BadRequest);
        await Host.RefusedAsync(HttpMethod.Post, $"/vms/{vm}/poweroff/", null, HttpStatusCode.BadRequest);
        await Host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/start/", null, HttpStatusCode.OK);
        Assert.Equal("RUNNING", await Host.StatusAsync(vm));
        Assert.Contains("RUNNING", await Host.RefusedAsync(HttpMethod.Post, $"/vms/{vm}/start/", null, HttpStatusCode.BadRequest), StringComparison.Ordinal);
        await Host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/suspend/", null, HttpStatusCode.OK);
        Assert.Equal("PAUSED", await Host.StatusAsync(vm));
        await Host.RefusedAsync(HttpMethod.Post, $"/vms/{vm}/reboot/", null, HttpStatusCode.BadRequest);
        await Host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/resume/", null, HttpStatusCode.OK);
        await Host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/reboot/", null, HttpStatusCode.OK);
        await Host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/reset/", null, HttpStatusCode.OK);
        Assert.Equal("RUNNING", await Host.StatusAsync(vm));
        await Host.RefusedAsync(HttpMethod.Delete, $"/vms/{vm}/", null, HttpStatusCode.BadRequest);
        await Host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/shutdown/", null, HttpStatusCode.OK);
        Assert.Equal("SHUTDOWN", await Host.StatusAsync(vm));
        await Host.ChangeAsync(HttpMethod.Delete, $"/vms/{vm}/", null, HttpStatusCode.NoContent);
        await Host.RefusedAsync(HttpMethod.Get, $"/vms/{vm}/", null, HttpStatusCode.NotFound);
    }

    [Fact]
    public async Task Resize_takes_both_methods_on_both_paths()
    {
        var vm = await Host.AddMachineAsync(service.Storlink, Unique("size"));
        var memory = 128;
        foreach (var method in (HttpMethod[])[HttpMethod.Post, HttpMethod.Put])
        {
            foreach (var path in (string[])["resize", "update"])
            {
                memory += 64;
                await Host.ChangeAsync(method, $"/vms/{vm}/{path}/", $"<vm id='{vm}'><cpu_core>2</cpu_core><memory>{memory}</memory><maxmem>2048</maxmem></vm>", HttpStatusCode.NoContent);
                Assert.Equal(memory, (int)(await Host.GetXmlAsync($"/vms/{vm}/")).Element("memory")!);
            }
        }

        var message = await Host.RefusedAsync(HttpMethod.Put, $"/vms/{vm}/update/", "<vm><memory>4096</memory></vm>", HttpStatusCode.BadRequest);
        Assert.Contains("4096", message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Success_without_content_tells_in_headers_or_on_request_in_a_body()
    {
        var vm = await Host.AddMachineAsync(service.Storlink, Unique("edit"));
        var name = Unique("renämed");
        var (status, body, response) = await Host.SendAsync(HttpMethod.Put, $"/vms/{vm}/edit/", $"<vm><name>{name}</name></vm>");
        Assert.Equal(HttpStatusCode.NoContent, status);
        Assert.Empty(body);
        Assert.Equal("True", response.Headers.GetValues("X-Pengx-Result").Single());
        Assert.Contains(name, Uri.UnescapeDataString(response.Headers.GetValues("X-Pengx-Message").Single()), StringComparison.Ordinal);

        (status, body, _) = await Host.SendAsync(HttpMethod.Put, $"/vms/{vm}/edit/", "<vm><desc>new</desc></vm>", ("Prefer", "return=representation"));
        Assert.Equal(HttpStatusCode.OK, status);
        Assert.Equal("True", XElement.Parse(body).Element("result")!.Value);
    }

    [Fact]
    public async Task Disks_and_interfaces_come_and_go_with_every_spelling()
    {
        var vm = await Host.AddMachineAsync(service.Storlink, Unique("dev"));
        await Host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/start/", null, HttpStatusCode.OK);
        var disk = await Host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/disks/", $"<disk><size>16</size><storlink>{service.Storlink}</storlink><desc>data</desc></disk>", HttpStatusCode.Created);
        Assert.Equal(16, (int)(await Host.GetXmlAsync(disk)).Element("size")!);
        Assert.Equal(2, (await Host.GetXmlAsync($"/vms/{vm}/disks")).Elements("disk").Count());
        await Host.ChangeAsync(HttpMethod.Delete, disk, null, HttpStatusCode.NoContent);
        await Host.RefusedAsync(HttpMethod.Get, disk, null, HttpStatusCode.NotFound);

        var nic = await Host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/interface/", "<vms><interface_name>xenbr0</interface_name><ipaddress>192.168.0.1</ipaddress></vms>", HttpStatusCode.Created);
        Assert.Equal("192.168.0.1", (await Host.GetXmlAsync(nic)).Element("ip")!.Value);
        await Host.ChangeAsync(HttpMethod.Put, $"{nic}update/", "<vms><ipaddress>192.168.0.2</ipaddress></vms>", HttpStatusCode.NoContent);
        await Host.ChangeAsync(HttpMethod.Put, nic, "<interface><ipaddress>192.168.0.3</ipaddress></interface>", HttpStatusCode.NoContent);
        Assert.Equal("192.168.0.3", (await Host.GetXmlAsync(nic.Replace("/interface/", "/interfaces/", StringComparison.Ordinal))).Element("ip")!.Value);
        await Host.ChangeAsync(HttpMethod.Delete, nic, "<vms><interface_name>xenbr0</interface_name></vms>", HttpStatusCode.NoContent);
        Assert.Empty((await Host.GetXmlAsync($"/vms/{vm}/interfaces/")).Elements());
    }

    [Fact]
    public async Task Backups_come_and_go_and_bring_disks_back()
    {
        var vm = await Host.AddMachineAsync(service.Storlink, Unique("back"));
        await Host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/start/", null, HttpStatusCode.OK);
        var backup = await Host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/backups/", $"<vm><backup_name>nightly</backup_name><storlink>{service.Storlink}</storlink><desc>backup of vm</desc></vm>", HttpStatusCode.OK);
        var shown = await Host.GetXmlAsync(backup);
        Assert.Equal(["name", "vm", "date", "size"], shown.Elements().Select(element => element.Name.LocalName));
        Assert.Equal(("vmbackup", "nightly", vm), (shown.Name.LocalName, shown.Element("name")!.Value, shown.Element("vm")!.Attribute("id")!.Value));
        Assert.Equal(backup.Split('/')[4], shown.Attribute("id")!.Value);
        var list = await Host.GetXmlAsync($"/vms/{vm}/backups");
        Assert.Equal(("vmbackups", shown.ToString()), (list.Name.LocalName, Assert.Single(list.Elements()).ToString()));
        var disks = await Host.GetXmlAsync($"/v2/vms/{vm}/disks/backups/{backup.Split('/')[4]}/");
        Assert.Equal(
            ["name", "order", "size", "backup", "desc", "created", "format", "type", "storlink"],
            Assert.Single(disks.Elements("disk")).Elements().Select(element => element.Name.LocalName));
        Assert.Equal("qcow2", disks.Descendants("format").Single().Value);
        Assert.True(File.Exists(Path.Combine(service.Store, $"{backup.Split('/')[4]}.backup.json")));

        Assert.Contains("stop it first", await Host.RefusedAsync(HttpMethod.Post, backup, null, HttpStatusCode.BadRequest), StringComparison.Ordinal);
        await Host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/poweroff/", null, HttpStatusCode.OK);
        Assert.Contains("1 backup", await Host.RefusedAsync(HttpMethod.Delete, $"/vms/{vm}/", null, HttpStatusCode.BadRequest), StringComparison.Ordinal);
        Assert.Equal($"/vms/{vm}/", await Host.ChangeAsync(HttpMethod.Post, backup, null, HttpStatusCode.Created));
        foreach (var unknown in (string[])[$"/vms/{vm}/backups/{Guid.NewGuid()}/", $"/vms/{vm}/backups/x/", $"/vms/{Guid.NewGuid()}/backups/"])
        {
            await Host.RefusedAsync(HttpMethod.Get, unknown, null, HttpStatusCode.NotFound);
        }

        await Host.RefusedAsync(HttpMethod.Post, $"/vms/{vm}/backups/", $"<vm><storlink>{service.Storlink}</storlink></vm>", HttpStatusCode.BadRequest);
        await Host.ChangeAsync(HttpMethod.Delete, backup, null, HttpStatusCode.NoContent);
        await Host.RefusedAsync(HttpMethod.Get, backup, null, HttpStatusCode.NotFound);
        await Host.ChangeAsync(HttpMethod.Delete, $"/vms/{vm}/", null, HttpStatusCode.NoContent);
    }

    [Fact]
    public async Task Machines_are_copied_and_moved()
    {
        var other = Directory.CreateTempSubdirectory("pengx-store-").FullName;
        try
        {
            var target = await Host.AddStorlinkAsync(other, Unique("other"));
            var vm = await Host.AddMachineAsync(service.Storlink, Unique("orig"));
            var copy = await Host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/copy/", $"<vm><name>{Unique("copied")}</name><storlink>{target}</storlink></vm>", HttpStatusCode.Created);
            Assert.NotEqual($"/vms/{vm}/", copy);
            Assert.Equal(target, (await Host.GetXmlAsync($"{copy}disks/")).Descendants("storlink").Single().Value);
            Assert.Equal($"/vms/{vm}/", await Host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/smigrate/", $"<vm><storlink>{target}</storlink></vm>", HttpStatusCode.Created));
            Assert.Contains("already", await Host.RefusedAsync(HttpMethod.Post, $"/vms/{vm}/smigrate/", $"<vm><storlink>{target}</storlink></vm>", HttpStatusCode.BadRequest), StringComparison.Ordinal);
            await Host.RefusedAsync(HttpMethod.Post, $"/vms/{vm}/smigrate/", "<vm><storlink>99999</storlink></vm>", HttpStatusCode.NotFound);
            Assert.Equal(2, Directory.GetFiles(other).Length);
            await Host.RefusedAsync(HttpMethod.Post, $"/vms/{vm}/migrate/", $"<vm><pm_id>{Guid.NewGuid()}</pm_id></vm>", HttpStatusCode.NotFound);
            var own = (await Host.GetXmlAsync("/pms/")).Attribute("id")!.Value;
            Assert.Contains("already", await Host.RefusedAsync(HttpMethod.Post, $"/vms/{vm}/migrate/", $"<vm><pm_id>{own}</pm_id></vm>", HttpStatusCode.BadRequest), StringComparison.Ordinal);
            await Host.ChangeAsync(HttpMethod.Delete, $"/vms/{vm}/", null, HttpStatusCode.NoContent);
            await Host.ChangeAsync(HttpMethod.Delete, copy, null, HttpStatusCode.NoContent);
            await Host.ChangeAsync(HttpMethod.Delete, $"/storlinks/{target}/", null, HttpStatusCode.NoContent);
        }
        finally
        {
            Directory.Delete(other, recursive: true);
        }
    }

    [Fact]
    public async Task Respond_async_answers_at_once_and_the_operation_tells_the_rest()
    {
        var (status, body, response) = await Host.SendAsync(
            HttpMethod.Post, "/vms/", $"<vm><name>{Unique("async")}</name><storlink>{service.Storlink}</storlink><cpu_core>1</cpu_core><memory>64</memory><os_disk_size>2</os_disk_size></vm>", ("Prefer", "respond-async"));
        Assert.Equal(HttpStatusCode.Accepted, status);
        var location = response.Headers.Location!.OriginalString;
        Assert.Equal($"/operations/{XElement.Parse(body).Attribute("id")!.Value}/", location);
        await ServedMachines.EventuallyAsync(async () => (await Host.GetXmlAsync(location)).Element("state")!.Value == "SUCCEEDED", "the operation succeeds");
        var operation = await Host.GetXmlAsync(location);
        Assert.Equal("100", operation.Element("progress")!.Value);
        Assert.NotEmpty(operation.Element("finished")!.Value);
        await Host.RefusedAsync(HttpMethod.Delete, location, null, HttpStatusCode.BadRequest);
    }

    [Fact]
    public async Task An_idempotency_key_does_nothing_twice()
    {
        var key = ("Idempotency-Key", Guid.NewGuid().ToString());
        var xml = $"<vm><name>{Unique("once")}</name><storlink>{service.Storlink}</storlink><cpu_core>1</cpu_core><memory>64</memory><os_disk_size>2</os_disk_size></vm>";
        var locations = await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => Host.ChangeAsync(HttpMethod.Post, "/vms/", xml, HttpStatusCode.Created, key)));
        Assert.Single(locations.Distinct());
        Assert.Contains("Idempotency-Key", await Host.RefusedAsync(HttpMethod.Post, "/vms/", xml.Replace("64", "65", StringComparison.Ordinal), HttpStatusCode.BadRequest, key), StringComparison.Ordinal);

        // A refused request is not remembered: the same key may be used for the corrected one.
        var second = ("Idempotency-Key", Guid.NewGuid().ToString());
        await Host.RefusedAsync(HttpMethod.Post, "/vms/", xml, HttpStatusCode.BadRequest, second);
        await Host.ChangeAsync(HttpMethod.Post, "/vms/", xml.Replace("<name>", "<name>2", StringComparison.Ordinal), HttpStatusCode.Created, second);
    }

    [Fact]
    public async Task Events_tell_what_happens_and_resume_after_the_last_one_seen()
    {
        var vm = await Host.AddMachineAsync(service.Storlink, Unique("ev"));
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        using var response = await Host.Http.GetAsync("/events/", HttpCompletionOption.ResponseHeadersRead, limit.Token);
        Assert.Equal("text/event-stream", response.Content.Headers.ContentType?.MediaType);
        using var reader = new StreamReader(await response.Content.ReadAsStreamAsync(limit.Token));
        await Host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/start/", null, HttpStatusCode.OK);
        string? firstId = null;
        var last = "";
        while (await reader.ReadLineAsync(limit.Token) is { } line)
        {
            if (line.StartsWith("id: ", StringComparison.Ordinal))
            {
                Assert.True(last.Length == 0 || long.Parse(line[4..]) > long.Parse(last));
                last = line[4..];
                firstId ??= last;
            }

            if (line.StartsWith("data: ", StringComparison.Ordinal) && line.Contains(vm, StringComparison.Ordinal) && line.Contains("<status>RUNNING</status>", StringComparison.Ordinal))
            {
                break;
            }
        }

        using var again = new HttpRequestMessage(HttpMethod.Get, "/events/");
        again.Headers.Add("Last-Event-ID", firstId);
        using var resumed = await Host.Http.SendAsync(again, HttpCompletionOption.ResponseHeadersRead, limit.Token);
        using var resumedReader = new StreamReader(await resumed.Content.ReadAsStreamAsync(limit.Token));
        string? line2;
        do
        {
            line2 = await resumedReader.ReadLineAsync(limit.Token);
        }
        while (line2?.StartsWith("id: ", StringComparison.Ordinal) == false);
        Assert.Equal(long.Parse(firstId!) + 1, long.Parse(line2![4..]));

        using var lost = new HttpRequestMessage(HttpMethod.Get, "/events/");
        lost.Headers.Add("Last-Event-ID", "17");
        using var reset = await Host.Http.SendAsync(lost, HttpCompletionOption.ResponseHeadersRead, limit.Token);
        using var resetReader = new StreamReader(await reset.Content.ReadAsStreamAsync(limit.Token));
        do
        {
            line2 = await resetReader.ReadLineAsync(limit.Token);
        }
        while (line2?.StartsWith("event: ", StringComparison.Ordinal) == false);
        Assert.Equal("event: reset", line2);
    }

    [Fact]
    public async Task Storlinks_are_measured_and_guarded()
    {
        var directory = Directory.CreateTempSubdirectory("pengx-store-").FullName;
        try
        {
            var id = await Host.AddStorlinkAsync(directory, Unique("store"));
            var shown = await Host.GetXmlAsync($"/storlinks/{id}/");
            Assert.True((long)shown.Element("size")! >= (long)shown.Element("free")!);
            Assert.True((long)shown.Element("free")! > 0);
            await Host.ChangeAsync(HttpMethod.Put, $"/storlinks/{id}/", "<storlink><desc>renamed</desc><shared>yes</shared></storlink>", HttpStatusCode.NoContent);
            Assert.Equal("True", (await Host.GetXmlAsync($"/storlinks/{id}/")).Element("shared")!.Value);
            await Host.RefusedAsync(HttpMethod.Put, $"/storlinks/{id}/", "<storlink></storlink>", HttpStatusCode.BadRequest);
            await Host.RefusedAsync(HttpMethod.Post, "/storlinks/create/", $"<storlink><name>{Unique("n")}</name><link>{directory}</link><type>NFS</type><level>BL</level></storlink>", HttpStatusCode.BadRequest);
            var vm = await Host.AddMachineAsync(id, Unique("user"));
            Assert.Contains("1", await Host.RefusedAsync(HttpMethod.Delete, $"/storlinks/{id}/", null, HttpStatusCode.BadRequest), StringComparison.Ordinal);
            await Host.ChangeAsync(HttpMethod.Delete, $"/vms/{vm}/", null, HttpStatusCode.NoContent);
            await Host.ChangeAsync(HttpMethod.Delete, $"/storlinks/{id}/", null, HttpStatusCode.NoContent);
            Assert.Empty(Directory.GetFileSystemEntries(directory));
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }

    [Fact]
    public async Task Authorized_keys_are_updated_by_every_method()
    {
        await File.WriteAllTextAsync(service.AuthorizedKeys, "ssh-rsa AAAA an administrator", TestContext.Current.CancellationToken);
        foreach (var (method, path) in ((HttpMethod, string)[])[(HttpMethod.Post, "/pms/update-authorized-keys/"), (HttpMethod.Put, "/v2/pms/update-authorized-keys"), (HttpMethod.Get, "/pms/update-authorized-keys/")])
        {
            var (status, body, _) = await Host.SendAsync(method, path);
            Assert.True(status == HttpStatusCode.Created, $"{method}: {(int)status} {body}");
            var root = XElement.Parse(body);
            Assert.Equal(("root", "True"), (root.Name.LocalName, root.Element("result")!.Value));
            Assert.Contains("1 key", root.Element("message")!.Value, StringComparison.Ordinal);
            Assert.Equal(
                $"ssh-rsa AAAA an administrator\n# BEGIN pengx\n{service.Key}\n# END pengx\n",
                await File.ReadAllTextAsync(service.AuthorizedKeys, TestContext.Current.CancellationToken));
        }

        await Host.RefusedAsync(HttpMethod.Delete, "/pms/update-authorized-keys/", null, HttpStatusCode.MethodNotAllowed);
    }

    [Fact]
    public async Task A_physical_machine_shows_its_real_interfaces()
    {
        var expected = new DirectoryInfo("/sys/class/net").GetDirectories()
            .Where(device => ((string[])["device", "bridge", "bonding"]).Any(mark => Directory.Exists(Path.Combine(device.FullName, mark))))
            .Select(device => device.Name).Order(StringComparer.Ordinal);
        var shown = await Host.GetXmlAsync("/pms/");
        Assert.Equal(expected, shown.Element("interfaces")!.Elements("interface").Select(element => element.Element("name")!.Value));
        Assert.All(shown.Descendants("interface"), element => Assert.Equal(["name", "mac", "ip"], element.Elements().Select(child => child.Name.LocalName)));
    }

    [Fact]
    public async Task Metrics_and_the_openapi_document_are_served()
    {
        var (_, metrics, _) = await Host.SendAsync(HttpMethod.Get, "/metrics");
        Assert.Contains("http_server_request_duration", metrics, StringComparison.Ordinal);
        var (status, document, _) = await Host.SendAsync(HttpMethod.Get, "/openapi.json");
        Assert.Equal(HttpStatusCode.OK, status);
        using var json = System.Text.Json.JsonDocument.Parse(document);
        var paths = json.RootElement.GetProperty("paths");
        foreach (var path in (string[])["/vms/", "/vms/{vm}/start/", "/storlinks/create/", "/templates/add_new/", "/operations/{id}/"])
        {
            Assert.True(paths.TryGetProperty(path, out _) || paths.TryGetProperty(path.TrimEnd('/'), out _), path);
        }
    }
}

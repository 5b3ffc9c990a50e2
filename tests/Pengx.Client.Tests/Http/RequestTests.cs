namespace Pengx.Client.Tests;

/// <summary>What is sent: the reference's methods, paths, headers and bodies.</summary>
public sealed class RequestTests
{
    private static readonly Guid A = Guid.Parse("aaaaaaaa-0000-4000-8000-00000000000a");
    private static readonly Guid B = Guid.Parse("bbbbbbbb-0000-4000-8000-00000000000b");
    private const string V1 = "application/xml";
    private const string V2 = "application/xml; version=v2";

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public static TheoryData<string, string, string, bool> Changes() => new()
    {
        { "machine.delete", "DELETE", $"/vms/{A}/", false },
        { "machine.resize", "PUT", $"/vms/{A}/update/", false },
        { "machine.edit", "PUT", $"/vms/{A}/edit/", true },
        { "machine.start", "POST", $"/vms/{A}/start/", false },
        { "machine.shutdown", "POST", $"/vms/{A}/shutdown/", false },
        { "machine.poweroff", "POST", $"/vms/{A}/poweroff/", false },
        { "machine.reboot", "POST", $"/vms/{A}/reboot/", false },
        { "machine.reset", "POST", $"/vms/{A}/reset/", false },
        { "machine.suspend", "POST", $"/vms/{A}/suspend/", false },
        { "machine.resume", "POST", $"/vms/{A}/resume/", false },
        { "machine.smigrate", "POST", $"/vms/{A}/smigrate/", false },
        { "machine.migrate", "POST", $"/vms/{A}/migrate/", false },
        { "backup.restore", "POST", $"/vms/{A}/backups/{B}/", false },
        { "backup.delete", "DELETE", $"/vms/{A}/backups/{B}/", false },
        { "disk.delete", "DELETE", $"/vms/{A}/disks/{B}/", false },
        { "snapshot.restore", "POST", $"/vms/{A}/snapshots/{B}/", false },
        { "snapshot.delete", "DELETE", $"/vms/{A}/snapshots/{B}/", false },
        { "snapshot.start", "POST", $"/vms/{A}/start/snapshots/{B}/", false },
        { "consistency.orphans", "DELETE", "/consistency/orphans/", false },
        { "interface.update", "PUT", $"/vms/{A}/interface/7/update/", true },
        { "interface.delete", "DELETE", $"/vms/{A}/interface/7/", false },
        { "storlink.update", "PUT", "/storlinks/7/", false },
        { "storlink.delete", "DELETE", "/storlinks/7/", false },
        { "template.update", "PUT", $"/templates/{A}/", false },
        { "template.delete", "DELETE", $"/template/{A}/", false },
        { "host.keys", "POST", "/pms/update-authorized-keys/", false },
        { "operation.cancel", "DELETE", $"/operations/{A}/", false },
    };

    [Theory]
    [MemberData(nameof(Changes))]
    public async Task A_change_is_sent_as_the_reference_writes_it(string what, string method, string path, bool onlyVersion2)
    {
        await using var server = new RawServer(RawServer.Result(true, "done"));
        foreach (var version in new[] { ApiVersion.V1, ApiVersion.V2 })
        {
            server.Requests.Clear();
            var client = Clients.Of(server, options => options.Version = version);
            var result = await (what switch
            {
                "machine.delete" => client.Machines.DeleteAsync(A, null, Token),
                "machine.resize" => client.Machines.ResizeAsync(A, new MachineUpdateRequest { CpuCores = 2 }, null, Token),
                "machine.edit" => client.Machines.EditAsync(A, new MachineEditRequest { Name = "n" }, null, Token),
                "machine.start" => client.Machines.StartAsync(A, null, Token),
                "machine.shutdown" => client.Machines.ShutdownAsync(A, null, Token),
                "machine.poweroff" => client.Machines.PowerOffAsync(A, null, Token),
                "machine.reboot" => client.Machines.RebootAsync(A, null, Token),
                "machine.reset" => client.Machines.ResetAsync(A, null, Token),
                "machine.suspend" => client.Machines.SuspendAsync(A, null, Token),
                "machine.resume" => client.Machines.ResumeAsync(A, null, Token),
                "machine.smigrate" => client.Machines.MigrateStorageAsync(A, new MachineStorageMigrateRequest { Storlink = 2 }, null, Token),
                "machine.migrate" => client.Machines.MigrateAsync(A, new MachineMigrateRequest { Pm = B }, null, Token),
                "backup.restore" => client.Backups.RestoreAsync(A, B, null, Token),
                "backup.delete" => client.Backups.DeleteAsync(A, B, null, Token),
                "disk.delete" => client.Disks.DeleteAsync(A, B, null, Token),
                "snapshot.restore" => client.Snapshots.RestoreAsync(A, B, null, Token),
                "snapshot.delete" => client.Snapshots.DeleteAsync(A, B, null, Token),
                "snapshot.start" => client.Snapshots.StartAsync(A, B, null, Token),
                "consistency.orphans" => client.Consistency.RemoveOrphansAsync(null, Token),
                "interface.update" => client.Interfaces.UpdateAsync(A, 7, new InterfaceUpdateRequest { IpAddress = "192.168.0.1" }, null, Token),
                "interface.delete" => client.Interfaces.DeleteAsync(A, 7, null, null, Token),
                "storlink.update" => client.Storlinks.UpdateAsync(7, new StorlinkUpdateRequest { Name = "n" }, null, Token),
                "storlink.delete" => client.Storlinks.DeleteAsync(7, null, Token),
                "template.update" => client.Templates.UpdateAsync(A, new TemplateUpdateRequest { Name = "n" }, null, Token),
                "template.delete" => client.Templates.DeleteAsync(A, null, Token),
                "host.keys" => client.Hosts.UpdateAuthorizedKeysAsync(null, Token),
                _ => client.Operations.CancelAsync(A, Token),
            });
            Assert.Equal("done", result.Message);
            Assert.False(result.IsPending);
            var sent = server.Single;
            Assert.Equal((method, path), (sent.Method, sent.Path));
            Assert.Equal(onlyVersion2 || version == ApiVersion.V2 ? V2 : V1, sent.Header("Accept"));
            Assert.Null(sent.Header("Authorization"));
            Assert.Null(sent.Header("Prefer"));
            Assert.Null(sent.Header("Idempotency-Key"));
            Assert.Equal(sent.Body.Length > 0 ? "application/xml; charset=utf-8" : null, sent.Header("Content-Type"));
        }
    }

    [Fact]
    public async Task Creations_are_sent_as_the_reference_writes_them()
    {
        await using var server = new RawServer(RawServer.Result(true, "done", "201 Created"));
        var client = Clients.Of(server, options => options.Version = ApiVersion.V1);
        await client.Machines.CreateAsync(
            new MachineCreateRequest { Name = "n", Storlink = 2, CpuCores = 1, Memory = 512, Networks = ["0"] }, null, Token);
        await client.Machines.CopyAsync(A, new MachineCopyRequest { Name = "copied_vm", Storlink = 2 }, null, Token);
        await client.Machines.MigrateStorageAsync(A, new MachineStorageMigrateRequest { Storlink = 2 }, null, Token);
        await client.Machines.MigrateAsync(A, new MachineMigrateRequest { Pm = B }, null, Token);
        await client.Backups.CreateAsync(A, new BackupCreateRequest { Name = "b", Storlink = 2, Description = "d" }, null, Token);
        await client.Disks.CreateAsync(A, new DiskCreateRequest { Size = 1024, Storlink = 2 }, null, Token);
        await client.Interfaces.CreateAsync(A, new InterfaceCreateRequest { InterfaceName = "xenbr0" }, null, Token);
        await client.Interfaces.CreateAsync(A, new InterfaceCreateRequest { InterfaceName = "xenbr0", IpAddress = "192.168.0.1" }, null, Token);
        await client.Storlinks.CreateAsync(new StorlinkCreateRequest { Name = "n", Link = "/data1", Type = "LO", Level = "FL" }, null, Token);
        await client.Templates.AddAsync(
            new TemplateAddRequest
            {
                Name = "n",
                Os = "DEBIAN",
                OsArch = "X64",
                Disks = [new ExistingTemplateDisk { Storlink = 11, Id = A, Format = "qcow2" }],
            },
            null,
            Token);
        await client.Templates.AddWithNewImageAsync(
            new TemplateAddNewRequest
            {
                Name = "n",
                Os = "DEBIAN",
                OsArch = "X64",
                Disks = [new NewTemplateDisk { Storlink = 11, Size = 102400, Format = "qcow2" }],
            },
            null,
            Token);
        await client.Templates.CreateAsync(A, new TemplateCreateRequest { Name = "n", Storlink = 2 }, null, Token);
        await client.Snapshots.CreateAsync(A, new SnapshotCreateRequest { Name = "n", Storlink = 2, Description = "d" }, null, Token);
        await client.Interfaces.DeleteAsync(A, 7, new InterfaceDeleteRequest { InterfaceName = "xenbr0" }, null, Token);
        Assert.Equal(
            [
                ("POST", "/vms/", V1, "<vm><name>n</name><template></template><storlink>2</storlink><cpu_core>1</cpu_core><memory>512</memory>"
                    + "<maxmem>512</maxmem><os_disk_size></os_disk_size><extra_disk_size></extra_disk_size><disk_format></disk_format>"
                    + "<network><list-item>0</list-item></network><desc></desc></vm>"),
                ("POST", $"/vms/{A}/copy/", V1, "<vm><name>copied_vm</name><storlink>2</storlink></vm>"),
                ("POST", $"/vms/{A}/smigrate/", V1, "<vm><storlink>2</storlink></vm>"),
                ("POST", $"/vms/{A}/migrate/", V1, $"<vm><pm_id>{B}</pm_id></vm>"),
                ("POST", $"/vms/{A}/backups/", V1, "<vm><backup_name>b</backup_name><storlink>2</storlink><desc>d</desc></vm>"),
                ("POST", $"/vms/{A}/disks/", V1, "<disk><size>1024</size><storlink>2</storlink><desc></desc></disk>"),
                ("POST", $"/vms/{A}/interfaces/", V1, "<vms><interface_name>xenbr0</interface_name></vms>"),
                ("POST", $"/vms/{A}/interfaces/", V2, "<vms><interface_name>xenbr0</interface_name><ipaddress>192.168.0.1</ipaddress></vms>"),
                ("POST", "/storlinks/create/", V1, "<storlink><name>n</name><link>/data1</link><desc></desc><type>LO</type><level>FL</level>"
                    + "<shared></shared></storlink>"),
                ("POST", "/templates/add/", V1, "<template><name>n</name><os>DEBIAN</os><os_arch>X64</os_arch><desc></desc>"
                    + $"<disk><storlink>11</storlink><uuid>{A}</uuid><format>qcow2</format></disk></template>"),
                ("POST", "/templates/add_new/", V2, "<template><name>n</name><os>DEBIAN</os><os_arch>X64</os_arch><desc></desc>"
                    + "<disk><storlink>11</storlink><size>102400</size><format>qcow2</format></disk></template>"),
                ("POST", $"/templates/create/vms/{A}/", V1, "<template><name>n</name><storlink>2</storlink><desc></desc></template>"),
                ("POST", $"/vms/{A}/snapshots/", V1, "<snapshot><name>n</name><storlink>2</storlink><desc>d</desc></snapshot>"),
                ("DELETE", $"/vms/{A}/interface/7/", V1, "<vms><interface_name>xenbr0</interface_name></vms>"),
            ],
            server.Requests.Select(sent =>
                (sent.Method, sent.Path, sent.Header("Accept")!, sent.Body.Replace(Documents.Declaration, "", StringComparison.Ordinal))));
    }

    [Fact]
    public async Task Reads_are_sent_as_the_reference_writes_them()
    {
        await using var server = new RawServer((request, answer) => answer.WriteAsync(RawServer.Xml(request.Path switch
        {
            "/pms/all/" => $"<pms><pm id='{A}'/></pms>",
            "/pms/" => $"<pm id='{A}'/>",
            "/pmperf/" => $"<pmperf id='{A}'/>",
            "/storlinks/" or "/storlinks/all/" => "<storlinks><storlink id='7'/></storlinks>",
            "/storlinks/7/" => "<storlink id='7'/>",
            "/templates/" => $"<templates><template id='{A}'/></templates>",
            "/vms/" => $"<vms><vm id='{A}'/></vms>",
            "/operations/" => $"<operations><operation id='{A}'/></operations>",
            "/consistency/" => "<consistency><inconsistency><kind>k</kind><subject>s</subject></inconsistency></consistency>",
            _ when request.Path.Contains("/disks/snapshots/", StringComparison.Ordinal) => $"<disks><disk id='{A}'/></disks>",
            _ when request.Path.EndsWith("/snapshots/", StringComparison.Ordinal) => $"<snapshots><snapshot id='{A}'><name>n</name></snapshot></snapshots>",
            _ when request.Path.Contains("/snapshots/", StringComparison.Ordinal) => $"<snapshot id='{A}'><name>n</name></snapshot>",
            _ when request.Path.EndsWith("/disks/", StringComparison.Ordinal) => $"<disks><disk id='{A}'/></disks>",
            _ when request.Path.EndsWith("/interfaces/", StringComparison.Ordinal) => "<interfaces><interface id='7'/></interfaces>",
            _ when request.Path.Contains("/disks/", StringComparison.Ordinal) => $"<disk id='{A}'/>",
            _ when request.Path.Contains("/interface/", StringComparison.Ordinal) => "<interface id='7'/>",
            _ when request.Path.StartsWith("/pms/", StringComparison.Ordinal) => $"<pm id='{A}'/>",
            _ when request.Path.StartsWith("/vms/", StringComparison.Ordinal) => $"<vm id='{A}'/>",
            _ when request.Path.StartsWith("/templates/", StringComparison.Ordinal) => $"<template id='{A}'/>",
            _ => $"<operation id='{A}'/>",
        })));
        var client = Clients.Of(server, options => options.Version = ApiVersion.V1);
        Assert.Single(await Clients.AllAsync(client.Hosts.ListAsync(Token)));
        await client.Hosts.GetOwnAsync(Token);
        await client.Hosts.GetAsync(A, Token);
        await client.Hosts.GetPerformanceAsync(Token);
        Assert.Single(await Clients.AllAsync(client.Storlinks.ListAsync(Token)));
        Assert.Single(await Clients.AllAsync(client.Storlinks.ListAllAsync(Token)));
        await client.Storlinks.GetAsync(7, Token);
        Assert.Single(await Clients.AllAsync(client.Templates.ListAsync(Token)));
        await client.Templates.GetAsync(A, Token);
        Assert.Single(await Clients.AllAsync(client.Templates.ListDisksAsync(A, Token)));
        Assert.Single(await Clients.AllAsync(client.Machines.ListAsync(Token)));
        await client.Machines.GetAsync(A, Token);
        Assert.Single(await Clients.AllAsync(client.Disks.ListAsync(A, Token)));
        await client.Disks.GetAsync(A, B, Token);
        Assert.Single(await Clients.AllAsync(client.Interfaces.ListAsync(A, Token)));
        await client.Interfaces.GetAsync(A, 7, Token);
        Assert.Single(await Clients.AllAsync(client.Operations.ListAsync(Token)));
        await client.Operations.GetAsync(A, Token);
        Assert.Single(await Clients.AllAsync(client.Snapshots.ListAsync(A, Token)));
        await client.Snapshots.GetAsync(A, B, Token);
        Assert.Single(await Clients.AllAsync(client.Snapshots.ListDisksAsync(A, B, Token)));
        Assert.Equal("s", Assert.Single(await Clients.AllAsync(client.Consistency.ListAsync(Token))).Subject);
        Assert.All(server.Requests, sent => Assert.Equal(("GET", ""), (sent.Method, sent.Body)));
        Assert.Equal(
            [
                ("/pms/all/", V1), ("/pms/", V1), ($"/pms/{A}/", V1), ("/pmperf/", V1), ("/storlinks/", V1), ("/storlinks/all/", V2),
                ("/storlinks/7/", V1), ("/templates/", V1), ($"/templates/{A}/", V2), ($"/templates/{A}/disks/", V1), ("/vms/", V1),
                ($"/vms/{A}/", V1), ($"/vms/{A}/disks/", V1), ($"/vms/{A}/disks/{B}/", V1), ($"/vms/{A}/interfaces/", V1),
                ($"/vms/{A}/interface/7/", V1), ("/operations/", V1), ($"/operations/{A}/", V1),
                ($"/vms/{A}/snapshots/", V1), ($"/vms/{A}/snapshots/{B}/", V1), ($"/vms/{A}/disks/snapshots/{B}/", V1), ("/consistency/", V1),
            ],
            server.Requests.Select(sent => (sent.Path, sent.Header("Accept")!)));
        Assert.All(server.Requests, sent => Assert.Equal(0, sent.Connection));
    }

    [Theory]
    [InlineData("api/v2")]
    [InlineData("api/v2/")]
    public async Task The_address_may_have_a_path(string path)
    {
        await using var server = new RawServer(RawServer.Xml($"<vm id='{A}'/>"));
        var client = Clients.Of(server, options =>
        {
            options.BaseAddress = new Uri(options.BaseAddress!, path);
            options.ApiKey = "s3cret";
        });
        await client.Machines.GetAsync(A, Token);
        Assert.Equal($"/api/v2/vms/{A}/", server.Single.Path);
        Assert.Equal("Bearer s3cret", server.Single.Header("Authorization"));
    }

    [Fact]
    public async Task Change_options_are_sent_as_headers()
    {
        await using var server = new RawServer(RawServer.Xml($"<operation id='{B}'><state>PENDING</state></operation>", "202 Accepted", $"Location: /operations/{B}/\r\n"));
        var client = Clients.Of(server);
        var result = await client.Machines.StartAsync(A, new ChangeOptions { RespondAsync = true, IdempotencyKey = "key 1" }, Token);
        Assert.Equal("respond-async", server.Single.Header("Prefer"));
        Assert.Equal("key 1", server.Single.Header("Idempotency-Key"));
        Assert.True(result.IsPending);
        Assert.Equal(B, result.Operation!.Id);
        var created = await client.Machines.CreateAsync(
            new MachineCreateRequest { Name = "n", Storlink = 1, CpuCores = 1, Memory = 1 }, new ChangeOptions { RespondAsync = true }, Token);
        Assert.True(created.IsPending);
        Assert.Null(created.Id);
        Assert.Null(created.Location);
        foreach (var key in new[] { "", "a\r\nX: y", "ä", new string('k', 256) })
        {
            await Assert.ThrowsAsync<ArgumentException>(
                () => client.Machines.StartAsync(A, new ChangeOptions { IdempotencyKey = key }, Token));
        }
    }

    [Fact]
    public async Task A_name_that_xml_cannot_carry_is_refused_before_anything_is_sent()
    {
        await using var server = new RawServer(RawServer.Result(true, "done"));
        var client = Clients.Of(server);
        await Assert.ThrowsAsync<ArgumentException>(() => client.Machines.EditAsync(A, new MachineEditRequest { Name = "a\0" }, null, Token));
        Assert.Empty(server.Requests);
    }
}

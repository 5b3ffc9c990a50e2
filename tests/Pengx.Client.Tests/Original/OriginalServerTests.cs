namespace Pengx.Client.Tests;

/// <summary>The typed client against a server that renders the reference's own templates.</summary>
public sealed class OriginalServerTests
{
    private static readonly Guid Id = OriginalData.Id;
    private static readonly DateTimeOffset Created = new(OriginalData.Created, TimeSpan.Zero);
    private static readonly DateTimeOffset Booted = new(OriginalData.Booted, TimeSpan.Zero);

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(Delivery.Whole, ApiVersion.V1)]
    [InlineData(Delivery.Whole, ApiVersion.V2)]
    [InlineData(Delivery.Chunked, ApiVersion.V2)]
    public async Task Every_read_is_typed(Delivery delivery, ApiVersion version)
    {
        await using var server = await OriginalServer.StartAsync(delivery);
        var client = ClientOf(server, version);

        var hosts = await Clients.AllAsync(client.Hosts.ListAsync(Token));
        var host = Assert.Single(hosts);
        Assert.Equal((Id, OriginalData.Nasty, "RUNNING", 2, 512L), (host.Id, host.Name, host.Status, host.CpuCores, host.Memory));
        Assert.Equal([("eth0", "00:16:3e:00:00:01", "192.168.0.1"), ("eth0", null, null)], host.Interfaces.Select(nic => (nic.Name, nic.Mac, nic.Ip)));
        Assert.Equal(host.ToString(), (await client.Hosts.GetOwnAsync(Token) with { Interfaces = host.Interfaces }).ToString());
        Assert.Equal(Id, (await client.Hosts.GetAsync(Id, Token)).Id);
        var performance = await client.Hosts.GetPerformanceAsync(Token);
        Assert.Equal(
            (Id, "Up", 3, 1, 8, 4, 12.5, 512L, 2048L, 25.0, 5_000_000_000L, 7L),
            (performance.Id, performance.Status, performance.VmCount, performance.Smt, performance.TotalCpuCores, performance.UsedCpuCores, performance.CpuUtilization,
                performance.TotalMemory, performance.UsedMemory, performance.MemoryUtilization, performance.ReceivedBytes, performance.SentBytes));

        var storlink = Assert.Single(await Clients.AllAsync(client.Storlinks.ListAsync(Token)));
        Assert.Equal(new StorlinkResource { Id = 7, Pm = OriginalData.Pm, Name = OriginalData.Nasty, Link = "/data1", Type = "LO", Level = "FL", Size = 10240, Free = null, Shared = true }, storlink);
        Assert.Equal(storlink with { PmName = "xen1" }, Assert.Single(await Clients.AllAsync(client.Storlinks.ListAllAsync(Token))));

        var template = await client.Templates.GetAsync(Id, Token);
        Assert.Equal((Id, OriginalData.Nasty, 10240L, "DEBIAN", "X64"), (template.Id, template.Name, template.Size, template.Os, template.OsArch));
        Assert.Equal((false, OriginalData.Pm, "SHUTDOWN", Booted), (template.Locked, template.Pm, template.State, template.LastBootTime));

        // The reference's own slip: the password's element shows the port.
        Assert.Equal((5901, "5901"), (template.VncPort, template.VncPassword));
        var listed = Assert.Single(await Clients.AllAsync(client.Templates.ListAsync(Token)));
        Assert.Equal(version == ApiVersion.V2 ? "SHUTDOWN" : null, listed.State);
        Assert.Equal(Id, Assert.Single(await Clients.AllAsync(client.Templates.ListDisksAsync(Id, Token))).Template);

        var machine = await client.Machines.GetAsync(Id, Token);
        Assert.Equal((Id, OriginalData.Nasty, "RUNNING", 2, 512L, 1024L, 10240L), (machine.Id, machine.Name, machine.Status, machine.CpuCores, machine.Memory, machine.MaxMemory, machine.DiskSize));
        Assert.Equal((OriginalData.Pm, "DEBIAN", "X64", Created, Booted, 5901, "secret"), (machine.Pm, machine.Os, machine.OsArch, machine.Created, machine.LastBootTime, machine.VncPort, machine.VncPassword));
        Assert.Equal(new MachineNicResource { Name = "eth0", Mac = "00:16:3e:00:00:01", Network = "xenbr0" }, Assert.Single(machine.Nics));

        var disk = Assert.Single(await Clients.AllAsync(client.Disks.ListAsync(Id, Token)));
        Assert.Equal(new DiskResource { Id = Id, Order = 0, Size = 10240, Machine = Id, Created = Created, Format = "qcow2", Storlink = 2 }, disk);
        var nic = Assert.Single(await Clients.AllAsync(client.Interfaces.ListAsync(Id, Token)));
        Assert.Equal(new InterfaceResource { Id = 7, Mac = "00:16:3e:00:00:01", Name = OriginalData.Nasty, Machine = Id }, nic);
    }

    [Theory]
    [InlineData(Delivery.Whole)]
    [InlineData(Delivery.Chunked)]
    public async Task The_list_of_machines_is_typed_as_printed_and_with_its_end_tag_repaired(Delivery delivery)
    {
        await using var server = await OriginalServer.StartAsync(delivery);
        var client = ClientOf(server, ApiVersion.V1);
        foreach (var (start, end) in ((string, string)[])[("os_arch", "os_type"), ("os_arch", "os_arch"), ("os_type", "os_type")])
        {
            server.Repair = template => template.Replace("<os_arch>", $"<{start}>", StringComparison.Ordinal).Replace("</os_type>", $"</{end}>", StringComparison.Ordinal);
            var machine = Assert.Single(await Clients.AllAsync(client.Machines.ListAsync(Token)));
            Assert.Equal(
                (Id, OriginalData.Nasty, "RUNNING", 2, 512L, 1024L, 10240L, OriginalData.Pm, "DEBIAN", "X64", Created, Booted),
                (machine.Id, machine.Name, machine.Status, machine.CpuCores, machine.Memory, machine.MaxMemory, machine.DiskSize, machine.Pm, machine.Os, machine.OsArch, machine.Created, machine.LastBootTime));
            Assert.Null(machine.VncPassword);
        }

        // What nobody prints is no answer.
        server.Repair = template => template.Replace("</os_type>", "</os>", StringComparison.Ordinal);
        var error = await Assert.ThrowsAsync<PengxApiException>(() => Clients.AllAsync(client.Machines.ListAsync(Token)));
        Assert.Equal(PengxApiFailure.Unreadable, error.Failure);
        Assert.Contains("not well-formed at line", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(Delivery.Whole)]
    [InlineData(Delivery.Chunked)]
    public async Task Every_change_is_done_and_sends_what_the_reference_shows(Delivery delivery)
    {
        await using var server = await OriginalServer.StartAsync(delivery);
        var client = ClientOf(server, ApiVersion.V1);
        Assert.Null((await client.Machines.CreateAsync(new() { Name = "a", Storlink = 2, CpuCores = 1, Memory = 512, Networks = ["0", "1"] }, null, Token)).Id);
        Assert.Equal(
            ["vm", "name", "template", "storlink", "cpu_core", "memory", "maxmem", "os_disk_size", "extra_disk_size", "disk_format", "network", "list-item", "list-item", "desc"],
            server.Requests.Last().Elements);
        foreach (var verb in (Func<Task<ChangeResult>>[])
        [
            () => client.Machines.StartAsync(Id, null, Token), () => client.Machines.ShutdownAsync(Id, null, Token), () => client.Machines.PowerOffAsync(Id, null, Token),
            () => client.Machines.RebootAsync(Id, null, Token), () => client.Machines.ResetAsync(Id, null, Token), () => client.Machines.SuspendAsync(Id, null, Token),
            () => client.Machines.ResumeAsync(Id, null, Token), () => client.Hosts.UpdateAuthorizedKeysAsync(null, Token),
        ])
        {
            Assert.Equal("done", (await verb()).Message);
        }

        // These are documented as 204: no message.
        foreach (var change in (Func<Task<ChangeResult>>[])
        [
            () => client.Machines.ResizeAsync(Id, new() { Memory = 1024 }, null, Token), () => client.Machines.EditAsync(Id, new() { Name = "b" }, null, Token), () => client.Machines.DeleteAsync(Id, null, Token),
            () => client.Storlinks.UpdateAsync(7, new() { Name = "b" }, null, Token), () => client.Storlinks.DeleteAsync(7, null, Token),
            () => client.Templates.UpdateAsync(Id, new() { Name = "b" }, null, Token), () => client.Templates.DeleteAsync(Id, null, Token),
            () => client.Disks.DeleteAsync(Id, Id, null, Token), () => client.Interfaces.UpdateAsync(Id, 7, new() { IpAddress = "192.168.0.1" }, null, Token),
            () => client.Interfaces.DeleteAsync(Id, 7, new() { InterfaceName = "xenbr0" }, null, Token),
        ])
        {
            Assert.Null((await change()).Message);
        }

        // What is created is named where the reference's answer names it.
        Assert.Equal(Id, (await client.Disks.CreateAsync(Id, new() { Size = 1024, Storlink = 2 }, null, Token)).Id);
        Assert.Equal(Id, (await client.Templates.CreateAsync(Id, new() { Name = "t", Storlink = 2 }, null, Token)).Id);
        Assert.Null((await client.Interfaces.CreateAsync(Id, new() { InterfaceName = "xenbr0" }, null, Token)).Id);
        Assert.Equal(["vms", "interface_name"], server.Requests.Last().Elements);
    }

    [Fact]
    public async Task A_server_without_an_addition_is_a_typed_refusal()
    {
        await using var server = await OriginalServer.StartAsync();
        var client = ClientOf(server, ApiVersion.V1);
        foreach (var call in (Func<Task>[])
        [
            () => Clients.AllAsync(client.Operations.ListAsync(Token)),
            () => client.Operations.WaitAsync(Id, null, Token),
            async () => await client.Events.WatchAsync(null, Token).FirstAsync(Token),
            () => client.Storlinks.GetAsync(7, Token),
        ])
        {
            var error = await Assert.ThrowsAsync<PengxApiException>(call);
            Assert.Equal((PengxApiFailure.Refused, PengxErrorCode.NotFound), (error.Failure, error.Code));
        }
    }

    [Fact]
    public async Task Nothing_that_the_client_sends_meets_the_redirect_of_a_missing_slash()
    {
        await using var server = await OriginalServer.StartAsync();
        await foreach (var (_, call) in EveryCall.Of(ClientOf(server, ApiVersion.V2), Token).ToAsyncEnumerable())
        {
            try
            {
                await call();
            }
            catch (PengxApiException)
            {
            }
        }

        Assert.True(server.Requests.Count > 30);
        Assert.All(server.Requests, sent => Assert.EndsWith("/", sent.Request, StringComparison.Ordinal));
    }

    private static PengxClient ClientOf(OriginalServer server, ApiVersion version) =>
        new(new HttpClient(PengxClient.CreateHandler()), new PengxClientOptions { BaseAddress = server.Address, Version = version });
}

using System.Net;
using Pengx.Client;

namespace Pengx.Host.Tests;

/// <summary>The models of the reference's chapter 9 that have no routes there, through the typed client.</summary>
public sealed class HostObjectsTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Networks_name_servers_cards_images_and_storage_are_served()
    {
        var directory = Directory.CreateTempSubdirectory("pengx-objects-").FullName;
        try
        {
            await File.WriteAllTextAsync(Path.Combine(directory, "resolv.conf"), "nameserver 192.0.2.1\n", Token);
            await File.WriteAllBytesAsync(Path.Combine(directory, "debian.iso"), new byte[1536 * 1024], Token);
            var card = Directory.CreateDirectory(Path.Combine(directory, "sys/class/net/eth0/device")).FullName;
            await File.WriteAllTextAsync(Path.Combine(card, "sriov_totalvfs"), "8\n", Token);
            await File.WriteAllTextAsync(Path.Combine(card, "sriov_numvfs"), "0\n", Token);
            await using var host = await HostProcess.StartAsync(
                "simulator", $"--Pengx:Networks:Sys={directory}/sys", $"--Pengx:Networks:ResolvConf={directory}/resolv.conf", $"--Pengx:IsoDirectories:0={directory}");
            PengxClient client = new(host.Http, new() { BaseAddress = host.Address });

            // Networks: recorded, planned, and not applied.
            var made = await client.Networks.CreateAsync(new() { Name = "xenbr5", Category = "bridge", Method = "static", IpAddress = "192.0.2.9", Prefix = 24 }, cancellationToken: Token);
            Assert.Contains("recorded", made.Message!, StringComparison.Ordinal);
            var network = await client.Networks.GetAsync(made.Id!.Value, Token);
            Assert.Equal(("xenbr5", "bridge", "bridge", "static", "192.0.2.9", 24, true), (network.Name, network.Category, network.BridgeType, network.Method, network.IpAddress, network.Prefix, network.Managed));
            Assert.Null(network.Actual);
            var plan = await client.Networks.PlanAsync(network.Id, "update", Token);
            Assert.Equal("ip link add name xenbr5 type bridge", plan.Steps[0].Run);
            Assert.Equal(("reversible", "ip link delete dev xenbr5"), (plan.Risk, plan.Steps[0].Undo));
            plan = await client.Networks.PlanCreateAsync(new() { Name = "xenbr6", Category = "bridge" }, Token);
            Assert.Equal(2, plan.Steps.Count);
            var refused = await Assert.ThrowsAsync<PengxApiException>(() => client.Networks.CreateAsync(new() { Name = "xenbr6", Category = "bridge", Mtu = 9 }, cancellationToken: Token));
            Assert.Contains("mtu '9' is refused", refused.Message, StringComparison.Ordinal);
            await client.Networks.UpdateAsync(network.Id, new() { Mtu = 9000 }, cancellationToken: Token);
            Assert.Equal(9000, (await client.Networks.ListAsync(Token).SingleAsync(row => row.Id == network.Id, Token)).Mtu);
            await client.Networks.DeleteAsync(network.Id, cancellationToken: Token);
            await host.RefusedAsync(HttpMethod.Get, $"/networks/{network.Id}/", null, HttpStatusCode.NotFound);
            await host.RefusedAsync(HttpMethod.Get, "/networks/eth0/", null, HttpStatusCode.NotFound);

            // Name servers.
            var dns = await client.Dns.CreateAsync(new() { IpAddress1 = "192.0.2.53", IpAddress2 = "2001:db8::53" }, cancellationToken: Token);
            var servers = Assert.Single(await client.Dns.ListAsync(Token).ToListAsync(Token));
            Assert.Equal((dns.Id!.Value, "192.0.2.53", "2001:db8::53", "192.0.2.1"), (servers.Id, servers.IpAddress1, servers.IpAddress2, servers.Actual));
            Assert.Contains("192.0.2.53", (await host.GetXmlAsync($"/dns/{servers.Id}/plan/")).Element("steps")!.Value, StringComparison.Ordinal);
            await client.Dns.DeleteAsync(servers.Id, cancellationToken: Token);

            // Cards.
            var sriov = await client.SriovCards.CreateAsync(new() { PhysicalFunction = "eth0", FunctionCount = 4 }, cancellationToken: Token);
            Assert.Equal("4", await File.ReadAllTextAsync(Path.Combine(card, "sriov_numvfs"), Token));
            Assert.Equal(8, (await client.SriovCards.GetAsync(sriov.Id!.Value, Token)).Total);
            await client.SriovCards.DeleteAsync(sriov.Id.Value, cancellationToken: Token);

            // Images.
            Assert.Equal(("debian.iso", 2L), (await client.Isos.ListAsync(Token).SingleAsync(Token)) is var iso ? (iso.Name, iso.Size) : default);
            Assert.Equal("debian.iso", (await client.Isos.GetAsync("debian.iso", Token)).Name);
            await host.RefusedAsync(HttpMethod.Get, "/isos/..%2Fresolv.conf/", null, HttpStatusCode.NotFound);

            // Storage: planned, made, attached, detached, deleted.
            StorageCreateRequest request = new() { Category = "local", MountPoint = $"{directory}/store" };
            Assert.Equal($"mkdir -p {directory}/store", Assert.Single((await client.Storages.PlanCreateAsync(request, Token)).Steps).Run);
            Assert.False(Directory.Exists($"{directory}/store"));
            var storage = await client.Storages.CreateAsync(request, cancellationToken: Token);
            var layer = await client.Storages.GetAsync(storage.Id!.Value, Token);
            Assert.Equal(("local", $"{directory}/store", true), (layer.Category, layer.MountPoint, layer.Attached));
            Assert.True(layer.Free > 0 && layer.Size >= layer.Free);
            Assert.Contains("nothing on it was lost", (await client.Storages.DetachAsync(layer.Id, cancellationToken: Token)).Message!, StringComparison.Ordinal);
            await client.Storages.AttachAsync(layer.Id, cancellationToken: Token);
            Assert.Equal("rmdir " + layer.MountPoint, Assert.Single((await client.Storages.PlanAsync(layer.Id, "delete", Token)).Steps).Run);
            await host.RefusedAsync(HttpMethod.Get, $"/storages/{layer.Id}/plan/?verb=explode", null, HttpStatusCode.BadRequest);
            await client.Storages.DeleteAsync(layer.Id, cancellationToken: Token);
            Assert.False(Directory.Exists($"{directory}/store"));

            // A secret is in no answer, no log and no operation, also when the login cannot be tried.
            var message = await host.RefusedAsync(
                HttpMethod.Post,
                "/storages/",
                "<storage><category>iscsi</category><target_ip>127.0.0.1</target_ip><target_port>1</target_port><target>iqn.2026-11.org.example:a</target><chap_user>host</chap_user><chap_secret>correct-horse-battery</chap_secret></storage>",
                HttpStatusCode.ServiceUnavailable);
            Assert.Contains("127.0.0.1:1", message, StringComparison.Ordinal);
            Assert.DoesNotContain("correct-horse", message + host.Log + (await host.GetXmlAsync("/operations/")), StringComparison.Ordinal);
            Assert.False(Directory.Exists(Path.Combine(host.DataDirectory, "secrets")) && Directory.EnumerateFiles(Path.Combine(host.DataDirectory, "secrets")).Any());
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }
}

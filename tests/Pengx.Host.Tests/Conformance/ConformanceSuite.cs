using System.Net;
using System.Xml.Linq;
using Pengx.Client;
using Pengx.Testing;

namespace Pengx.Host.Tests;

/// <summary>What holds for every row on every hypervisor.</summary>
public abstract class ConformanceSuite(SimulatedService service)
{
    private protected HostProcess Host => service.Host;

    /// <summary>Whether an empty machine shuts down when it is asked to.</summary>
    protected virtual bool GuestsObey => true;

    public static TheoryData<string> Keys => [.. ConformanceTable.Rows.Select(row => row.Key)];

    [Theory]
    [MemberData(nameof(Keys))]
    public async Task A_row_holds_by_plain_requests(string key)
    {
        var row = Row(key);
        var world = await PrepareAsync(row, row.Request, row.State);
        var (status, body, response) = await SendAsync(row, world);
        Assert.True((int)status == row.Success, $"{row.Key}: {(int)status} {body}\n{Host.Log}");
        if (row.Success == 204)
        {
            Assert.Empty(body);
            Assert.Equal("True", response.Headers.GetValues(PengxHeaders.Result).Single());
            Assert.NotEmpty(PengxHeaders.DecodeMessage(response.Headers.GetValues(PengxHeaders.Message).Single()));
        }
        else
        {
            AssertAnswer(row.Answer, body, response);
        }

        if (row.Creates)
        {
            var location = response.Headers.Location?.OriginalString;
            Assert.NotNull(location);
            await Host.GetXmlAsync(location);
        }

        if (row.Then is { } holds && (!row.NeedsGuest || GuestsObey))
        {
            await holds(world);
        }

        if (row.Success == 204)
        {
            world = await PrepareAsync(row, row.Request, row.State);
            (status, body, response) = await SendAsync(row, world, "", ("Prefer", PengxHeaders.ReturnRepresentation));
            Assert.True(status == HttpStatusCode.OK, $"{row.Key}: {(int)status} {body}");
            AssertAnswer(row.Answer, body, response);
        }
    }

    private protected static ConformanceRow Row(string key) => ConformanceTable.Rows.Single(row => row.Key == key);

    private protected static void AssertAnswer(string shape, string body, HttpResponseMessage response)
    {
        Assert.Equal(PengxXml.ContentType, response.Content.Headers.ContentType?.ToString());
        var root = XElement.Parse(body);
        Assert.Null(AnswerShape.Parse(shape).FindFault(root));
        if (root.Name.LocalName == "root")
        {
            Assert.Equal("True", root.Element("result")!.Value);
            Assert.NotEmpty(root.Element("message")!.Value);
        }
    }

    private protected async Task<ConformanceWorld> PrepareAsync(ConformanceRow row, string? body, string? state)
    {
        var world = new ConformanceWorld(Host, service.Store, service.Storlink);

        // A list without anything in it would prove nothing.
        var listed = (row.Method, row.Path) switch
        {
            (_, "/vms/" or "/templates/") => "{vm_uuid}{gvm_uuid}",
            ("GET", "/vms/{vm_uuid}/snapshots/") => "{snapshot_uuid}",
            ("GET", "/vms/{vm_uuid}/backups/") => "{backup_uuid}",
            _ => "",
        };
        await world.PrepareAsync($"{row.Path}{listed}", body, state);
        return world;
    }

    private protected Task<(HttpStatusCode Status, string Body, HttpResponseMessage Response)> SendAsync(
        ConformanceRow row, ConformanceWorld world, string prefix = "", params (string, string)[] headers) => Host.SendAsync(
            new HttpMethod(row.Method),
            $"{prefix}{world.Fill(row.Path)}",
            row.Request is null ? null : world.Fill(row.Request),
            [.. headers, .. row.Version == "v2" ? [("Accept", "application/xml; version=v2")] : ((string, string)[])[]]);
}

/// <summary>The same rows on real QEMU, whose empty machines run no guest that would listen.</summary>
public sealed class ConformanceOnQemuTests(QemuService service) : ConformanceSuite(service), IClassFixture<QemuService>
{
    protected override bool GuestsObey => false;
}

/// <summary>One service on QEMU, shared by the rows.</summary>
public sealed class QemuService : SimulatedService
{
    protected override string Hypervisor => "qemu";

    protected override string[] Arguments => ["--Pengx:Limits:ShutdownWaitSeconds=1"];

    public override ValueTask InitializeAsync()
    {
        Requires.Tool("qemu-system-x86_64", "qemu");
        Requires.Tool("qemu-img", "qemu");
        return base.InitializeAsync();
    }
}

using System.Net;
using System.Xml.Linq;
using Pengx.Client;
using Pengx.Testing;

namespace Pengx.Host.Tests;

/// <summary>What holds for every row on every hypervisor.</summary>
public abstract class ConformanceSuite(SimulatedService service)
{
    private const string RouterMissed = "There is nothing at ";

    private protected HostProcess Host => service.Host;

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    /// <summary>
    /// Whether plain requests and the client both ask in both versions. Where that would take too long, plain requests ask in version 1 and the
    /// client in version 2, wherever a row has both.
    /// </summary>
    protected virtual bool InEveryVersion => true;

    private string Hypervisor => service.Hypervisor;

    public static TheoryData<string> Keys => [.. ConformanceTable.Rows.Select(row => row.Key)];

    [Theory]
    [MemberData(nameof(Keys))]
    public async Task A_row_holds_by_plain_requests(string key)
    {
        var entry = ConformanceReport.Begin(key, Hypervisor, ConformanceHalf.PlainRequests);
        var row = Row(key);
        await HoldsByPlainRequestsAsync(row, whole: true);
        if (InEveryVersion)
        {
            foreach (var version in VersionsOf(row).Skip(1))
            {
                await HoldsByPlainRequestsAsync(row with { Version = version }, whole: false);
            }
        }

        entry.Holds();
    }

    [Theory]
    [MemberData(nameof(Keys))]
    public async Task A_row_holds_by_the_typed_client(string key)
    {
        var entry = ConformanceReport.Begin(key, Hypervisor, ConformanceHalf.TypedClient);
        var row = Row(key);
        foreach (var version in InEveryVersion ? VersionsOf(row) : VersionsOf(row).TakeLast(1))
        {
            await HoldsByTheTypedClientAsync(row with { Version = version });
        }

        entry.Holds();
    }

    [Theory]
    [MemberData(nameof(Keys))]
    public async Task A_row_is_found_under_every_spelling_and_in_its_versions(string key)
    {
        var entry = ConformanceReport.Begin(key, Hypervisor, ConformanceHalf.Spellings);
        var row = Row(key);
        foreach (var (method, path) in Spellings(row))
        {
            foreach (var prefix in (string[])["", "/v1", "/v2", "/api", "/api/v1", "/api/v2"])
            {
                var missing = row.OnlyVersion2 && prefix.EndsWith("v1", StringComparison.Ordinal);
                foreach (var spelling in (string[])[$"{prefix}{path}", $"{prefix}{path.TrimEnd('/')}"])
                {
                    var found = !await IsMissingAsync(method, spelling);
                    Assert.True(found != missing, $"{method} {spelling}: {(found ? "found" : "not found")}");
                }
            }

            Assert.Equal(row.OnlyVersion2, await IsMissingAsync(method, path, "v1"));
            Assert.False(await IsMissingAsync(method, path, "v2"));
            Assert.False(await IsMissingAsync(method, path, "2"));
            Assert.True(await IsMissingAsync(method, path, "v3"));
        }

        // Another method is refused as such, and says which are allowed.
        var (status, body, response) = await Host.SendAsync(HttpMethod.Patch, ConformanceWorld.FillUnknown(row.Path));
        AssertRefused(row, 405, status, body, response);
        Assert.Contains(row.Method, response.Content.Headers.Allow);
        entry.Holds();
    }

    [Theory]
    [MemberData(nameof(Keys))]
    public async Task Ids_are_read_in_any_case_and_without_hyphens(string key)
    {
        var row = Row(key);
        if (row is not { Method: "GET", HasObjectInPath: true })
        {
            return;
        }

        var world = await PrepareAsync(row, null, null);
        var path = world.Fill(row.Path);
        var (_, usual, _) = await Host.SendAsync(HttpMethod.Get, path);
        foreach (var spelled in (string[])[Spelled(row, world, text => text.ToUpperInvariant()), Spelled(row, world, text => text.Replace("-", "", StringComparison.Ordinal))])
        {
            var (status, body, _) = await Host.SendAsync(HttpMethod.Get, spelled);
            Assert.Equal((HttpStatusCode.OK, usual), (status, body));
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
        var world = new ConformanceWorld(Host, service.Store, service.Storlink, row.Runs ? service.GuestTemplate : null);

        // A list without anything in it would prove nothing.
        var listed = (row.Method, row.Path) switch
        {
            (_, "/vms/" or "/templates/") => "{vm_uuid}{gvm_uuid}",
            ("GET", "/vms/{vm_uuid}/snapshots/") => "{snapshot_uuid}",
            ("GET", "/vms/{vm_uuid}/backups/") => "{backup_uuid}",
            _ => "",
        };
        await world.PrepareAsync($"{row.Path}{listed}", body, state, row.NeedsGuest);
        return world;
    }

    private protected Task<(HttpStatusCode Status, string Body, HttpResponseMessage Response)> SendAsync(
        ConformanceRow row, ConformanceWorld world, string prefix = "", params (string, string)[] headers) => Host.SendAsync(
            new HttpMethod(row.Method),
            $"{prefix}{world.Fill(row.Path)}",
            row.Request is null ? null : world.Fill(row.Request),
            [.. headers, .. row.Version == "v2" ? [("Accept", "application/xml; version=v2")] : ((string, string)[])[]]);

    private protected static void AssertRefused(ConformanceRow row, int expected, HttpStatusCode status, string body, HttpResponseMessage response)
    {
        Assert.True((int)status == expected, $"{row.Key}: {(int)status} {body}");
        Assert.Equal(PengxXml.ContentType, response.Content.Headers.ContentType?.ToString());
        var root = XElement.Parse(body);
        Assert.Null(AnswerShape.Parse("root(result message)").FindFault(root));
        Assert.Equal("False", root.Element("result")!.Value);
        Assert.NotEmpty(root.Element("message")!.Value);
    }

    /// <summary>Whether the router itself knows no such method and path. The request is one that can change nothing.</summary>
    private protected async Task<bool> IsMissingAsync(string method, string path, string? version = null)
    {
        (string, string)[] headers = version is null ? [] : [("Accept", $"application/xml; version={version}")];
        var (status, body, _) = await Host.SendAsync(new HttpMethod(method), ConformanceWorld.FillUnknown(path), method is "GET" or "DELETE" ? null : "<nothing/>", headers);
        return status == HttpStatusCode.MethodNotAllowed
            || (status == HttpStatusCode.NotFound
                && (body.Contains(RouterMissed, StringComparison.Ordinal) || body.Contains("is only in version", StringComparison.Ordinal) || body.Contains("There is no version", StringComparison.Ordinal)));
    }

    private PengxClient ClientOf(string version) => new(
        Host.Http, new PengxClientOptions { BaseAddress = Host.Address, Version = version == "v2" ? Client.ApiVersion.V2 : Client.ApiVersion.V1 });

    private async Task HoldsByPlainRequestsAsync(ConformanceRow row, bool whole)
    {
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

        await HoldsAsync(row, world);

        if (whole && row.Success == 204)
        {
            world = await PrepareAsync(row, row.Request, row.State);
            (status, body, response) = await SendAsync(row, world, "", ("Prefer", PengxHeaders.ReturnRepresentation));
            Assert.True(status == HttpStatusCode.OK, $"{row.Key}: {(int)status} {body}");
            AssertAnswer(row.Answer, body, response);
        }
    }

    private async Task HoldsByTheTypedClientAsync(ConformanceRow row)
    {
        var call = row.Client;
        var client = ClientOf(row.Version);
        var world = await PrepareAsync(row, row.Request, row.State);
        var result = await call(client, world, Token);
        switch (result)
        {
            case ChangeResult change:
                Assert.False(change.IsPending);
                Assert.NotEmpty(change.Message!);
                break;
            case CreatedResult<Guid> created:
                Assert.NotNull(created.Id);
                break;
            case CreatedResult<int> created:
                Assert.NotNull(created.Id);
                break;
            case System.Collections.ICollection list:
                var (_, body, _) = await SendAsync(row, world);
                Assert.Equal(XElement.Parse(body).Elements().Count(), list.Count);
                break;
            default:
                Assert.Contains("Resource", result.GetType().Name, StringComparison.Ordinal);
                break;
        }

        await HoldsAsync(row, world);

        foreach (var name in ConformanceWorld.ObjectsIn(row.Path))
        {
            var refused = await Assert.ThrowsAsync<PengxApiException>(() => call(client, world.Without(name), Token));
            Assert.Equal((PengxApiFailure.Refused, HttpStatusCode.NotFound), (refused.Failure, refused.Status));
            Assert.NotEmpty(refused.Message);
        }
    }

    /// <summary>What a row promises is so, and the guest, where there is one, did as it was asked.</summary>
    private static async Task HoldsAsync(ConformanceRow row, ConformanceWorld world)
    {
        if (row.Then is { } holds)
        {
            await holds(world);
        }

        if (row.GuestPrints is { } prints)
        {
            await world.GuestPrintsAsync(prints);
        }

        await world.RestAsync();
    }

    /// <summary>The versions a row is asked for in: its own, and version 2 for what that has unchanged.</summary>
    private static IEnumerable<string> VersionsOf(ConformanceRow row) =>
        row.Version == "v1" && !ConformanceTable.Rows.Any(other => other.Version == "v2" && (other.Method, other.Path) == (row.Method, row.Path)) ? ["v1", "v2"] : [row.Version];

    /// <summary>Every method and path under which the contract lets a row be asked for.</summary>
    private static IEnumerable<(string Method, string Path)> Spellings(ConformanceRow row)
    {
        List<(string Method, string Path)> spellings = [(row.Method, row.Path)];
        Also(path => Other(path, "/template/", "/templates/"));
        Also(path => Other(path, "/interface/", "/interfaces/"));
        if (row.Operation == "VMView.update")
        {
            spellings.AddRange([.. spellings.Select(spelling => (spelling.Method == "PUT" ? "POST" : "PUT", spelling.Path))]);
            Also(path => Other(path, "/resize/", "/update/"));
        }

        if (row.Operation == "InterfaceViewV2.update")
        {
            Also(path => path.Replace("/update/", "/", StringComparison.Ordinal));
        }

        if (row.Operation == "PMView.update_authorized_keys")
        {
            spellings.AddRange([("PUT", row.Path), ("GET", row.Path)]);
        }

        return spellings.Distinct();

        void Also(Func<string, string> other) => spellings.AddRange([.. spellings.Select(spelling => (spelling.Method, other(spelling.Path)))]);

        static string Other(string path, string one, string many) =>
            path.Contains(many, StringComparison.Ordinal) ? path.Replace(many, one, StringComparison.Ordinal) : path.Replace(one, many, StringComparison.Ordinal);
    }

    private static string Spelled(ConformanceRow row, ConformanceWorld world, Func<string, string> spell) =>
        ConformanceWorld.ObjectsIn(row.Path).Aggregate(row.Path, (path, name) => path.Replace($"{{{name}}}", spell(world.Fill($"{{{name}}}")), StringComparison.Ordinal));
}

/// <summary>The same rows on real QEMU, where every machine that runs boots the test guest.</summary>
public sealed class ConformanceOnQemuTests(QemuService service) : ConformanceSuite(service), IClassFixture<QemuService>
{
    protected override bool InEveryVersion => false;
}

/// <summary>One service on QEMU with the test guest as a template, shared by the rows.</summary>
public sealed class QemuService : SimulatedService
{
    protected internal override string Hypervisor => "qemu";

    protected override string[] Arguments => ["--Pengx:Limits:ShutdownWaitSeconds=60"];

    public override async ValueTask InitializeAsync()
    {
        Requires.Tool("qemu-system-x86_64", "qemu");
        Requires.Tool("qemu-img", "qemu");
        var image = GuestImage.Require();
        await base.InitializeAsync();
        GuestTemplate = await Host.AddGuestTemplateAsync(Store, Storlink, image);
    }
}

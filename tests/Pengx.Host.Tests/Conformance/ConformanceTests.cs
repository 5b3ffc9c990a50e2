using System.Net;
using System.Text;
using System.Xml.Linq;
using Pengx.Client;

namespace Pengx.Host.Tests;

/// <summary>Runs the <see cref="ConformanceTable"/> against the served host: by plain HTTP, and by the typed client.</summary>
public sealed class ConformanceTests(SimulatedService service) : ConformanceSuite(service), IClassFixture<SimulatedService>
{
    private const string RouterMissed = "There is nothing at ";

    private static readonly Dictionary<string, ReferenceOperation> Reference = ReferenceOperation.ReadAll().ToDictionary(operation => operation.Key);

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public void No_operation_of_the_reference_is_missing_and_none_is_invented()
    {
        var rows = ConformanceTable.Rows.Select(row => row.Key).ToList();
        Assert.Equal(55, Reference.Count);
        Assert.Equal(Reference.Keys, rows);
        TestContext.Current.TestOutputHelper?.WriteLine(Table());
    }

    [Fact]
    public void Every_row_holds_what_the_reference_documents()
    {
        foreach (var row in ConformanceTable.Rows)
        {
            var documented = Reference[row.Key];
            Assert.Equal((documented.Operation, documented.Success), (row.Operation, row.Success));
            Assert.True(InOrder(documented.Response, [.. AnswerShape.Parse(row.Answer).Names()]), $"{row.Key}: the reference answers {string.Join(' ', documented.Response)}");
            var sent = row.Request is null ? [] : Elements(row.Request);
            Assert.True(InOrder(documented.Request, sent), $"{row.Key}: the reference is sent {string.Join(' ', documented.Request)}, the row sends {string.Join(' ', sent)}");
            var tried = row.Refusals.Select(refusal => refusal.Status).Concat(row.HasObjectInPath ? [404] : []).ToHashSet();
            Assert.All(documented.Failures, status => Assert.True(
                tried.Contains(status) != row.Unreachable.ContainsKey(status), $"{row.Key}: its {status} must be brought about, or said to be unreachable."));
        }
    }

    [Fact]
    public async Task Every_row_is_one_that_the_router_knows()
    {
        foreach (var row in ConformanceTable.Rows)
        {
            Assert.False(await IsMissingAsync(row.Method, row.Path), $"{row.Key} is not served.");
        }
    }

    [Theory]
    [MemberData(nameof(Keys))]
    public async Task A_row_holds_by_the_typed_client(string key)
    {
        var row = Row(key);
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

        if (row.Then is { } holds)
        {
            await holds(world);
        }

        foreach (var name in ConformanceWorld.ObjectsIn(row.Path))
        {
            var refused = await Assert.ThrowsAsync<PengxApiException>(() => call(client, world.Without(name), Token));
            Assert.Equal((PengxApiFailure.Refused, HttpStatusCode.NotFound), (refused.Failure, refused.Status));
            Assert.NotEmpty(refused.Message);
        }
    }

    [Theory]
    [MemberData(nameof(Keys))]
    public async Task A_rows_failures_are_the_documented_ones_and_change_nothing(string key)
    {
        var row = Row(key);
        foreach (var refusal in row.Refusals)
        {
            var world = await PrepareAsync(row, refusal.Request ?? row.Request, refusal.State ?? row.State);
            if (refusal.First is { } first)
            {
                await first(world);
            }

            await world.RememberAsync();
            var (status, body, response) = await SendAsync(row with { Request = refusal.Request ?? row.Request }, world, refusal.Prefix);
            AssertRefused(row, refusal.Status, status, body, response);
            Assert.Contains(refusal.Names, XElement.Parse(body).Element("message")!.Value, StringComparison.Ordinal);
            await world.NothingChangedAsync();
        }

        // Each object of the path in turn is one that nobody has, and one that cannot be: both are not found.
        foreach (var name in ConformanceWorld.ObjectsIn(row.Path))
        {
            var world = await PrepareAsync(row, row.Request, row.State);
            await world.RememberAsync();
            var (status, body, response) = await SendAsync(row, world.Without(name));
            AssertRefused(row, 404, status, body, response);
            (status, body, response) = await SendAsync(row with { Path = row.Path.Replace($"{{{name}}}", "not-an-id", StringComparison.Ordinal) }, world);
            AssertRefused(row, 404, status, body, response);
            await world.NothingChangedAsync();
        }
    }

    [Theory]
    [MemberData(nameof(Keys))]
    public async Task A_row_is_found_under_every_spelling_and_in_its_versions(string key)
    {
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

    private static string[] Elements(string xml) =>
        [.. XElement.Parse(xml.Replace("{", "", StringComparison.Ordinal)).DescendantsAndSelf().Select(element => element.Name.LocalName)];

    private static bool InOrder(IReadOnlyList<string> part, IReadOnlyList<string> whole)
    {
        var at = 0;
        foreach (var name in whole)
        {
            at += at < part.Count && part[at] == name ? 1 : 0;
        }

        return at == part.Count;
    }

    private static void AssertRefused(ConformanceRow row, int expected, HttpStatusCode status, string body, HttpResponseMessage response)
    {
        Assert.True((int)status == expected, $"{row.Key}: {(int)status} {body}");
        Assert.Equal(PengxXml.ContentType, response.Content.Headers.ContentType?.ToString());
        var root = XElement.Parse(body);
        Assert.Null(AnswerShape.Parse("root(result message)").FindFault(root));
        Assert.Equal("False", root.Element("result")!.Value);
        Assert.NotEmpty(root.Element("message")!.Value);
    }

    /// <summary>Whether the router itself knows no such method and path. The request is one that can change nothing.</summary>
    private async Task<bool> IsMissingAsync(string method, string path, string? version = null)
    {
        (string, string)[] headers = version is null ? [] : [("Accept", $"application/xml; version={version}")];
        var (status, body, _) = await Host.SendAsync(new HttpMethod(method), ConformanceWorld.FillUnknown(path), method is "GET" or "DELETE" ? null : "<nothing/>", headers);
        return status == HttpStatusCode.MethodNotAllowed
            || (status == HttpStatusCode.NotFound
                && (body.Contains(RouterMissed, StringComparison.Ordinal) || body.Contains("is only in version", StringComparison.Ordinal) || body.Contains("There is no version", StringComparison.Ordinal)));
    }

    private PengxClient ClientOf(string version) => new(
        Host.Http, new PengxClientOptions { BaseAddress = Host.Address, Version = version == "v2" ? Client.ApiVersion.V2 : Client.ApiVersion.V1 });

    private static string Table()
    {
        var text = new StringBuilder("| operation | version | method | path | request | answer | success | failures |\n|---|---|---|---|---|---|---|---|\n");
        foreach (var row in ConformanceTable.Rows)
        {
            var failures = row.Refusals.Select(refusal => refusal.Status).Concat(row.HasObjectInPath ? [404] : []).Distinct().Order();
            text.Append("| ").AppendJoin(
                " | ",
                row.Operation,
                row.Version,
                row.Method,
                row.Path,
                row.Request is null ? "–" : string.Join(' ', Elements(row.Request)),
                row.Answer,
                row.Success,
                string.Join(' ', failures)).Append(" |\n");
        }

        return text.ToString();
    }
}

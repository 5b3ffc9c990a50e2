using System.Net;
using System.Text;
using System.Xml.Linq;
using Pengx.Client;

namespace Pengx.Host.Tests;

/// <summary>The <see cref="ConformanceTable"/> against the reference and on the simulator, the failures of each row included.</summary>
public sealed class ConformanceTests(SimulatedService service) : ConformanceSuite(service), IClassFixture<SimulatedService>
{
    private static readonly Dictionary<string, ReferenceOperation> Reference = ReferenceOperation.ReadAll().ToDictionary(operation => operation.Key);

    [Fact]
    public void No_operation_of_the_reference_is_missing_and_none_is_invented()
    {
        var rows = ConformanceTable.Rows.Select(row => row.Key).ToList();
        Assert.Equal(55, Reference.Count);
        Assert.Equal(Reference.Keys, rows);
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
}

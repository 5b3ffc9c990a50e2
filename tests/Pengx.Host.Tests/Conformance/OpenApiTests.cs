using System.Text;
using Microsoft.OpenApi;
using Microsoft.OpenApi.Reader;

namespace Pengx.Host.Tests;

/// <summary>The OpenAPI document, read by a public reader, against what is served: the rows of the <see cref="ConformanceTable"/>.</summary>
public sealed class OpenApiTests(SimulatedService service) : IClassFixture<SimulatedService>
{
    // Version 2's templates, and incremental backups, have some elements more at the end than what the row is about.
    private static readonly string[] s_withMore = ["GET /templates/ (v1)", "GET /vms/{vm_uuid}/backups/ (v1)"];

    [Fact]
    public async Task The_document_is_valid_and_tells_every_row_with_its_elements_and_statuses()
    {
        var (_, text, _) = await service.Host.SendAsync(HttpMethod.Get, "/openapi.json");
        var read = OpenApiDocument.Parse(text, "json");
        Assert.Empty(read.Diagnostic?.Errors ?? []);
        Assert.Empty(read.Diagnostic?.Warnings ?? []);
        var document = read.Document!;
        Assert.Empty(document.Validate(ValidationRuleSet.GetDefaultRuleSet()));

        var operations = document.Paths
            .SelectMany(path => path.Value.Operations!.Select(operation => ($"{operation.Key.Method} {Plain(path.Key)}", operation.Value)))
            .ToDictionary(operation => operation.Item1, operation => operation.Value);
        foreach (var row in ConformanceTable.Rows)
        {
            Assert.True(operations.TryGetValue($"{row.Method} {Plain(row.Path)}", out var operation), $"{row.Key} is not told.");
            Assert.True(operation.Responses!.TryGetValue(row.Success.ToString(), out var success), $"{row.Key}: its {row.Success} is not told.");
            Assert.Equal(["result", "message"], Names(operation.Responses["default"].Content!["application/xml"].Schema!));
            if (row.Success != 204)
            {
                var schema = success.Content!["application/xml"].Schema!;
                var shape = AnswerShape.Parse(row.Answer);
                Assert.Equal(shape.Name, schema.Xml?.Name);
                var told = Names(schema).ToList();
                var served = shape.Names().Skip(1).ToList();
                Assert.True(served.SequenceEqual(told) || (s_withMore.Contains(row.Key) && served.SequenceEqual(told.Take(served.Count))), $"{row.Key}: told {string.Join(' ', told)}, served {string.Join(' ', served)}");
            }

            if (row.Request is { } request && row.Method != "DELETE")
            {
                var root = System.Xml.Linq.XElement.Parse(request.Replace("{", "", StringComparison.Ordinal));
                var schema = operation.RequestBody!.Content!["application/xml"].Schema!;
                Assert.Equal(root.Name.LocalName, schema.Xml?.Name);
                var told = Names(schema).ToHashSet();
                Assert.All(root.Descendants(), element => Assert.True(told.Contains(element.Name.LocalName), $"{row.Key}: <{element.Name.LocalName}> is sent and not told."));
            }
        }
    }

    /// <summary>Every element beneath a schema, in order; attributes are none.</summary>
    private static IEnumerable<string> Names(IOpenApiSchema schema)
    {
        foreach (var (name, property) in schema.Properties ?? new Dictionary<string, IOpenApiSchema>())
        {
            if (property.Xml is { Attribute: true })
            {
                continue;
            }

            yield return name;
            foreach (var inner in Names(property.Items ?? property))
            {
                yield return inner;
            }
        }
    }

    private static string Plain(string path)
    {
        var plain = new StringBuilder();
        foreach (var segment in path.Trim('/').Split('/'))
        {
            plain.Append('/').Append(segment.StartsWith('{') ? "{}" : segment switch { "template" => "templates", "interface" => "interfaces", _ => segment });
        }

        return plain.ToString();
    }
}

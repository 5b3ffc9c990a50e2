namespace Pengx.Host.Tests;

/// <summary>One line of <c>reference.txt</c>: what the reference documents of one method and path.</summary>
internal sealed record ReferenceOperation(
    string Operation, string Version, string Method, string Path, IReadOnlyList<string> Request, IReadOnlyList<string> Response, int Success, IReadOnlyList<int> Failures)
{
    public string Key => $"{Method} {Path} ({Version})";

    public static IReadOnlyList<ReferenceOperation> ReadAll()
    {
        using var stream = typeof(ReferenceOperation).Assembly.GetManifestResourceStream("reference.txt")!;
        using var reader = new StreamReader(stream);
        List<ReferenceOperation> all = [];
        while (reader.ReadLine() is { } line)
        {
            if (line.Length > 0 && line[0] != '#' && line.Split(" | ") is [var operation, var version, var method, var path, var request, var response, var success, var failures])
            {
                all.Add(new(operation, version, method, path, request == "-" ? [] : request.Split(' '), response.Split(' '), int.Parse(success), [.. failures.Split(' ').Select(int.Parse)]));
            }
        }

        return all;
    }
}

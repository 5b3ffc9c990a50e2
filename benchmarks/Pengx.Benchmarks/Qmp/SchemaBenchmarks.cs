using System.Text;
using System.Text.Json;
using BenchmarkDotNet.Attributes;
using Pengx.Qmp;
using Pengx.Qmp.Qapi;

namespace Pengx.Benchmarks.Qmp;

/// <summary>
/// The stored reply of <c>query-qmp-schema</c> (177 kB), read in several ways: the tokens alone, as a document, as the index that
/// answers what QEMU supports, and as generated types.
/// </summary>
[MemoryDiagnoser]
public class SchemaBenchmarks
{
    private byte[] _reply = [];
    private QmpSchema _schema = null!;

    [GlobalSetup]
    public void Load()
    {
        string folder = AppContext.BaseDirectory;
        while (!File.Exists(Path.Combine(folder, "Directory.Packages.props")))
        {
            folder = Path.GetDirectoryName(folder) ?? throw new InvalidOperationException("Run this inside the repository.");
        }

        using JsonDocument document = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(folder, "src/Pengx.Qmp/Schema/qemu-schema.json")));
        _reply = Encoding.UTF8.GetBytes(document.RootElement.GetProperty("schema").GetRawText());
        _schema = QmpSchema.Parse(_reply);
        Console.WriteLine($"// The reply has {_reply.Length} bytes.");
    }

    [Benchmark(Baseline = true)]
    public int Tokens()
    {
        Utf8JsonReader reader = new(_reply);
        int tokens = 0;
        while (reader.Read())
        {
            tokens++;
        }

        return tokens;
    }

    [Benchmark]
    public int Document()
    {
        using JsonDocument document = JsonDocument.Parse(_reply);
        return document.RootElement.GetArrayLength();
    }

    [Benchmark]
    public QmpSchema Index() => QmpSchema.Parse(_reply);

    [Benchmark]
    public int Types() => JsonSerializer.Deserialize(_reply, QapiTypes.ListOf<SchemaInfo>())!.Count;

    [Benchmark]
    public bool Supports() => _schema.Supports("blockdev-mirror", "arg-type/copy-mode/^write-blocking");
}

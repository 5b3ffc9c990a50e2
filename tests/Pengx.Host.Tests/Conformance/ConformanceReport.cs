using System.Collections.Concurrent;
using System.Text;

[assembly: AssemblyFixture(typeof(Pengx.Host.Tests.ConformanceReport))]

namespace Pengx.Host.Tests;

/// <summary>What is tried of a row.</summary>
internal enum ConformanceHalf
{
    PlainRequests,
    TypedClient,
    Spellings,
}

/// <summary>
/// The <see cref="ConformanceTable"/> with what this run found of each row on each hypervisor. It is written to <c>artifacts/conformance.md</c>
/// when the run ends; a row that was not tried shows a dash.
/// </summary>
public sealed class ConformanceReport : IDisposable
{
    private static readonly ConcurrentDictionary<(string Key, string Hypervisor, ConformanceHalf Half), bool> Outcomes = [];

    public static string Path { get; } = System.IO.Path.Combine(Repository.Root, "artifacts", "conformance.md");

    /// <summary>Counts as failed until it is said to hold.</summary>
    internal static Entry Begin(string key, string hypervisor, ConformanceHalf half)
    {
        Outcomes[(key, hypervisor, half)] = false;
        return new Entry(key, hypervisor, half);
    }

    public void Dispose()
    {
        if (!Outcomes.IsEmpty)
        {
            File.WriteAllText(Path, Table(Outcomes));
        }
    }

    internal static string Table(IReadOnlyDictionary<(string Key, string Hypervisor, ConformanceHalf Half), bool> outcomes)
    {
        var columns = (from hypervisor in (string[])["simulator", "qemu"] from half in Enum.GetValues<ConformanceHalf>() select (hypervisor, half)).ToList();
        var text = new StringBuilder("| operation | version | method | path | answer | success | failures |");
        text.AppendJoin("", columns.Select(column => $" {column.hypervisor}: {NameOf(column.half)} |")).Append("\n|");
        text.Insert(text.Length, "---|", 7 + columns.Count).Append('\n');
        foreach (var row in ConformanceTable.Rows)
        {
            var failures = row.Refusals.Select(refusal => refusal.Status).Concat(row.HasObjectInPath ? [404] : []).Distinct().Order();
            text.Append("| ").AppendJoin(
                " | ", row.Operation, row.Version, row.Method, row.Path, row.Answer, row.Success, string.Join(' ', failures)).Append(" |");
            foreach (var (hypervisor, half) in columns)
            {
                text.Append(outcomes.TryGetValue((row.Key, hypervisor, half), out var holds) ? (holds ? " holds |" : " **fails** |") : " – |");
            }

            text.Append('\n');
        }

        return text.ToString();
    }

    private static string NameOf(ConformanceHalf half) => half switch
    {
        ConformanceHalf.PlainRequests => "plain requests",
        ConformanceHalf.TypedClient => "typed client",
        _ => "spellings",
    };

    internal sealed record Entry(string Key, string Hypervisor, ConformanceHalf Half)
    {
        public void Holds() => Outcomes[(Key, Hypervisor, Half)] = true;
    }
}

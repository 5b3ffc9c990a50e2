using System.Diagnostics;
using System.Globalization;

namespace Pengx.Benchmarks.LiveDisks;

/// <summary>Times of ours and of the bare recipe, taken in turns, first the one and then the other.</summary>
internal sealed class PairedSample
{
    private readonly List<double> _ours = [];
    private readonly List<double> _bare = [];

    /// <param name="round">The round: odd ones begin with the bare recipe.</param>
    /// <param name="ours">What we do.</param>
    /// <param name="bare">What a script does.</param>
    /// <param name="settle">Done before each, and not counted.</param>
    public async Task TakeAsync(int round, Func<Task> ours, Func<Task> bare, Func<Task>? settle = null)
    {
        foreach (bool isOurs in round % 2 == 0 ? [true, false] : (bool[])[false, true])
        {
            await (settle?.Invoke() ?? Task.CompletedTask);
            long start = Stopwatch.GetTimestamp();
            await (isOurs ? ours() : bare());
            (isOurs ? _ours : _bare).Add(Stopwatch.GetElapsedTime(start).TotalMilliseconds);
        }
    }

    public void Print(string name)
    {
        List<double> ratios = [.. _ours.Zip(_bare, static (ours, bare) => ours / bare)];
        Console.WriteLine($"| {name} | {Show(_ours)} | {Show(_bare)} | {Show(ratios)} |");
    }

    /// <summary>The median, and the lowest to the highest.</summary>
    public static string Show(List<double> values)
    {
        double[] sorted = [.. values.Order()];
        return string.Create(CultureInfo.InvariantCulture, $"{sorted[sorted.Length / 2]:0.0#} ({sorted[0]:0.0#} to {sorted[^1]:0.0#})");
    }
}

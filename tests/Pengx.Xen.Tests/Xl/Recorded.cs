namespace Pengx.Xen.Tests;

/// <summary>What a real Xen 4.17 host answered to xl.</summary>
/// <param name="Name">Its file's name.</param>
/// <param name="Command">What was run.</param>
/// <param name="ExitCode">Its exit code.</param>
/// <param name="Output">Its standard output.</param>
/// <param name="Error">Its standard error.</param>
internal sealed record Recorded(string Name, string Command, int ExitCode, string Output, string Error)
{
    private static string Folder => Path.Combine(AppContext.BaseDirectory, "Recorded");

    /// <summary>Reads an answer by its file's name or the number that it begins with, such as <c>xl/021</c>.</summary>
    public static Recorded Read(string start)
    {
        var folder = Path.Combine(Folder, Path.GetDirectoryName(start)!);
        var exact = Path.Combine(folder, Path.GetFileName(start) + ".cmd");
        var command = File.Exists(exact) ? exact : Assert.Single(Directory.GetFiles(folder, Path.GetFileName(start) + "-*.cmd"));
        var path = command[..^4];
        return new(
            Path.GetFileName(path),
            File.ReadAllText(command).Trim(),
            int.Parse(File.ReadAllText(path + ".rc"), System.Globalization.CultureInfo.InvariantCulture),
            File.ReadAllText(path + ".out"),
            File.Exists(path + ".err") ? File.ReadAllText(path + ".err") : "");
    }

    public static string ReadText(string path) => File.ReadAllText(Path.Combine(Folder, path));

    /// <summary>The starts of the names of all answers of a folder.</summary>
    public static IEnumerable<string> All(string folder) =>
        Directory.GetFiles(Path.Combine(Folder, folder), "*.cmd").Select(file => $"{folder}/{Path.GetFileNameWithoutExtension(file)}").Order(StringComparer.Ordinal);
}

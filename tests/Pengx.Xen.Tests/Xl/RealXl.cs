using System.Text;
using System.Text.Json;

namespace Pengx.Xen.Tests;

/// <summary>What the real xl asked libxl to do.</summary>
/// <param name="Verb">The stand-in's word for it.</param>
/// <param name="Domain">The domain's number.</param>
/// <param name="Rest">What else was said.</param>
internal sealed record XlAsked(string Verb, int Domain, string Rest)
{
    public JsonElement Json => JsonDocument.Parse(Rest).RootElement;
}

/// <summary>Debian's real xl 4.17, run without a hypervisor: it parses, and says what it would have libxl do.</summary>
internal static class RealXl
{
    private static readonly ProcessRunner s_runner = new();

    public static Task<ProcessResult> RunAsync(XlCommand command, string? path = null) => RunAsync(command.Arguments, path);

    public static Task<ProcessResult> RunAsync(IReadOnlyList<string> arguments, string? path = null, string? domains = null)
    {
        Dictionary<string, string> environment = new()
        {
            ["LD_LIBRARY_PATH"] = XenTools.Libraries,
            ["LD_PRELOAD"] = XenTools.StandIn("xl"),
        };
        if (path is not null)
        {
            environment["PATH"] = $"{path}:{Environment.GetEnvironmentVariable("PATH")}";
        }

        if (domains is not null)
        {
            environment["PENGX_XL_DOMAINS"] = domains;
        }

        return s_runner.RunAsync(
            new() { FileName = XenTools.Xl, Arguments = arguments, Environment = environment, Timeout = TimeSpan.FromMinutes(2) },
            TestContext.Current.CancellationToken);
    }

    /// <summary>Runs a command of ours, which xl must take, and returns what it asked for.</summary>
    public static async Task<IReadOnlyList<XlAsked>> AskAsync(XlCommand command, string? path = null)
    {
        var result = await RunAsync(command, path);
        Assert.True(result.ExitCode is 0 or 3, $"{string.Join(' ', command.Arguments)}: {result.ExitCode}: {result.Error}");
        return ReadAsked(result.Output);
    }

    /// <summary>Lets xl read an <c>xl.cfg</c> and returns the configuration that it made of it, or its refusal.</summary>
    public static async Task<(JsonElement? Config, string Error)> ReadConfigAsync(string text)
    {
        using var folder = new TestFolder();
        var file = folder.Write("domain.cfg", text);
        var result = await RunAsync(XlCommand.Create(file));
        return result.ExitCode == 3 ? (Assert.Single(ReadAsked(result.Output)).Json, result.Error) : (null, result.Error);
    }

    public static IReadOnlyList<XlAsked> ReadAsked(string output)
    {
        List<XlAsked> asked = [];
        var lines = output.Split('\n');
        for (var index = 0; index < lines.Length; index++)
        {
            var words = lines[index].Split(' ', 3);
            if (words.Length < 2 || !int.TryParse(words[1], out var domain) || !char.IsAsciiLetterLower(lines[index][0]))
            {
                continue;
            }

            var rest = words.Length == 3 ? words[2] : "";
            if (rest == "{")
            {
                // libxl indents; its JSON ends at the first bracket in the first column.
                var end = Array.IndexOf(lines, "}", index);
                rest = string.Join('\n', lines[index..(end + 1)])[(words[0].Length + words[1].Length + 2)..];
                index = end;
            }

            asked.Add(new(words[0], domain, rest));
        }

        return asked;
    }
}

/// <summary>A folder of a test that goes with it.</summary>
internal sealed class TestFolder : IDisposable
{
    public string Path { get; } = Directory.CreateTempSubdirectory("pengx-xl-").FullName;

    public string At(string name) => System.IO.Path.Combine(Path, name);

    public string Write(string name, string text)
    {
        var path = At(name);
        File.WriteAllText(path, text, new UTF8Encoding(false, throwOnInvalidBytes: true));
        return path;
    }

    public void Dispose() => Directory.Delete(Path, recursive: true);
}

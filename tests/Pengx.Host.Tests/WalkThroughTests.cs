using System.Diagnostics;
using Pengx.Testing;

namespace Pengx.Host.Tests;

/// <summary>The README's commands, as they stand, against a service with real guests.</summary>
public sealed class WalkThroughTests
{
    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(4);

    [Fact]
    public async Task The_commands_of_the_readme_work_as_they_stand()
    {
        Requires.Tool("qemu-system-x86_64", "qemu");
        Requires.Tool("curl", "curl");
        _ = GuestImage.Require();
        var root = Repository.Root;
        var commands = await CommandsAsync(Path.Combine(root, "README.md"));
        var store = Path.Combine(Path.GetTempPath(), $"pengx-walk-{Guid.NewGuid():N}");
        await using var host = await HostProcess.StartAsync("qemu");

        var start = new ProcessStartInfo("bash") { WorkingDirectory = root, RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true };
        start.ArgumentList.Add("-euo");
        start.ArgumentList.Add("pipefail");
        start.ArgumentList.Add("-x");
        start.ArgumentList.Add("-c");
        start.ArgumentList.Add(commands);
        start.Environment["PENGX_API"] = host.Address.ToString().TrimEnd('/');
        start.Environment["PENGX_STORE"] = store;
        using var shell = Process.Start(start)!;
        shell.StandardInput.Close();
        var output = shell.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        var errors = shell.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        using var limit = new CancellationTokenSource(Limit);
        await shell.WaitForExitAsync(limit.Token);
        var printed = await output;
        Assert.True(shell.ExitCode == 0, $"{await errors}\n{printed}\n{host.Log}");

        Assert.Contains("<status>RUNNING</status>", printed, StringComparison.Ordinal);
        Assert.Contains("<status>SHUTDOWN</status>", printed, StringComparison.Ordinal);
        Assert.False(Directory.Exists(store), "The storage link's directory was not empty.");
        Assert.Empty(host.GuestProcesses());
    }

    private static async Task<string> CommandsAsync(string readme)
    {
        var text = await File.ReadAllTextAsync(readme);
        var mark = text.IndexOf("<!-- walk-through:", StringComparison.Ordinal);
        var begin = text.IndexOf("```sh\n", mark, StringComparison.Ordinal) + "```sh\n".Length;
        return text[begin..text.IndexOf("\n```", begin, StringComparison.Ordinal)];
    }
}

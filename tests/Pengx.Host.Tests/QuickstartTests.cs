using System.Diagnostics;
using Pengx.Testing;

namespace Pengx.Host.Tests;

public sealed class QuickstartTests
{
    [Fact]
    public async Task The_libraries_boot_a_guest_without_a_service_and_leave_nothing_behind()
    {
        Requires.Tool("qemu-system-x86_64", "qemu");
        var image = GuestImage.Require();
        var configuration = Path.GetFileName(Path.TrimEndingDirectorySeparator(AppContext.BaseDirectory));
        var temporary = Directory.CreateTempSubdirectory("pengx-q-");
        var start = new ProcessStartInfo("dotnet") { RedirectStandardOutput = true, RedirectStandardError = true };
        start.ArgumentList.Add(Path.Combine(Repository.Root, "artifacts", "bin", "Pengx.Quickstart", configuration, "Pengx.Quickstart.dll"));
        start.ArgumentList.Add(image);
        start.Environment["TMPDIR"] = temporary.FullName;
        using var program = Process.Start(start)!;
        var output = program.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        var errors = program.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        using var limit = new CancellationTokenSource(TimeSpan.FromMinutes(3));
        await program.WaitForExitAsync(limit.Token);
        var printed = await output;
        Assert.True(program.ExitCode == 0, $"{printed}\n{await errors}");
        foreach (var line in (string[])["event: Started, now Running", "guest: PENGX-GUEST up", "guest: PENGX-GUEST disk vdb added 16777216", "event: Stopped, now Shutdown"])
        {
            Assert.Contains(line, printed, StringComparison.Ordinal);
        }

        Assert.DoesNotContain(temporary.GetFileSystemInfos(), entry => entry.Name.StartsWith("pengx-quickstart-", StringComparison.Ordinal));
        temporary.Delete(recursive: true);
    }
}

using System.Diagnostics;
using System.Runtime.CompilerServices;

namespace Pengx.Storage.Tests;

/// <summary>A process that copies until it is killed: this program, told so by an environment variable.</summary>
internal static class Victim
{
    private const string Variable = "PENGX_TEST_VICTIM";

    /// <summary>Starts one that copies <c>source.raw</c> to <c>copy.raw</c> in a directory, at 16 MiB a second.</summary>
    public static Process Start(string directory)
    {
        ProcessStartInfo start = new(Environment.ProcessPath!);
        start.Environment[Variable] = directory;
        return Process.Start(start)!;
    }

    [ModuleInitializer]
    public static void Run()
    {
        if (Environment.GetEnvironmentVariable(Variable) is not { } directory)
        {
            return;
        }

        ImageCopier copier = new(new ProcessRunner()) { MayShare = false, JournalStep = 8 * 1024 * 1024 };
        copier.CopyAsync(new()
        {
            Source = TestImages.Raw(Path.Combine(directory, "source.raw")),
            Target = TestImages.Raw(Path.Combine(directory, "copy.raw")),
            RateLimit = DataSize.FromMiB(16),
        }).GetAwaiter().GetResult();
        Environment.Exit(0);
    }
}

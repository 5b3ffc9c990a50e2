using System.Diagnostics;
using System.Runtime.CompilerServices;

namespace Pengx.Storage.Tests;

/// <summary>A process that works until it is killed: this program, told so by environment variables.</summary>
internal static class Victim
{
    private const string Work = "PENGX_TEST_VICTIM";
    private const string Where = "PENGX_TEST_VICTIM_DIRECTORY";
    private const string Copier = "copier";
    private const string Tool = "tool";

    /// <summary>Starts one that copies <c>source.raw</c> to <c>copy.raw</c> in a directory, at 16 MiB a second.</summary>
    public static Process StartCopier(string directory) => Start(Copier, directory);

    /// <summary>Starts one that has <c>qemu-img</c> convert <c>source.raw</c> to <c>copy.raw</c> in a directory, at 1 MiB a second.</summary>
    public static Process StartTool(string directory) => Start(Tool, directory);

    [ModuleInitializer]
    public static void Run()
    {
        if (Environment.GetEnvironmentVariable(Work) is not { } work)
        {
            return;
        }

        var directory = Environment.GetEnvironmentVariable(Where)!;
        var (source, target) = (TestImages.Raw(Path.Combine(directory, "source.raw")), TestImages.Raw(Path.Combine(directory, "copy.raw")));
        (work switch
        {
            Copier => new ImageCopier(new ProcessRunner()) { MayShare = false, JournalStep = 8 * 1024 * 1024 }.CopyAsync(
                new() { Source = source, Target = target, RateLimit = DataSize.FromMiB(16) }),
            _ => new ImageTool(new ProcessRunner()).ConvertAsync(source, target, new ImageConversion { RateLimit = DataSize.FromMiB(1) }, null, CancellationToken.None),
        }).GetAwaiter().GetResult();
        Environment.Exit(0);
    }

    private static Process Start(string work, string directory)
    {
        ProcessStartInfo start = new(Environment.ProcessPath!);
        start.Environment[Work] = work;
        start.Environment[Where] = directory;
        return Process.Start(start)!;
    }
}

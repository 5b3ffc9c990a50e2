namespace Pengx.Qemu.Tests;

/// <summary>Runs the tests; or, told so, plays the service that a test then kills.</summary>
internal static class Program
{
    public const string ServeArgument = "--play-service";

    public const string MoveArgument = "--play-move";

    public static async Task<int> Main(string[] args)
    {
        if (args is [ServeArgument, var state, var run, var domain] && DomainId.TryParse(domain, out var id))
        {
            await using var driver = new QemuHypervisorDriver(new() { StateDirectory = state, RunDirectory = run });
            await driver.StartAsync();
            await driver.Domains.StartAsync(id);
            await Console.Out.WriteLineAsync("started");
            await Console.In.ReadToEndAsync();
            return 0;
        }

        if (args is [MoveArgument, .. var rest])
        {
            await MortalService.PlayAsync(rest);
            return 0;
        }

        return args.Any(static argument => argument is "-automated" or "@@")
            ? await Xunit.Runner.InProc.SystemConsole.ConsoleRunner.Run(args)
            : await Xunit.MicrosoftTestingPlatform.TestPlatformTestFramework.RunAsync(args, SelfRegisteredExtensions.AddSelfRegisteredExtensions);
    }
}

using Pengx.Testing;

namespace Pengx.Lab;

/// <summary>The Xen host that the tests run in: what is where, and its tools as plain processes.</summary>
internal static class LabHost
{
    /// <summary>How long anything may take here: ten times what it takes on an idle machine.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromMinutes(10);

    /// <summary>Linux's arguments for PV and PVH guests: the console that xenconsoled keeps, and a panic that Xen is told of at once.</summary>
    public const string KernelArguments =
        "console=hvc0 quiet loglevel=3 panic=-1 mitigations=off nokaslr random.trust_cpu=on net.ifnames=0 sysrq_always_enabled xen_legacy_crash";

    /// <summary>The bridge that guests and the other host are on.</summary>
    public const string Bridge = "xenbr0";

    // A single xl takes a good part of a second of an emulated processor, which the guests need too.
    private static readonly TimeSpan s_pause = TimeSpan.FromSeconds(1);

    private const string Runtime = "/opt/pengx/runtime";
    private static readonly ProcessRunner s_runner = new();

    /// <summary>The test guest's kernel, an ELF file as PV and PVH want it.</summary>
    public static string Kernel => Path.Combine(Runtime, "guest", "vmlinux");

    /// <summary>The test guest's initramfs.</summary>
    public static string Initramfs => Path.Combine(Runtime, "guest", "initrd.img");

    /// <summary>The test guest's boot disk, for HVM: raw and read-only. Start guests from a copy.</summary>
    public static string BootImage => Path.Combine(Runtime, "guest", "guest.raw");

    /// <summary>The published host service.</summary>
    public static string Service => "/opt/pengx/programs/Pengx.Host/Pengx.Host";

    /// <summary>The other host's address, or null where there is one host only. Root's SSH key opens it.</summary>
    public static string? SecondHost => Environment.GetEnvironmentVariable("PENGX_LAB_SECOND_HOST") is { Length: > 0 } address ? address : null;

    /// <summary>Skips the running test, or fails it where <c>PENGX_REQUIRE</c> demands <c>lab</c>, anywhere but in the laboratory.</summary>
    public static void Require() =>
        Requires.That(File.Exists("/proc/xen/capabilities") && File.Exists(Kernel), "lab", "this is not the laboratory's host (eng/lab.sh runs these tests there)");

    /// <summary>The other host's address; skips or fails as <see cref="Require"/> does where there is none.</summary>
    public static string RequireSecondHost()
    {
        Require();
        Requires.That(SecondHost is not null, "lab", "there is one host only (eng/lab.sh up --pair starts two)");
        return SecondHost!;
    }

    /// <summary>Runs a program and returns what it printed, whatever its exit code.</summary>
    public static Task<ProcessResult> RunAsync(string program, params string[] arguments) => s_runner.RunAsync(
        new() { FileName = program, Arguments = arguments, Timeout = Patience },
        TestContext.Current.CancellationToken);

    /// <summary>Runs a program that has to succeed, and returns its standard output.</summary>
    public static async Task<string> OutputAsync(string program, params string[] arguments) =>
        (await RunAsync(program, arguments)).EnsureSuccess().Output;

    /// <summary>Asks until an answer is right; the last answer is part of the failure otherwise.</summary>
    /// <param name="what">What is waited for.</param>
    /// <param name="ask">Asks once.</param>
    /// <param name="right">Judges an answer.</param>
    public static async Task<T> UntilAsync<T>(string what, Func<Task<T>> ask, Func<T, bool> right)
    {
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        patience.CancelAfter(Patience);
        while (true)
        {
            var answer = await ask();
            if (right(answer))
            {
                return answer;
            }

            try
            {
                await Task.Delay(s_pause, patience.Token);
            }
            catch (OperationCanceledException) when (!TestContext.Current.CancellationToken.IsCancellationRequested)
            {
                Assert.Fail($"Within {Patience.TotalSeconds} s there was no '{what}'. In the end: {answer}");
            }
        }
    }
}

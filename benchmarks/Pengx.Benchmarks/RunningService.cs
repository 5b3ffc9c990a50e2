using System.Diagnostics;

namespace Pengx.Benchmarks;

/// <summary>The host service, started for a measurement and ended with it.</summary>
internal sealed class RunningService : IAsyncDisposable
{
    private const string Listening = "Now listening on: ";

    private RunningService(Process process, Uri address)
    {
        Process = process;
        Address = address;
    }

    public Process Process { get; }

    public Uri Address { get; }

    /// <param name="service">The service's <c>Pengx.Host.dll</c>.</param>
    /// <param name="directory">Its data directory.</param>
    /// <param name="hypervisor">Its hypervisor, as its configuration names it.</param>
    public static async Task<RunningService> StartAsync(string service, string directory, string hypervisor)
    {
        var process = Process.Start(new ProcessStartInfo(
            "dotnet", [service, "--urls=http://127.0.0.1:0", $"--Pengx:DataDirectory={directory}", $"--Pengx:Hypervisor={hypervisor}"]) { RedirectStandardOutput = true })!;
        string? line;
        do
        {
            line = await process.StandardOutput.ReadLineAsync() ?? throw new InvalidOperationException("The service ended.");
        }
        while (!line.Contains(Listening, StringComparison.Ordinal));

        // A pipe that nobody reads would stop it.
        _ = process.StandardOutput.BaseStream.CopyToAsync(Stream.Null);
        return new(process, new(line[(line.IndexOf(Listening, StringComparison.Ordinal) + Listening.Length)..].Trim()));
    }

    public async ValueTask DisposeAsync()
    {
        Process.Kill();
        await Process.WaitForExitAsync();
        Process.Dispose();
    }
}

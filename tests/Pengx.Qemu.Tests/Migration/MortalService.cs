using System.Diagnostics;

namespace Pengx.Qemu.Tests;

/// <summary>A service in a process of its own that dies, as by SIGKILL, at a moment of a move.</summary>
internal sealed class MortalService : IAsyncDisposable
{
    private const string NoDomain = "-";

    private readonly Process _process;

    private MortalService(Process process) => _process = process;

    /// <summary>Starts it, and returns when its driver has.</summary>
    /// <param name="host">The host that it is the service of.</param>
    /// <param name="moment">When it dies.</param>
    /// <param name="moves">The domain that it moves away; none for one that waits.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    public static async Task<MortalService> StartAsync(QemuTestHost host, MoveMoment moment, DomainId? moves, CancellationToken cancellationToken)
    {
        var start = new ProcessStartInfo(Environment.ProcessPath!) { RedirectStandardOutput = true, RedirectStandardInput = true };
        string[] arguments =
        [
            Program.MoveArgument, host.Options.StateDirectory, host.Options.RunDirectory!, host.Options.PeerMigrationSocket!, moment.ToString(), moves?.ToString() ?? NoDomain, .. host.Options.SshOptions,
        ];
        foreach (var argument in arguments)
        {
            start.ArgumentList.Add(argument);
        }

        MortalService service = new(Process.Start(start)!);
        try
        {
            Assert.Equal("up", await service._process.StandardOutput.ReadLineAsync(cancellationToken).AsTask().WaitAsync(QemuTestHost.Patience, cancellationToken));
            return service;
        }
        catch
        {
            await service.DisposeAsync();
            throw;
        }
    }

    /// <summary>What the process does.</summary>
    /// <param name="arguments">What it was started with.</param>
    public static async Task PlayAsync(string[] arguments)
    {
        QemuOptions options = new() { StateDirectory = arguments[0], RunDirectory = arguments[1], PeerMigrationSocket = arguments[2] };
        foreach (var option in arguments[5..])
        {
            options.SshOptions.Add(option);
        }

        var dies = Enum.Parse<MoveMoment>(arguments[3]);
        await using QemuHypervisorDriver driver = new(options);
        driver.Environment.OnMove = moment =>
        {
            if (moment == dies)
            {
                using var self = Process.GetCurrentProcess();
                self.Kill();
                return new TaskCompletionSource().Task;
            }

            return Task.CompletedTask;
        };
        await driver.StartAsync();
        await Console.Out.WriteLineAsync("up");
        if (arguments[4] != NoDomain && DomainId.TryParse(arguments[4], out var id))
        {
            await MoveTestHosts.MigrationOf(driver).MigrateAsync(id, MoveTestHosts.OtherName);
        }

        await Console.In.ReadToEndAsync();
    }

    /// <summary>Waits until it has died.</summary>
    public async Task DiesAsync(CancellationToken cancellationToken)
    {
        await _process.WaitForExitAsync(cancellationToken).WaitAsync(QemuTestHost.Patience, cancellationToken);
        Assert.Equal(128 + 9, _process.ExitCode);
    }

    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
        {
            _process.Kill();
            await _process.WaitForExitAsync();
        }

        _process.Dispose();
    }
}

using System.Diagnostics;

namespace Pengx.Qemu.Tests;

/// <summary>Services come and go, guests stay.</summary>
public sealed class AdoptionTests : IAsyncLifetime
{
    private readonly QemuTestHost _host = new();

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public ValueTask InitializeAsync()
    {
        QemuTestHost.RequireQemu();
        return ValueTask.CompletedTask;
    }

    public ValueTask DisposeAsync() => _host.DisposeAsync();

    [Fact]
    public async Task A_guest_survives_the_kill_of_its_service_and_its_end_is_never_taken_for_another()
    {
        var definition = _host.CreateBootable();
        var id = definition.Id;
        await using (var driver = await _host.StartDriverAsync(Token))
        {
            await driver.Domains.DefineAsync(definition, Token);
        }

        await StartInAnotherServiceAndKillItAsync(id);
        await using (var driver = await _host.StartDriverAsync(Token))
        {
            Assert.Equal(VmState.Running, (await driver.Domains.FindAsync(id, Token))?.State);
            await using var console = QemuTestHost.ConsoleOf(driver, id, Token);
            await console.ExpectUpAsync();
            var taken = await Assert.ThrowsAsync<UnavailableException>(() => _host.StartDriverAsync(Token));
            Assert.Contains("Another service", taken.Message, StringComparison.Ordinal);
        }

        // The guest shuts down while no service runs: it has stopped, not crashed.
        await _host.TypeAsync(id, "poweroff", Token);
        await using (var driver = _host.CreateDriver())
        {
            await AwaitGuestDownAsync(id);
            await driver.StartAsync(Token);
            await driver.Domains.WaitUntilStoppedAsync(id, Token).WaitAsync(QemuTestHost.Patience, Token);
            Assert.Null(await driver.Domains.FindAsync(id, Token));
            await driver.Domains.StartAsync(id, Token);
        }

        // Its process is killed while no service runs: it has crashed.
        var pid = _host.PidOf(id);
        using (var process = QemuProcess.Open(pid, TimeProvider.System))
        {
            Assert.NotNull(process);
            process.Signal(NativeMethods.SigKill);
            Assert.True(await process.WaitForExitAsync(QemuTestHost.Patience, Token));
        }

        await using (var driver = await _host.StartDriverAsync(Token))
        {
            Assert.Equal(VmState.Crashed, (await driver.Domains.FindAsync(id, Token))?.State);
            Assert.False(Directory.Exists(_host.FilesOf(id).RunDirectory));
            await driver.Domains.DestroyAsync(id, Token);
            Assert.Null(await driver.Domains.FindAsync(id, Token));
        }
    }

    [Fact]
    public async Task A_start_that_its_service_did_not_live_to_finish_is_undone()
    {
        var definition = _host.CreateBootable();
        var id = definition.Id;
        await using (var driver = await _host.StartDriverAsync(Token))
        {
            await driver.Domains.DefineAsync(definition, Token);
            await driver.Domains.StartAsync(id, Token);
        }

        // As the record stands in the moments before the guest's first instruction.
        var files = _host.FilesOf(id);
        await files.WriteRunAsync(files.ReadRun()! with { HasRun = false }, Token);
        await using (var driver = await _host.StartDriverAsync(Token))
        {
            Assert.Null(await driver.Domains.FindAsync(id, Token));
            Assert.Empty(ProcessTable.Find(other => DomainFiles.PidFileOf(_host.Options.RunDirectory!, other)));
            Assert.Empty(Directory.EnumerateFileSystemEntries(_host.Options.RunDirectory!));
        }
    }

    /// <summary>Two services with directories of their own, both with the default place for sockets.</summary>
    [Fact]
    public async Task Guests_of_another_service_are_left_to_it()
    {
        await using var second = new QemuTestHost();
        await using var driver = new QemuHypervisorDriver(new() { StateDirectory = _host.Options.StateDirectory });
        await using var other = new QemuHypervisorDriver(new() { StateDirectory = second.Options.StateDirectory });
        Assert.NotEqual(driver.Environment.RunDirectory, other.Environment.RunDirectory);
        _host.Options.RunDirectory = driver.Environment.RunDirectory; // where it finds what a failed test leaves
        var definition = _host.CreateBootable();
        await driver.StartAsync(Token);
        await driver.Domains.DefineAsync(definition, Token);
        await driver.Domains.StartAsync(definition.Id, Token);
        await other.StartAsync(Token);
        Assert.Empty(await other.Domains.ListAsync(Token));
        await other.DisposeAsync();
        await driver.Domains.PauseAsync(definition.Id, Token);
        Assert.Equal(VmState.Paused, (await driver.Domains.FindAsync(definition.Id, Token))?.State);
        await driver.Domains.DestroyAsync(definition.Id, Token);
        Directory.Delete(driver.Environment.RunDirectory);
        Directory.Delete(other.Environment.RunDirectory);
    }

    [Fact]
    public async Task A_start_that_is_cancelled_leaves_only_the_definition()
    {
        var definition = _host.CreateBootable();
        var id = definition.Id;
        await using var driver = await _host.StartDriverAsync(Token);
        await driver.Domains.DefineAsync(definition, Token);
        _ = await driver.ProbeAsync(Token);
        foreach (var delay in new[] { 5, 20, 60 })
        {
            using var cancelled = CancellationTokenSource.CreateLinkedTokenSource(Token);
            cancelled.CancelAfter(TimeSpan.FromMilliseconds(delay));
            try
            {
                await driver.Domains.StartAsync(id, cancelled.Token);
                await driver.Domains.DestroyAsync(id, Token);
            }
            catch (OperationCanceledException)
            {
                Assert.Equal(["definition.json"], Directory.EnumerateFileSystemEntries(Path.Combine(_host.Options.StateDirectory, id.ToString())).Select(Path.GetFileName));
            }

            Assert.Null(await driver.Domains.FindAsync(id, Token));
            Assert.Empty(ProcessTable.Find(other => DomainFiles.PidFileOf(_host.Options.RunDirectory!, other)));
            Assert.Empty(Directory.EnumerateFileSystemEntries(_host.Options.RunDirectory!));
        }
    }

    private async Task StartInAnotherServiceAndKillItAsync(DomainId id)
    {
        using var service = new Process
        {
            StartInfo = new(Environment.ProcessPath!)
            {
                ArgumentList = { Program.ServeArgument, _host.Options.StateDirectory, _host.Options.RunDirectory!, id.ToString() },
                RedirectStandardOutput = true,
                RedirectStandardInput = true,
            },
        };
        Assert.True(service.Start());
        try
        {
            Assert.Equal("started", await service.StandardOutput.ReadLineAsync(Token).AsTask().WaitAsync(QemuTestHost.Patience, Token));
        }
        finally
        {
            service.Kill();
            await service.WaitForExitAsync(CancellationToken.None);
        }
    }

    // The guest's last word; then its processors stop, and QEMU waits.
    private async Task AwaitGuestDownAsync(DomainId id)
    {
        await using var client = await Qmp.QmpClient.ConnectAsync(_host.FilesOf(id).MonitorSocket, null, Token);
        using var events = client.Subscribe();
        var status = await client.ExecuteAsync(Qmp.QmpCommands.QueryStatus, Qmp.QmpEmpty.Instance, Token);
        if (status.Status == Qmp.QmpRunState.Shutdown)
        {
            return;
        }

        using var patience = CancellationTokenSource.CreateLinkedTokenSource(Token);
        patience.CancelAfter(QemuTestHost.Patience);
        await foreach (var qmpEvent in events.WithCancellation(patience.Token))
        {
            if (qmpEvent.Name == Qmp.QmpEventNames.Shutdown)
            {
                return;
            }
        }
    }
}

using System.Diagnostics;
using System.Net;
using System.Runtime.InteropServices;
using System.Text.Json;

namespace Pengx.Host.Tests;

/// <summary>The samples of the typed client, run as their users run them.</summary>
public sealed partial class SampleTests(SimulatedService service) : IClassFixture<SimulatedService>
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task The_inventory_is_a_table_and_json()
    {
        var name = $"inv {Guid.NewGuid():N}"[..20];
        var vm = await service.Host.AddMachineAsync(service.Storlink, name, 64, "<os_disk_size>1</os_disk_size><network><list-item>0</list-item></network>");
        var (code, table, errors) = await RunAsync("Pengx.Inventory", service.Host.Address.ToString());
        Assert.True(code == 0, errors);
        var row = Assert.Single(table.Split('\n'), line => line.StartsWith(name, StringComparison.Ordinal));
        Assert.Matches("SHUTDOWN +1 +64 MiB +1 MiB  xenbr0 00:16:3e:", row);

        (code, var json, errors) = await RunAsync("Pengx.Inventory", service.Host.Address.ToString(), "--json");
        Assert.True(code == 0, errors);
        using var document = JsonDocument.Parse(json);
        var machine = Assert.Single(document.RootElement.EnumerateArray(), machine => machine.GetProperty("id").GetString() == vm);
        Assert.Equal((name, 64), (machine.GetProperty("name").GetString(), machine.GetProperty("memoryMiB").GetInt32()));
        Assert.Equal("xenbr0", Assert.Single(machine.GetProperty("interfaces").EnumerateArray()).GetProperty("switch").GetString());

        (code, _, errors) = await RunAsync("Pengx.Inventory", new UriBuilder(service.Host.Address) { Path = "/v3/" }.ToString());
        Assert.Equal(1, code);
        Assert.Contains("v3", errors, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_watch_prints_what_happens_and_ends_when_it_is_interrupted()
    {
        var name = $"watch {Guid.NewGuid():N}"[..20];
        var vm = await service.Host.AddMachineAsync(service.Storlink, name, 64);
        using var watch = Start("Pengx.EventWatch", service.Host.Address.ToString());
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        Assert.Equal("watching; nothing is missed from here on", await watch.StandardOutput.ReadLineAsync(limit.Token));
        await service.Host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/start/", null, HttpStatusCode.OK);
        string? line;
        do
        {
            line = await watch.StandardOutput.ReadLineAsync(limit.Token);
            Assert.NotNull(line);
        }
        while (line != $"{name} ({vm}) is RUNNING");
        Assert.Equal(0, Kill(watch.Id, 2));
        await watch.WaitForExitAsync(limit.Token);
        Assert.Equal(0, watch.ExitCode);
    }

    [Fact]
    public async Task The_storage_migration_shows_its_progress()
    {
        var vm = await service.Host.AddMachineAsync(service.Storlink, $"move {Guid.NewGuid():N}"[..20], 64);
        var directory = Directory.CreateTempSubdirectory("pengx-store-").FullName;
        try
        {
            var target = await service.Host.AddStorlinkAsync(directory, $"move {Guid.NewGuid():N}"[..20]);
            var (code, printed, errors) = await RunAsync("Pengx.StorageMigration", service.Host.Address.ToString(), vm, target);
            Assert.True(code == 0, errors);
            Assert.Contains("[########################################] 100 %", printed, StringComparison.Ordinal);
            Assert.Equal(target, (await service.Host.GetXmlAsync($"/vms/{vm}/disks/")).Element("disk")!.Element("storlink")!.Value);
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }

    private static async Task<(int Code, string Output, string Errors)> RunAsync(string sample, params string[] arguments)
    {
        using var program = Start(sample, arguments);
        var output = program.StandardOutput.ReadToEndAsync(Token);
        var errors = program.StandardError.ReadToEndAsync(Token);
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        await program.WaitForExitAsync(limit.Token);
        return (program.ExitCode, await output, await errors);
    }

    private static Process Start(string sample, params string[] arguments)
    {
        var configuration = Path.GetFileName(Path.TrimEndingDirectorySeparator(AppContext.BaseDirectory));
        var start = new ProcessStartInfo("dotnet") { RedirectStandardOutput = true, RedirectStandardError = true };
        start.ArgumentList.Add(Path.Combine(Repository.Root, "artifacts", "bin", sample, configuration, $"{sample}.dll"));
        foreach (var argument in arguments)
        {
            start.ArgumentList.Add(argument);
        }

        return Process.Start(start)!;
    }

    [LibraryImport("libc", EntryPoint = "kill", SetLastError = true)]
    private static partial int Kill(int pid, int signal);
}

using System.Diagnostics;
using System.Globalization;
using Pengx.Client;
using Pengx.Data;
using Pengx.Testing;

namespace Pengx.Benchmarks.Xml;

/// <summary><c>GET /vms/</c> of a running service over HTTP: how soon the first bytes come, how long it takes, and what the service's process takes for it.</summary>
internal static class ServedListMeasurement
{
    private const int DisksEach = 3;
    private const int Rounds = 6;

    public static async Task RunAsync(string service)
    {
        foreach (var machines in (int[])[100, 10_000])
        {
            var directory = Directory.CreateTempSubdirectory("pengx-list-");
            try
            {
                await MeasureAsync(service, directory.FullName, machines);
            }
            finally
            {
                directory.Delete(recursive: true);
            }
        }
    }

    private static async Task MeasureAsync(string service, string directory, int machines)
    {
        await using var running = await RunningService.StartAsync(service, directory, "simulator");
        var process = running.Process;
        using var client = new HttpClient { BaseAddress = running.Address };
        var pm = await PengxXml.ReadAsync(await client.GetStreamAsync("/pms/"), PengxShapes.Pm);
        await FillAsync(Path.Combine(directory, "pengx.db"), new PmId(pm.Id), machines);
        for (var round = 0; round < Rounds; round++)
        {
            process.Refresh();
            var (processor, memory) = (process.TotalProcessorTime, process.WorkingSet64);
            var watch = Stopwatch.StartNew();
            using var answer = await client.GetAsync("/vms/", HttpCompletionOption.ResponseHeadersRead);
            answer.EnsureSuccessStatusCode();
            await using var body = await answer.Content.ReadAsStreamAsync();
            var buffer = new byte[64 * 1024];
            long length = await body.ReadAtLeastAsync(buffer, 1);
            var first = watch.Elapsed;
            for (int read; (read = await body.ReadAsync(buffer)) > 0; length += read)
            {
            }

            watch.Stop();
            process.Refresh();
            Console.WriteLine(string.Create(
                CultureInfo.InvariantCulture,
                $"{machines} machines, {machines * DisksEach} disks, round {round}: first bytes after {first.TotalMilliseconds:0.0} ms, all {length / 1024} KiB after {watch.Elapsed.TotalMilliseconds:0.0} ms; the service took {(process.TotalProcessorTime - processor).TotalMilliseconds:0} ms of processor time, its memory went from {memory >> 20} to {process.WorkingSet64 >> 20} MiB, at most {process.PeakWorkingSet64 >> 20}"));
        }
    }

    private static async Task FillAsync(string file, PmId pm, int machines)
    {
        await using var store = SqlitePengxStore.Open(file);
        await using var session = await store.OpenAsync();
        var storlink = SampleRows.Storlink(pm, 77);
        session.Storlinks.Add(storlink);
        for (var number = 0; number < machines; number++)
        {
            var vm = SampleRows.Vm(pm, $"vm {number}") with { CreatedAt = SampleRows.Time.AddSeconds(number) };
            session.VirtualMachines.Add(vm);
            session.VmInterfaces.Add(SampleRows.Interface(vm.Id, number));
            for (var order = 0; order < DisksEach; order++)
            {
                session.Disks.Add(SampleRows.Disk(DiskOwner.Of(vm.Id), storlink.Id, order));
            }
        }

        await session.SaveAsync();
    }
}

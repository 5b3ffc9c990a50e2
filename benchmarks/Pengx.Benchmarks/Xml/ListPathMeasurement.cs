using System.Diagnostics;
using System.Globalization;
using Pengx.Client;
using Pengx.Data;
using Pengx.Testing;

namespace Pengx.Benchmarks.Xml;

/// <summary>The way of <c>GET /vms/</c> from SQLite to XML: how soon the first bytes leave, how long it takes, what it allocates.</summary>
internal static class ListPathMeasurement
{
    private const int DisksEach = 3;

    public static async Task RunAsync()
    {
        foreach (var machines in (int[])[100, 10_000])
        {
            var directory = Directory.CreateTempSubdirectory("pengx-list-");
            try
            {
                await MeasureAsync(Path.Combine(directory.FullName, "pengx.db"), machines);
            }
            finally
            {
                directory.Delete(recursive: true);
            }
        }
    }

    private static async Task MeasureAsync(string file, int machines)
    {
        await using var store = SqlitePengxStore.Open(file);
        await store.InitializeAsync();
        await FillAsync(store, machines);
        await using var session = await store.OpenAsync();
        for (var round = 0; round < 4; round++)
        {
            var destination = new FirstByte();
            var allocated = GC.GetTotalAllocatedBytes(precise: true);
            destination.Watch.Start();
            await PengxXml.WriteListAsync(destination, PengxShapes.Machine, session.VirtualMachines.ListWithDevicesAsync().Select(ToResource));
            Console.WriteLine(string.Create(
                CultureInfo.InvariantCulture,
                $"{machines} machines, {machines * DisksEach} disks, round {round}: first bytes after {destination.First.TotalMilliseconds:0.0} ms, all {destination.Written / 1024} KiB after {destination.Watch.Elapsed.TotalMilliseconds:0.0} ms, {(GC.GetTotalAllocatedBytes(precise: true) - allocated) / 1024} KiB allocated"));
        }
    }

    private static async Task FillAsync(SqlitePengxStore store, int machines)
    {
        var pm = SampleRows.Pm();
        var storlink = SampleRows.Storlink(pm.Id);
        await using var session = await store.OpenAsync();
        session.PhysicalMachines.Add(pm);
        session.Storlinks.Add(storlink);
        for (var number = 0; number < machines; number++)
        {
            var vm = SampleRows.Vm(pm.Id, $"vm {number}") with { CreatedAt = SampleRows.Time.AddSeconds(number) };
            session.VirtualMachines.Add(vm);
            session.VmInterfaces.Add(SampleRows.Interface(vm.Id, number));
            for (var order = 0; order < DisksEach; order++)
            {
                session.Disks.Add(SampleRows.Disk(DiskOwner.Of(vm.Id), storlink.Id, order));
            }
        }

        await session.SaveAsync();
    }

    private static MachineResource ToResource(VirtualMachineDevices row) => new()
    {
        Id = row.Machine.Id.Value,
        Name = row.Machine.Name,
        Status = "SHUTDOWN",
        CpuCores = row.Machine.Cpus,
        Memory = row.Machine.Memory.MiB,
        MaxMemory = row.Machine.MaxMemory.MiB,
        DiskSize = row.Disks.Sum(disk => disk.Size.MiBCeiling),
        Pm = row.Machine.Pm.Value,
        Nics = [.. row.Interfaces.Select(nic => new MachineNicResource { Name = nic.Name, Mac = nic.Mac.ToString(), Network = nic.Switch })],
        Os = "DEBIAN",
        OsArch = "X64",
        Created = row.Machine.CreatedAt,
        LastBootTime = row.Machine.RecentBootedAt,
    };

    private sealed class FirstByte : MemoryStream
    {
        public Stopwatch Watch { get; } = new();

        public TimeSpan First { get; private set; }

        public long Written { get; private set; }

        public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
        {
            First = Written == 0 ? Watch.Elapsed : First;
            Written += buffer.Length;
            return ValueTask.CompletedTask;
        }
    }
}

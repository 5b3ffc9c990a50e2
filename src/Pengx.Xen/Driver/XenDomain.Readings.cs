using System.Globalization;
using System.Net;
using Pengx.Qmp;

namespace Pengx.Xen;

// What a domain is called, and what it tells of itself.
internal sealed partial class XenDomain
{
    private const int SectorSize = 512;

    public DomainDefinition? FindDefinition() => _files.ReadDefinition();

    public async Task<XenRun?> FindAsync(CancellationToken cancellationToken) => await ReadRunAsync(cancellationToken).ConfigureAwait(false);

    public Task RenameAsync(string name, CancellationToken cancellationToken) =>
        _turns.TakeAsync(
            "rename",
            async token =>
            {
                if (await ReadRunAsync(token).ConfigureAwait(false) is not { IsAlive: true } run)
                {
                    return;
                }

                var wanted = XlName.For(id, name);
                if (environment.Table.IsNameTaken(wanted.Value, id))
                {
                    wanted = XlName.For(id);
                }

                if (environment.Table.FindRow(id)?.Name != wanted.Value)
                {
                    await XlAsync(XlCommand.Rename(run.Domain, wanted), token).ConfigureAwait(false);
                }
            },
            cancellationToken);

    public async Task<VncEndpoint?> FindVncAsync(CancellationToken cancellationToken)
    {
        if (await ReadRunAsync(cancellationToken).ConfigureAwait(false) is not { IsAlive: true } run)
        {
            return null;
        }

        var console = XenstorePath.OfDomain(run.Domain) / "console";
        try
        {
            var port = await environment.Store.FindAsync(console / "vnc-port", cancellationToken).ConfigureAwait(false);
            var listen = await environment.Store.FindAsync(console / "vnc-listen", cancellationToken).ConfigureAwait(false);
            return port is { } value && value.TryGetInt64(out var number) && number is > 0 and <= ushort.MaxValue
                ? new((int)number, IPAddress.TryParse(listen?.ToString(), out var address) ? address : IPAddress.Loopback, null)
                : null;
        }
        catch (XenstoreException exception)
        {
            throw StoreFailure("reading the console's address", exception);
        }
    }

    public async Task<DomainCounters?> FindCountersAsync(CancellationToken cancellationToken)
    {
        if (await ReadRunAsync(cancellationToken).ConfigureAwait(false) is not { IsAlive: true } run)
        {
            return null;
        }

        // Disks that QEMU serves count there, those of the kernel's backend in sysfs.
        var (read, written) = await ReadQemuTrafficAsync(cancellationToken).ConfigureAwait(false);
        foreach (var device in Directory.Exists("/sys/bus/xen-backend/devices")
            ? Directory.EnumerateDirectories("/sys/bus/xen-backend/devices", string.Create(CultureInfo.InvariantCulture, $"vbd-{run.Domain}-*"))
            : [])
        {
            read += ReadSectors(Path.Combine(device, "statistics/rd_sect"));
            written += ReadSectors(Path.Combine(device, "statistics/wr_sect"));
        }

        return new(run.CpuTime, run.Memory, read, written);
    }

    private async Task<(long Read, long Written)> ReadQemuTrafficAsync(CancellationToken cancellationToken)
    {
        // A guest whose disks the kernel serves has no QEMU.
        if (!_monitor.IsThere)
        {
            return (0, 0);
        }

        try
        {
            var lease = await _monitor.OpenAsync(cancellationToken).ConfigureAwait(false);
            await using (lease.ConfigureAwait(false))
            {
                var disks = await lease.Client.ExecuteAsync(QmpCommands.QueryBlockStats, new(), cancellationToken).ConfigureAwait(false);
                return (disks.Sum(disk => disk.Stats.ReadBytes), disks.Sum(disk => disk.Stats.WrittenBytes));
            }
        }
        catch (QmpException exception)
        {
            throw new HypervisorException($"Domain {id}: reading its counters from QEMU failed: {exception.Message}", exception);
        }
    }

    private static long ReadSectors(string path)
    {
        try
        {
            return long.Parse(File.ReadAllText(path), CultureInfo.InvariantCulture) * SectorSize;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or FormatException)
        {
            return 0;
        }
    }
}

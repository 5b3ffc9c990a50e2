using System.Globalization;
using System.Net;
using Pengx.Qmp;

namespace Pengx.Qemu;

// What a running domain tells of itself.
internal sealed partial class QemuDomain
{
    public async Task<VncEndpoint?> FindVncAsync(CancellationToken cancellationToken)
    {
        if (Run is not { } run)
        {
            return null;
        }

        try
        {
            var vnc = await RequireClient(run).ExecuteAsync(QmpCommands.QueryVnc, cancellationToken).ConfigureAwait(false);
            return vnc switch
            {
                { Enabled: true, Family: "unix" } => new(null, null, vnc.Service ?? _files.VncSocket),
                { Enabled: true, Service: { } port } => new(int.Parse(port, CultureInfo.InvariantCulture), IPAddress.Parse(vnc.Host ?? "127.0.0.1"), null),
                _ => null,
            };
        }
        catch (QmpDisconnectedException)
        {
            return null;
        }
        catch (QmpException exception)
        {
            throw Translate("reading the console's address", exception);
        }
    }

    public async Task<DomainCounters?> FindCountersAsync(CancellationToken cancellationToken)
    {
        if (Run is not { } run || ProcessTable.ReadCpuTime(run.Process.Pid) is not { } cpuTime)
        {
            return null;
        }

        try
        {
            var disks = await RequireClient(run).ExecuteAsync(QmpCommands.QueryBlockStats, new(), cancellationToken).ConfigureAwait(false);
            return new(cpuTime, ProcessTable.ReadResidentMemory(run.Process.Pid), disks.Sum(disk => disk.Stats.ReadBytes), disks.Sum(disk => disk.Stats.WrittenBytes));
        }
        catch (QmpDisconnectedException)
        {
            return null;
        }
        catch (QmpException exception)
        {
            throw Translate("reading the counters", exception);
        }
    }
}

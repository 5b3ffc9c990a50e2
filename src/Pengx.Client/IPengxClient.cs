namespace Pengx.Client;

/// <summary>A pengx3 server, resource by resource. Every call fails with <see cref="PengxApiException"/>, or with its caller's cancellation.</summary>
public interface IPengxClient
{
    /// <summary>Virtual machines: <c>/vms/</c>.</summary>
    IMachineClient Machines { get; }

    /// <summary>The disks of virtual machines: <c>/vms/{id}/disks/</c>.</summary>
    IDiskClient Disks { get; }

    /// <summary>The backups of virtual machines: <c>/vms/{id}/backups/</c>.</summary>
    IBackupClient Backups { get; }

    /// <summary>The snapshots of virtual machines: <c>/vms/{id}/snapshots/</c>.</summary>
    ISnapshotClient Snapshots { get; }

    /// <summary>The network interfaces of virtual machines: <c>/vms/{id}/interfaces/</c>.</summary>
    IInterfaceClient Interfaces { get; }

    /// <summary>Where disks live: <c>/storlinks/</c>.</summary>
    IStorlinkClient Storlinks { get; }

    /// <summary>Templates: <c>/templates/</c>.</summary>
    ITemplateClient Templates { get; }

    /// <summary>Physical hosts: <c>/pms/</c> and <c>/pmperf/</c>.</summary>
    IHostClient Hosts { get; }

    /// <summary>What goes on at the server: <c>/operations/</c>.</summary>
    IOperationClient Operations { get; }

    /// <summary>Where the server's rows, storage, hypervisor and journal disagree: <c>/consistency/</c>.</summary>
    IConsistencyClient Consistency { get; }

    /// <summary>What happens at the server: <c>/events/</c>.</summary>
    IEventClient Events { get; }
}

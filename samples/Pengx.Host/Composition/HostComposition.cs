using Pengx.Orchestration;
using Pengx.Qemu;
using Pengx.Storage;
using Pengx.Xen;

namespace Pengx.Host;

/// <summary>Puts the libraries together as the configuration says.</summary>
internal static class HostComposition
{
    public static void AddPengxHost(this IServiceCollection services, PengxHostOptions options, IConfiguration configuration)
    {
        if (!options.Database.Provider.Equals("Sqlite", StringComparison.OrdinalIgnoreCase))
        {
            throw new InvalidOperationException($"Pengx:Database:Provider '{options.Database.Provider}' is refused: this version has Sqlite.");
        }

        PmId? pm = options.Pm.Uuid.Length == 0 ? null
            : PmId.TryParse(options.Pm.Uuid, out var id) ? id
            : throw new InvalidOperationException($"Pengx:Pm:Uuid '{options.Pm.Uuid}' is refused: it is not a UUID.");
        var backupFormat = DiskFormatNames.TryParse(options.BackupFormat, out var format)
            ? format
            : throw new InvalidOperationException($"Pengx:BackupFormat '{options.BackupFormat}' is refused: use raw or qcow2.");
        if (options.Limits.CopyMiBPerSecond < 0)
        {
            throw new InvalidOperationException($"Pengx:Limits:CopyMiBPerSecond '{options.Limits.CopyMiBPerSecond}' is refused: use 0 for no limit, or MiB a second.");
        }

        var directory = DataDirectory.Open(options.ResolvedDataDirectory);
        services.AddSingleton(directory);
        services.AddHostedService<HypervisorCheck>();
        services.Configure<MachineOptions>(machines =>
        {
            machines.LinkedClones = options.LinkedClones;
            machines.BackupFormat = backupFormat;
            machines.CopyBytesPerSecond = options.Limits.CopyMiBPerSecond > 0 ? DataSize.FromMiB(options.Limits.CopyMiBPerSecond).Bytes : null;
            machines.SshDirectory = options.SshDirectory.Length > 0 ? Path.GetFullPath(options.SshDirectory) : null;
            machines.AuthorizedKeysPath = options.AuthorizedKeysPath.Length > 0 ? Path.GetFullPath(options.AuthorizedKeysPath) : null;
            machines.MaxDiskLayers = options.Limits.DiskLayers is >= 2 and <= 60
                ? options.Limits.DiskLayers
                : throw new InvalidOperationException($"Pengx:Limits:DiskLayers '{options.Limits.DiskLayers}' is refused: a disk may consist of 2 to 60 images.");
            machines.ShutdownWait = TimeSpan.FromSeconds(options.Limits.ShutdownWaitSeconds);
            foreach (var iso in options.IsoDirectories)
            {
                machines.IsoDirectories.Add(iso);
            }
        });
        services.Configure<HostNetworkOptions>(networks => configuration.GetSection("Pengx:Networks").Bind(networks));
        services.Configure<StorageLayerOptions>(layers => layers.SecretDirectory = Path.Combine(directory.Path, "secrets"));
        services.Configure<IscsiOptions>(iscsi => configuration.GetSection("Pengx:Iscsi").Bind(iscsi));
        services.Configure<NfsOptions>(nfs => configuration.GetSection("Pengx:Nfs").Bind(nfs));
        services.Configure<Ocfs2Options>(ocfs2 => configuration.GetSection("Pengx:Ocfs2").Bind(ocfs2));
        services.Configure<DrbdOptions>(drbd => configuration.GetSection("Pengx:Drbd").Bind(drbd));
        services.Configure<LayerOptions>(layers => layers.LeaseDirectory = Leases(layers.LeaseDirectory));
        var hypervisor = options.Hypervisor.ToUpperInvariant();
        hypervisor = hypervisor != "AUTO" ? hypervisor : XenHypervisorDriver.IsControlDomain() ? "XEN" : "QEMU";
        var pengx = services.AddPengx()
            .AddLocalHost(directory.Path, options.Pm.Name.Length > 0 ? options.Pm.Name : null, pm)
            .AddSqlite(configuration.GetConnectionString("Pengx") ?? $"Data Source={Path.Combine(directory.Path, "pengx.db")}")
            .AddLocalStorage()
            .AddLvmStorage(Lvm)
            .AddCephStorage(Ceph)
            .AddSharedStorageLayers()
            .AddOrchestration(engine => engine.MaxConcurrentOperations = options.Limits.ConcurrentOperations);
        _ = hypervisor switch
        {
            "XEN" => pengx.AddXen(Xen),
            "QEMU" => pengx.AddQemu(Qemu),
            "SIMULATOR" => pengx.AddSimulator(),
            _ => throw new InvalidOperationException($"Pengx:Hypervisor '{options.Hypervisor}' is refused: use auto, xen, qemu or simulator."),
        };

        // All backends are there; what a storage link's level needs is looked for when one of that level is used.
        void Lvm(LvmOptions lvm)
        {
            lvm.LeaseDirectory = Leases(lvm.LeaseDirectory);
            configuration.GetSection("Pengx:Lvm").Bind(lvm);
        }

        void Ceph(CephOptions ceph)
        {
            ceph.StateDirectory = Path.Combine(directory.Path, "ceph");
            ceph.LeaseDirectory = Leases(ceph.LeaseDirectory);

            // Xen's disks cannot open an image by its name.
            ceph.Attach = hypervisor == "XEN" ? CephAttachMode.Kernel : CephAttachMode.Qemu;
            configuration.GetSection("Pengx:Ceph").Bind(ceph);
        }

        // What all services of a host share is root's.
        string Leases(string shared) => Environment.IsPrivilegedProcess ? shared : Path.Combine(directory.Path, "leases");

        void Qemu(QemuOptions qemu)
        {
            qemu.StateDirectory = Path.Combine(directory.Path, "qemu");
            configuration.GetSection("Pengx:Qemu").Bind(qemu);
        }

        void Xen(XenOptions xen)
        {
            xen.StateDirectory = Path.Combine(directory.Path, "xen");
            xen.Guests = options.Xen.ToProfile();
            foreach (var option in options.Xen.SshOptions)
            {
                xen.SshOptions.Add(option);
            }
        }
    }
}

using Pengx.Orchestration;

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
        var directory = DataDirectory.Open(options.ResolvedDataDirectory);
        services.AddSingleton(directory);
        services.AddHostedService<HypervisorCheck>();
        services.Configure<MachineOptions>(machines =>
        {
            machines.LinkedClones = options.LinkedClones;
            machines.SshDirectory = options.SshDirectory.Length > 0 ? Path.GetFullPath(options.SshDirectory) : null;
            machines.AuthorizedKeysPath = options.AuthorizedKeysPath.Length > 0 ? Path.GetFullPath(options.AuthorizedKeysPath) : null;
            machines.ShutdownWait = TimeSpan.FromSeconds(options.Limits.ShutdownWaitSeconds);
            foreach (var iso in options.IsoDirectories)
            {
                machines.IsoDirectories.Add(iso);
            }
        });
        var pengx = services.AddPengx()
            .AddLocalHost(directory.Path, options.Pm.Name.Length > 0 ? options.Pm.Name : null, pm)
            .AddSqlite(configuration.GetConnectionString("Pengx") ?? $"Data Source={Path.Combine(directory.Path, "pengx.db")}")
            .AddLocalStorage()
            .AddOrchestration(engine => engine.MaxConcurrentOperations = options.Limits.ConcurrentOperations);
        _ = options.Hypervisor.ToUpperInvariant() switch
        {
            "AUTO" or "QEMU" => pengx.AddQemu(qemu => qemu.StateDirectory = Path.Combine(directory.Path, "qemu")),
            "SIMULATOR" => pengx.AddSimulator(),
            _ => throw new InvalidOperationException($"Pengx:Hypervisor '{options.Hypervisor}' is refused: use auto, qemu or simulator."),
        };
    }
}

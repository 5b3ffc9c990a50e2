using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;
using Pengx.Orchestration;

namespace Pengx;

/// <summary>Registers the use cases and the engine that runs them.</summary>
public static class PengxOrchestrationBuilderExtensions
{
    /// <summary>Adds the use cases, the operation engine and the service that starts them. They need a database
    /// (<see cref="IPengxStore"/>, <see cref="IOperationJournal"/>), a driver (<see cref="IHypervisorDriver"/>), storage
    /// (<see cref="IStorageBackend"/>) and this PM's identity (<see cref="AddLocalHost"/>). How machines are made is configured by
    /// <see cref="MachineOptions"/>.</summary>
    /// <param name="builder">The application's Pengx.</param>
    /// <param name="configure">Changes how operations are run.</param>
    public static IPengxBuilder AddOrchestration(this IPengxBuilder builder, Action<OrchestrationOptions>? configure = null)
    {
        ArgumentNullException.ThrowIfNull(builder);
        var services = builder.Services;
        services.AddOptions<MachineOptions>();
        var options = services.AddOptions<OrchestrationOptions>();
        if (configure is not null)
        {
            options.Configure(configure);
        }

        services.TryAddSingleton(provider => new Workplace(
            provider.GetRequiredService<IPengxStore>(),
            provider.GetRequiredService<IHypervisorDriver>(),
            provider.GetServices<IStorageBackend>(),
            provider.GetRequiredService<TimeProvider>(),
            provider.GetRequiredService<IOptions<MachineOptions>>(),
            provider.GetRequiredService<LocalHost>())
        {
            Journal = provider.GetRequiredService<IOperationJournal>(),
            Chains = provider.GetService<IDiskChains>()!,
            DiskUse = provider.GetService<IDiskUse>()!,
        });
        services.TryAddSingleton(provider => new WorkflowCatalog(provider.GetRequiredService<Workplace>()));
        foreach (var workflow in WorkflowCatalog.All)
        {
            services.AddSingleton(provider => workflow(provider.GetRequiredService<WorkflowCatalog>()));
        }

        services.AddOptions<HostNetworkOptions>();
        services.AddOptions<StorageLayerOptions>();
        services.TryAddSingleton<IHostNetworking>(provider => new LinuxNetworking(
            provider.GetRequiredService<HostInterfaces>(), provider.GetRequiredService<IOptions<HostNetworkOptions>>().Value,
            provider.GetRequiredService<IProcessRunner>(), provider.GetService<IPlanExecutor>()));
        services.TryAddSingleton<IHostSriov>(provider => new LinuxSriov(provider.GetRequiredService<IOptions<HostNetworkOptions>>().Value));
        services.TryAddSingleton(provider => new StorageLayerDrivers(provider.GetServices<IStorageLayerDriver>()));
        services.TryAddSingleton(provider => new HostWorkflows(
            provider.GetRequiredService<Workplace>(), provider.GetRequiredService<IHostNetworking>(), provider.GetRequiredService<IHostSriov>(), provider.GetRequiredService<StorageLayerDrivers>()));
        foreach (var workflow in HostWorkflows.All)
        {
            services.AddSingleton(provider => workflow(provider.GetRequiredService<HostWorkflows>()));
        }

        services.TryAddSingleton(provider => new Networks(
            provider.GetRequiredService<Workplace>(), provider.GetRequiredService<HostWorkflows>(), provider.GetRequiredService<IOperations>(), provider.GetRequiredService<IHostNetworking>()));
        services.TryAddSingleton(provider => new NameServers(
            provider.GetRequiredService<Workplace>(), provider.GetRequiredService<HostWorkflows>(), provider.GetRequiredService<IOperations>(), provider.GetRequiredService<IHostNetworking>()));
        services.TryAddSingleton(provider => new SriovCards(
            provider.GetRequiredService<Workplace>(), provider.GetRequiredService<HostWorkflows>(), provider.GetRequiredService<IOperations>(), provider.GetRequiredService<IHostSriov>()));
        services.TryAddSingleton(provider => new StorageLayers(
            provider.GetRequiredService<Workplace>(), provider.GetRequiredService<HostWorkflows>(), provider.GetRequiredService<IOperations>(), provider.GetRequiredService<StorageLayerDrivers>(),
            provider.GetRequiredService<IOperationJournal>(), provider.GetRequiredService<IOptions<StorageLayerOptions>>().Value));
        services.TryAddSingleton(provider => new OperationEngine(
            provider.GetRequiredService<IOperationJournal>(),
            provider.GetServices<Workflow>(),
            provider.GetRequiredService<LocalHost>(),
            provider.GetRequiredService<IOptions<OrchestrationOptions>>(),
            provider.GetRequiredService<TimeProvider>(),
            LoggerOf<OperationEngine>(provider))
        {
            DemandAsync = provider.GetRequiredService<Workplace>().DemandOwnAsync,
        });
        services.TryAddSingleton<IOperations>(provider => provider.GetRequiredService<OperationEngine>());
        services.TryAddSingleton<IsoLibrary>();
        services.TryAddSingleton(provider => new HostInterfaces(Path.Combine(provider.GetRequiredService<IOptions<HostNetworkOptions>>().Value.Sys, "class/net")));
        services.TryAddSingleton(provider => new PhysicalMachines(
            provider.GetRequiredService<Workplace>(), provider.GetRequiredService<WorkflowCatalog>(), provider.GetRequiredService<IOperations>(), provider.GetRequiredService<HostInterfaces>()));
        services.TryAddSingleton(provider => new Storlinks(provider.GetRequiredService<Workplace>(), provider.GetRequiredService<WorkflowCatalog>(), provider.GetRequiredService<IOperations>()));
        services.TryAddSingleton(provider => new VirtualMachines(provider.GetRequiredService<Workplace>(), provider.GetRequiredService<WorkflowCatalog>(), provider.GetRequiredService<IOperations>()));
        services.TryAddSingleton(provider => new VirtualMachineDisks(
            provider.GetRequiredService<Workplace>(), provider.GetRequiredService<WorkflowCatalog>(), provider.GetRequiredService<IOperations>(), provider.GetRequiredService<VirtualMachines>()));
        services.TryAddSingleton(provider => new VirtualMachineSnapshots(
            provider.GetRequiredService<Workplace>(), provider.GetRequiredService<WorkflowCatalog>(), provider.GetRequiredService<IOperations>(), provider.GetRequiredService<VirtualMachines>()));
        services.TryAddSingleton(provider => new VirtualMachineInterfaces(
            provider.GetRequiredService<Workplace>(), provider.GetRequiredService<WorkflowCatalog>(), provider.GetRequiredService<IOperations>(), provider.GetRequiredService<VirtualMachines>()));
        services.TryAddSingleton(provider => new Templates(
            provider.GetRequiredService<Workplace>(), provider.GetRequiredService<WorkflowCatalog>(), provider.GetRequiredService<IOperations>(), provider.GetRequiredService<VirtualMachines>(), provider.GetRequiredService<IsoLibrary>()));
        services.TryAddSingleton(provider => new VirtualMachineBackups(
            provider.GetRequiredService<Workplace>(), provider.GetRequiredService<WorkflowCatalog>(), provider.GetRequiredService<IOperations>(), provider.GetRequiredService<VirtualMachines>()));
        services.TryAddSingleton(provider => new ConsistencyCheck(
            provider.GetRequiredService<Workplace>(), provider.GetRequiredService<WorkflowCatalog>(), provider.GetRequiredService<IOperations>()));
        services.TryAddSingleton(provider => new PengxService(
            provider.GetRequiredService<Workplace>(), provider.GetRequiredService<WorkflowCatalog>(), provider.GetRequiredService<PhysicalMachines>(), provider.GetRequiredService<StorageLayers>(), provider.GetRequiredService<OperationEngine>(),
            LoggerOf<PengxService>(provider), LoggerOf<Reconciler>(provider)));
        services.AddSingleton<IHostedService>(provider => provider.GetRequiredService<PengxService>());
        return builder;
    }

    /// <summary>Says who this PM is: its identifier is generated once and kept in the data directory.</summary>
    /// <param name="builder">The application's Pengx.</param>
    /// <param name="dataDirectory">The service's data directory.</param>
    /// <param name="name">The PM's name; the host's name when not given.</param>
    /// <param name="id">The PM's identifier where it is configured.</param>
    public static IPengxBuilder AddLocalHost(this IPengxBuilder builder, string dataDirectory, string? name = null, PmId? id = null)
    {
        ArgumentNullException.ThrowIfNull(builder);
        builder.Services.TryAddSingleton(_ => LocalHostFile.Load(dataDirectory, name, id));
        return builder;
    }

    /// <summary>An application without logging is served, too.</summary>
    private static ILogger<T> LoggerOf<T>(IServiceProvider provider) => provider.GetService<ILogger<T>>() ?? NullLogger<T>.Instance;
}

using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Pengx.Storage;

namespace Pengx;

/// <summary>Registers the storage backends.</summary>
public static class PengxStorageBuilderExtensions
{
    /// <summary>Adds disks as files in directories, and <see cref="ImageTool"/>, <see cref="ImageCopier"/> and <see cref="IDiskChains"/>.</summary>
    /// <param name="builder">What the application uses of Pengx.</param>
    /// <param name="configure">Sets how <c>qemu-img</c> is run.</param>
    public static IPengxBuilder AddLocalStorage(this IPengxBuilder builder, Action<ImageToolOptions>? configure = null)
    {
        ArgumentNullException.ThrowIfNull(builder);
        AddImageToolOptions(builder, configure);
        builder.Services.TryAddSingleton(services => new ImageTool(
            services.GetRequiredService<IProcessRunner>(),
            services.GetRequiredService<IOptions<ImageToolOptions>>().Value));
        builder.Services.TryAddSingleton(services => new ImageCopier(
            services.GetRequiredService<IProcessRunner>(),
            services.GetRequiredService<IOptions<ImageToolOptions>>().Value,
            services.GetRequiredService<TimeProvider>(),
            services.GetService<ILogger<ImageCopier>>()));
        AddImageChains(builder);
        AddPlanExecutor(builder);
        builder.Services.TryAddEnumerable(ServiceDescriptor.Singleton<IStorageLayerDriver, LocalLayers>(services => new LocalLayers(
            services.GetRequiredService<IProcessRunner>(),
            leaseDirectory: services.GetRequiredService<IOptions<LayerOptions>>().Value.LeaseDirectory,
            timeProvider: services.GetRequiredService<TimeProvider>(),
            logger: services.GetService<ILogger<StoragePlanExecutor>>())));
        builder.Services.AddOptions<LayerOptions>();
        builder.Services.TryAddEnumerable(ServiceDescriptor.Singleton<IStorageBackend, LocalStorage>(services => new LocalStorage(
            services.GetRequiredService<IProcessRunner>(),
            services.GetRequiredService<IOptions<ImageToolOptions>>().Value,
            services.GetRequiredService<TimeProvider>(),
            services.GetService<ILogger<LocalStorage>>())));
        return builder;
    }

    /// <summary>Adds disks as logical volumes, LVM's layers beneath storage links, and <see cref="IDiskChains"/>.</summary>
    /// <param name="builder">What the application uses of Pengx.</param>
    /// <param name="configure">Sets how LVM is used.</param>
    public static IPengxBuilder AddLvmStorage(this IPengxBuilder builder, Action<LvmOptions>? configure = null)
    {
        ArgumentNullException.ThrowIfNull(builder);
        AddImageToolOptions(builder, null);
        AddImageChains(builder);
        var options = builder.Services.AddOptions<LvmOptions>()
            .Validate(
                value => value.Lvm.Length > 0 && value.LeaseDirectory.StartsWith('/') && value.ThinWatermark is > 0 and <= 100
                    && value.Timeout > TimeSpan.Zero && value.WipeTimeout > TimeSpan.Zero && value.LockTimeout > TimeSpan.Zero,
                "The name of lvm must not be empty, the lease directory must be an absolute path, the watermark a percentage, and the times positive.");
        if (configure is not null)
        {
            options.Configure(configure);
        }

        builder.Services.TryAddEnumerable(ServiceDescriptor.Singleton<IStorageBackend, LvmStorage>(services => new LvmStorage(
            services.GetRequiredService<IProcessRunner>(),
            services.GetRequiredService<IOptions<LvmOptions>>().Value,
            services.GetRequiredService<IOptions<ImageToolOptions>>().Value,
            services.GetRequiredService<TimeProvider>(),
            services.GetService<ILogger<LvmStorage>>())));
        builder.Services.TryAddEnumerable(ServiceDescriptor.Singleton<IStorageLayerDriver, LvmLayers>(services => new LvmLayers(
            services.GetRequiredService<IProcessRunner>(),
            services.GetRequiredService<IOptions<LvmOptions>>().Value,
            timeProvider: services.GetRequiredService<TimeProvider>(),
            logger: services.GetService<ILogger<StoragePlanExecutor>>())));
        return builder;
    }

    private static void AddImageChains(IPengxBuilder builder)
    {
        builder.Services.TryAddSingleton(services => new ImageChains(
            services.GetRequiredService<IProcessRunner>(),
            services.GetRequiredService<IOptions<ImageToolOptions>>().Value,
            services.GetRequiredService<TimeProvider>()));
        builder.Services.TryAddSingleton<IDiskChains>(services => services.GetRequiredService<ImageChains>());
        builder.Services.TryAddSingleton<IDiskUse>(services => services.GetRequiredService<ImageChains>());
    }

    /// <summary>Adds the layers beneath storage links that this host shares with others: iSCSI, NFS, Fibre Channel, OCFS2 and DRBD. What
    /// they need of the host is looked for when one is used.</summary>
    /// <param name="builder">What the application uses of Pengx.</param>
    public static IPengxBuilder AddSharedStorageLayers(this IPengxBuilder builder)
    {
        ArgumentNullException.ThrowIfNull(builder);
        builder.Services.AddOptions<LayerOptions>();
        builder.Services.AddOptions<IscsiOptions>();
        builder.Services.AddOptions<NfsOptions>();
        builder.Services.AddOptions<FibreChannelOptions>();
        builder.Services.AddOptions<Ocfs2Options>();
        builder.Services.AddOptions<DrbdOptions>();
        AddLayers((runner, services, leases, time, logger) => new IscsiLayers(runner, services.GetRequiredService<IOptions<IscsiOptions>>().Value, leases, time, logger));
        AddLayers((runner, services, leases, time, logger) => new NfsLayers(runner, services.GetRequiredService<IOptions<NfsOptions>>().Value, leases, time, logger));
        AddLayers((runner, services, leases, time, logger) => new FibreChannelLayers(runner, services.GetRequiredService<IOptions<FibreChannelOptions>>().Value, leases, time, logger));
        AddLayers((runner, services, leases, time, logger) => new Ocfs2Layers(runner, services.GetRequiredService<IOptions<Ocfs2Options>>().Value, leases, time, logger));
        AddLayers((runner, services, leases, time, logger) => new DrbdLayers(runner, services.GetRequiredService<IOptions<DrbdOptions>>().Value, leases, time, logger));
        return builder;

        void AddLayers<T>(Func<IProcessRunner, IServiceProvider, string, TimeProvider, ILogger<StoragePlanExecutor>?, T> make)
            where T : class, IStorageLayerDriver =>
            builder.Services.TryAddEnumerable(ServiceDescriptor.Singleton<IStorageLayerDriver, T>(services => make(
                services.GetRequiredService<IProcessRunner>(),
                services,
                services.GetRequiredService<IOptions<LayerOptions>>().Value.LeaseDirectory,
                services.GetRequiredService<TimeProvider>(),
                services.GetService<ILogger<StoragePlanExecutor>>())));
    }

    private static void AddPlanExecutor(IPengxBuilder builder) => builder.Services.TryAddSingleton<IPlanExecutor>(services => new StoragePlanExecutor(
        services.GetRequiredService<IProcessRunner>(), services.GetRequiredService<TimeProvider>(), services.GetService<ILogger<StoragePlanExecutor>>()));

    private static void AddImageToolOptions(IPengxBuilder builder, Action<ImageToolOptions>? configure)
    {
        var options = builder.Services.AddOptions<ImageToolOptions>()
            .Validate(
                value => value.QemuImg.Length > 0 && value.Timeout > TimeSpan.Zero && value.StallTimeout > TimeSpan.Zero,
                "The name of qemu-img must not be empty, and its times must be positive.");
        if (configure is not null)
        {
            options.Configure(configure);
        }
    }
}

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
            services.GetRequiredService<IOptions<ImageToolOptions>>().Value,
            services.GetRequiredService<TimeProvider>()));
        builder.Services.TryAddSingleton(services => new ImageCopier(
            services.GetRequiredService<IProcessRunner>(),
            services.GetRequiredService<IOptions<ImageToolOptions>>().Value,
            services.GetRequiredService<TimeProvider>(),
            services.GetService<ILogger<ImageCopier>>()));
        AddImageChains(builder);
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

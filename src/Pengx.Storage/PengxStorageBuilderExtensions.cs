using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Pengx.Storage;

namespace Pengx;

/// <summary>Registers the storage backends.</summary>
public static class PengxStorageBuilderExtensions
{
    /// <summary>Adds disks as files in directories, and <see cref="ImageTool"/>.</summary>
    /// <param name="builder">What the application uses of Pengx.</param>
    /// <param name="configure">Sets how <c>qemu-img</c> is run.</param>
    public static IPengxBuilder AddLocalStorage(this IPengxBuilder builder, Action<ImageToolOptions>? configure = null)
    {
        ArgumentNullException.ThrowIfNull(builder);
        var options = builder.Services.AddOptions<ImageToolOptions>()
            .Validate(
                value => value.QemuImg.Length > 0 && value.Timeout > TimeSpan.Zero && value.StallTimeout > TimeSpan.Zero,
                "The name of qemu-img must not be empty, and its times must be positive.");
        if (configure is not null)
        {
            options.Configure(configure);
        }

        builder.Services.TryAddSingleton(services => new ImageTool(
            services.GetRequiredService<IProcessRunner>(),
            services.GetRequiredService<IOptions<ImageToolOptions>>().Value,
            services.GetRequiredService<TimeProvider>()));
        builder.Services.TryAddEnumerable(ServiceDescriptor.Singleton<IStorageBackend, LocalStorage>(services => new LocalStorage(
            services.GetRequiredService<IProcessRunner>(),
            services.GetRequiredService<IOptions<ImageToolOptions>>().Value,
            services.GetRequiredService<TimeProvider>(),
            services.GetService<ILogger<LocalStorage>>())));
        return builder;
    }
}

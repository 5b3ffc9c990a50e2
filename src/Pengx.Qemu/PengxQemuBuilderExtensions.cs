using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Pengx.Qemu;

namespace Pengx;

/// <summary>Registers the QEMU driver with an application.</summary>
public static class PengxQemuBuilderExtensions
{
    /// <summary>Adds the QEMU driver as one of the application's hypervisor drivers.</summary>
    /// <param name="builder">The application's Pengx.</param>
    /// <param name="configure">Sets the options; <see cref="QemuOptions.StateDirectory"/> is required, here or elsewhere.</param>
    public static IPengxBuilder AddQemu(this IPengxBuilder builder, Action<QemuOptions>? configure = null)
    {
        ArgumentNullException.ThrowIfNull(builder);
        var options = builder.Services.AddOptions<QemuOptions>();
        if (configure is not null)
        {
            options.Configure(configure);
        }

        builder.Services.TryAddSingleton(static services => new QemuHypervisorDriver(
            services.GetRequiredService<IOptions<QemuOptions>>().Value,
            services.GetRequiredService<IProcessRunner>(),
            services.GetRequiredService<TimeProvider>(),
            services.GetService<ILogger<QemuHypervisorDriver>>()));
        builder.Services.TryAddEnumerable(ServiceDescriptor.Singleton<IHypervisorDriver, QemuHypervisorDriver>(
            static services => services.GetRequiredService<QemuHypervisorDriver>()));
        return builder;
    }
}

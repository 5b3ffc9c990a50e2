using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Pengx.Xen;

namespace Pengx;

/// <summary>Registers the Xen driver with an application.</summary>
public static class PengxXenBuilderExtensions
{
    /// <summary>Adds the Xen driver as one of the application's hypervisor drivers.</summary>
    /// <param name="builder">The application's Pengx.</param>
    /// <param name="configure">Sets the options; <see cref="XenOptions.StateDirectory"/> is required, here or elsewhere.</param>
    public static IPengxBuilder AddXen(this IPengxBuilder builder, Action<XenOptions>? configure = null)
    {
        ArgumentNullException.ThrowIfNull(builder);
        var options = builder.Services.AddOptions<XenOptions>();
        if (configure is not null)
        {
            options.Configure(configure);
        }

        builder.Services.TryAddSingleton(static services => new XenHypervisorDriver(
            services.GetRequiredService<IOptions<XenOptions>>().Value,
            services.GetRequiredService<IProcessRunner>(),
            services.GetRequiredService<TimeProvider>(),
            services.GetService<ILogger<XenHypervisorDriver>>()));
        builder.Services.TryAddEnumerable(ServiceDescriptor.Singleton<IHypervisorDriver, XenHypervisorDriver>(
            static services => services.GetRequiredService<XenHypervisorDriver>()));
        return builder;
    }
}

using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Pengx.Storage;

namespace Pengx;

/// <summary>Registers the Ceph storage backend.</summary>
public static class PengxCephStorageBuilderExtensions
{
    /// <summary>Adds disks as RBD images of a Ceph cluster.</summary>
    /// <param name="builder">What the application uses of Pengx.</param>
    /// <param name="configure">Sets how the cluster is reached.</param>
    public static IPengxBuilder AddCephStorage(this IPengxBuilder builder, Action<CephOptions>? configure = null)
    {
        ArgumentNullException.ThrowIfNull(builder);
        var options = builder.Services.AddOptions<CephOptions>();
        if (configure is not null)
        {
            options.Configure(configure);
        }

        builder.Services.TryAddEnumerable(ServiceDescriptor.Singleton<IStorageBackend, RbdStorage>(static services => new RbdStorage(
            services.GetRequiredService<IProcessRunner>(),
            services.GetRequiredService<IOptions<CephOptions>>().Value,
            services.GetRequiredService<TimeProvider>(),
            services.GetService<ILogger<RbdStorage>>())));
        return builder;
    }
}

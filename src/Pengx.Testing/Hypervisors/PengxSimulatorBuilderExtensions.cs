using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Pengx.Testing;

namespace Pengx;

/// <summary>Registers the hypervisor in memory.</summary>
public static class PengxSimulatorBuilderExtensions
{
    /// <summary>Adds <see cref="SimulatedHypervisor"/> as the driver, on a <see cref="SimulatedHost"/> of its own unless one is registered.</summary>
    /// <param name="builder">The application's Pengx.</param>
    public static IPengxBuilder AddSimulator(this IPengxBuilder builder)
    {
        ArgumentNullException.ThrowIfNull(builder);
        builder.Services.TryAddSingleton(services => new SimulatedHost(services.GetRequiredService<TimeProvider>()));
        builder.Services.AddSingleton<IHypervisorDriver, SimulatedHypervisor>();
        return builder;
    }
}

using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;

namespace Pengx;

/// <summary>Collects what an application uses of Pengx: <c>services.AddPengx().AddQemu().AddLocalStorage()</c>.</summary>
public interface IPengxBuilder
{
    /// <summary>The application's services.</summary>
    IServiceCollection Services { get; }
}

/// <summary>Registers Pengx with an application's services.</summary>
public static class PengxServiceCollectionExtensions
{
    /// <summary>Adds what every part of Pengx needs: the clock and the process runner.</summary>
    /// <param name="services">The application's services.</param>
    public static IPengxBuilder AddPengx(this IServiceCollection services)
    {
        ArgumentNullException.ThrowIfNull(services);
        services.TryAddSingleton(TimeProvider.System);
        services.TryAddSingleton<IProcessRunner, ProcessRunner>();
        return new Builder(services);
    }

    private sealed class Builder(IServiceCollection services) : IPengxBuilder
    {
        public IServiceCollection Services { get; } = services;
    }
}

using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;

namespace Pengx.Client;

/// <summary>Registers the client of a pengx3 server.</summary>
public static class PengxClientServiceCollectionExtensions
{
    private const string HttpClientName = "Pengx.Client";

    /// <summary>
    /// Registers one <see cref="IPengxClient"/> (and <see cref="PengxClient"/>) for the application, on <see cref="IHttpClientFactory"/>.
    /// Redirects are not followed and cookies are not kept.
    /// </summary>
    /// <param name="services">The application's services.</param>
    /// <param name="configure">Sets at least <see cref="PengxClientOptions.BaseAddress"/>; checked when the application starts.</param>
    /// <returns>The builder of the underlying HTTP client, for example to add a handler that authenticates.</returns>
    public static IHttpClientBuilder AddPengxClient(this IServiceCollection services, Action<PengxClientOptions> configure)
    {
        var builder = Add(services, Options.DefaultName, configure);
        services.TryAddSingleton(provider => Create(provider, Options.DefaultName));
        services.TryAddSingleton<IPengxClient>(provider => provider.GetRequiredService<PengxClient>());
        return builder;
    }

    /// <summary>
    /// Registers one of several clients, each with its own address, key, TLS and handlers: asked for with
    /// <c>[FromKeyedServices(name)] IPengxClient</c>.
    /// </summary>
    /// <param name="services">The application's services.</param>
    /// <param name="name">The client's name, the key under which it is asked for.</param>
    /// <param name="configure">Sets at least <see cref="PengxClientOptions.BaseAddress"/>; checked when the application starts.</param>
    /// <returns>The builder of the underlying HTTP client, for example to add a handler that authenticates.</returns>
    public static IHttpClientBuilder AddKeyedPengxClient(this IServiceCollection services, string name, Action<PengxClientOptions> configure)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        var builder = Add(services, name, configure);
        services.TryAddKeyedSingleton(name, (provider, _) => Create(provider, name));
        services.TryAddKeyedSingleton<IPengxClient>(name, (provider, _) => provider.GetRequiredKeyedService<PengxClient>(name));
        return builder;
    }

    private static IHttpClientBuilder Add(IServiceCollection services, string name, Action<PengxClientOptions> configure)
    {
        ArgumentNullException.ThrowIfNull(services);
        ArgumentNullException.ThrowIfNull(configure);
        services.AddOptions<PengxClientOptions>(name).Configure(configure).ValidateOnStart();
        services.TryAddEnumerable(ServiceDescriptor.Singleton<IValidateOptions<PengxClientOptions>, PengxClientOptionsValidator>());
        services.TryAddSingleton(TimeProvider.System);
        return services
            .AddHttpClient(HttpClientOf(name), client => client.Timeout = Timeout.InfiniteTimeSpan)
            .ConfigurePrimaryHttpMessageHandler(() => PengxClient.CreateHandler());
    }

    private static PengxClient Create(IServiceProvider provider, string name)
    {
        var factory = provider.GetRequiredService<IHttpClientFactory>();
        return new PengxClient(
            () => factory.CreateClient(HttpClientOf(name)),
            provider.GetRequiredService<IOptionsMonitor<PengxClientOptions>>().Get(name),
            provider.GetRequiredService<TimeProvider>(),
            provider.GetService<ILogger<PengxClient>>() ?? NullLogger<PengxClient>.Instance);
    }

    private static string HttpClientOf(string name) => name.Length == 0 ? HttpClientName : $"{HttpClientName}.{name}";
}

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
    /// <returns>The builder of the underlying HTTP client, for example to add a handler.</returns>
    public static IHttpClientBuilder AddPengxClient(this IServiceCollection services, Action<PengxClientOptions> configure)
    {
        ArgumentNullException.ThrowIfNull(services);
        ArgumentNullException.ThrowIfNull(configure);
        services.AddOptions<PengxClientOptions>().Configure(configure).ValidateOnStart();
        services.TryAddEnumerable(ServiceDescriptor.Singleton<IValidateOptions<PengxClientOptions>, PengxClientOptionsValidator>());
        services.TryAddSingleton(TimeProvider.System);
        services.TryAddSingleton(provider =>
        {
            var factory = provider.GetRequiredService<IHttpClientFactory>();
            return new PengxClient(
                () => factory.CreateClient(HttpClientName),
                provider.GetRequiredService<IOptions<PengxClientOptions>>().Value,
                provider.GetRequiredService<TimeProvider>(),
                provider.GetService<ILogger<PengxClient>>() ?? NullLogger<PengxClient>.Instance);
        });
        services.TryAddSingleton<IPengxClient>(provider => provider.GetRequiredService<PengxClient>());
        return services
            .AddHttpClient(HttpClientName, client => client.Timeout = Timeout.InfiniteTimeSpan)
            .ConfigurePrimaryHttpMessageHandler(PengxClient.CreateHandler);
    }
}

using System.Net;

namespace Pengx.Host;

/// <summary>Where the service listens. Without API keys anybody who reaches the port owns the host, so then it is loopback or nothing.</summary>
internal static class ListenAddresses
{
    public const string Default = "http://127.0.0.1:8080";

    /// <summary>Refuses an address beyond loopback while no API key is configured.</summary>
    /// <exception cref="InvalidOperationException">There is one.</exception>
    public static void Check(IConfiguration configuration, bool authenticated)
    {
        if (authenticated)
        {
            return;
        }

        foreach (var address in Configured(configuration))
        {
            if (!IsLoopback(address))
            {
                throw new InvalidOperationException(
                    $"Listening on {address} is refused: without Pengx:Authentication:ApiKeys anybody on the network would control this host. "
                    + $"Configure a key, or listen on loopback ({Default}).");
            }
        }
    }

    /// <summary>Whether the configuration names any address.</summary>
    public static bool AnyConfigured(IConfiguration configuration) => Configured(configuration).Any();

    private static IEnumerable<string> Configured(IConfiguration configuration)
    {
        foreach (var url in (configuration["urls"] ?? "").Split(';', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
        {
            yield return url;
        }

        foreach (var scheme in (string[])["http", "https"])
        {
            foreach (var port in (configuration[$"{scheme}_ports"] ?? "").Split(';', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
            {
                yield return $"{scheme}://*:{port}";
            }
        }

        foreach (var endpoint in configuration.GetSection("Kestrel:Endpoints").GetChildren())
        {
            if (endpoint["Url"] is { } url)
            {
                yield return url;
            }
        }
    }

    private static bool IsLoopback(string address)
    {
        var parsed = BindingAddress.Parse(address);
        return parsed.IsUnixPipe
            || parsed.Host.Equals("localhost", StringComparison.OrdinalIgnoreCase)
            || (IPAddress.TryParse(parsed.Host.Trim('[', ']'), out var ip) && IPAddress.IsLoopback(ip));
    }
}

namespace Pengx.Client;

/// <summary>Where a pengx3 server is and how to talk to it.</summary>
public sealed class PengxClientOptions
{
    /// <summary>The server's address, <c>http</c> or <c>https</c>, with or without a path: <c>https://xen1.example:8443/api/</c>.</summary>
    public Uri? BaseAddress { get; set; }

    /// <summary>The version asked for. Default: <see cref="ApiVersion.V2"/>.</summary>
    public ApiVersion Version { get; set; } = ApiVersion.V2;

    /// <summary>Sent as <c>Authorization: Bearer</c>; null sends none. Printable ASCII.</summary>
    public string? ApiKey { get; set; }

    /// <summary>
    /// How long one request may take, and how long a streamed list may be silent. Default: 100 s. A change that takes longer goes on at
    /// the server: ask for it with <see cref="ChangeOptions.RespondAsync"/>.
    /// </summary>
    public TimeSpan Timeout { get; set; } = TimeSpan.FromSeconds(100);

    /// <summary>
    /// How often a request is sent again, at growing intervals of 0.2 to 5 s or when the server says so, where that is safe: a read that a server
    /// could not be reached for or that was put off (429, 502, 503, 504); a change only where no connection came about, or where the server has
    /// said that it honours idempotency keys. What timed out is never sent again. 0 to 10; default: 2.
    /// </summary>
    public int Retries { get; set; } = 2;

    /// <summary>How often <see cref="IOperationClient.WaitAsync"/> looks. Default: 1 s.</summary>
    public TimeSpan OperationPollInterval { get; set; } = TimeSpan.FromSeconds(1);

    /// <summary>How long the event stream may be silent, comments included, before it is opened anew. Default: 2 min.</summary>
    public TimeSpan EventIdleTimeout { get; set; } = TimeSpan.FromMinutes(2);

    /// <summary>What is wrong with these options, one sentence; null when nothing is.</summary>
    /// <returns>The sentence, or null.</returns>
    internal string? FindFault()
    {
        if (BaseAddress is not { IsAbsoluteUri: true } address || (address.Scheme != Uri.UriSchemeHttp && address.Scheme != Uri.UriSchemeHttps))
        {
            return $"{nameof(BaseAddress)} is '{BaseAddress}': it must be an absolute http or https address, such as http://127.0.0.1:8080/.";
        }

        if (address.Query.Length > 0 || address.Fragment.Length > 0 || address.UserInfo.Length > 0)
        {
            return $"{nameof(BaseAddress)} must have no query, fragment or user name; a key belongs into {nameof(ApiKey)}.";
        }

        if (!Enum.IsDefined(Version))
        {
            return $"{nameof(Version)} is {(int)Version}: it must be {nameof(ApiVersion.V1)} or {nameof(ApiVersion.V2)}.";
        }

        // The key itself is never shown.
        if (ApiKey is { } key && (key.Length == 0 || key.AsSpan().ContainsAnyExceptInRange('!', '~')))
        {
            return $"{nameof(ApiKey)} must be printable ASCII without spaces, or null.";
        }

        if (Retries is < 0 or > 10)
        {
            return $"{nameof(Retries)} is {Retries}: it must be 0 to 10.";
        }

        return FindFault(nameof(Timeout), Timeout)
            ?? FindFault(nameof(OperationPollInterval), OperationPollInterval)
            ?? FindFault(nameof(EventIdleTimeout), EventIdleTimeout);
    }

    private static string? FindFault(string name, TimeSpan value) =>
        value > TimeSpan.Zero && value <= TimeSpan.FromDays(1) ? null : $"{name} is {value}: it must be more than zero and at most a day.";
}

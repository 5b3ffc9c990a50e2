using System.Security.Cryptography;
using System.Text;

namespace Pengx.Host;

/// <summary>What a caller may do; each role may do what the ones before it may.</summary>
internal enum Role
{
    /// <summary>Look.</summary>
    Reader,

    /// <summary>Make, change and control machines and templates.</summary>
    Operator,

    /// <summary>Change the host itself: storage links and authorized keys.</summary>
    Admin,
}

/// <summary>The role that an endpoint asks for; reading asks for <see cref="Role.Reader"/>, everything else for <see cref="Role.Operator"/>
/// unless marked.</summary>
/// <param name="role">The role.</param>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class RequiresRoleAttribute(Role role) : Attribute
{
    public Role Role { get; } = role;
}

/// <summary>Marks an endpoint that answers without credentials: liveness and readiness.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class AnonymousAttribute : Attribute;

/// <summary>One API key as configured: <c>Pengx:Authentication:ApiKeys:N:Key</c> and <c>Role</c>.</summary>
internal sealed class ApiKeyOptions
{
    public string Key { get; set; } = "";

    public Role Role { get; set; } = Role.Reader;
}

/// <summary>The configured keys, kept as hashes so that the service's memory and dumps hold no key twice.</summary>
internal sealed class ApiKeys
{
    private readonly List<(byte[] Hash, Role Role)> _keys;

    public ApiKeys(IEnumerable<ApiKeyOptions> options)
    {
        _keys = [.. options.Select((option, index) => option.Key.Length >= 16
            ? (Hash(option.Key), option.Role)
            : throw new InvalidOperationException($"Pengx:Authentication:ApiKeys:{index}:Key is refused: a key has at least 16 characters."))];
    }

    public bool Configured => _keys.Count > 0;

    /// <summary>The role of a key; <see langword="null"/> for an unknown one. Takes the same time for every key.</summary>
    public Role? RoleOf(string key)
    {
        var hash = Hash(key);
        Role? role = null;
        foreach (var known in _keys)
        {
            if (CryptographicOperations.FixedTimeEquals(known.Hash, hash))
            {
                role = known.Role;
            }
        }

        return role;
    }

    private static byte[] Hash(string key) => SHA256.HashData(Encoding.UTF8.GetBytes(key));
}

internal static class AuthenticationExtensions
{
    /// <summary>Checks the caller's key against the endpoint's role, where keys are configured.</summary>
    public static IApplicationBuilder UseApiKeys(this IApplicationBuilder app) => app.Use(async (http, next) =>
    {
        var keys = http.RequestServices.GetRequiredService<ApiKeys>();
        var endpoint = http.GetEndpoint();
        if (!keys.Configured || endpoint is not RouteEndpoint || endpoint.Metadata.GetMetadata<AnonymousAttribute>() is not null)
        {
            await next(http);
            return;
        }

        if (Credential(http.Request) is not { } credential || keys.RoleOf(credential) is not { } role)
        {
            http.Response.Headers.WWWAuthenticate = "Bearer";
            await ErrorResponse.WriteAsync(http, StatusCodes.Status401Unauthorized, "The request has no valid API key: send it as 'Authorization: Bearer KEY' or 'X-Api-Key: KEY'.");
            return;
        }

        var required = endpoint.Metadata.GetMetadata<RequiresRoleAttribute>()?.Role
            ?? (HttpMethods.IsGet(http.Request.Method) || HttpMethods.IsHead(http.Request.Method) ? Role.Reader : Role.Operator);
        if (role < required)
        {
            await ErrorResponse.WriteAsync(http, StatusCodes.Status403Forbidden, $"The API key's role {Name(role)} does not allow this: it takes {Name(required)}.");
            return;
        }

        await next(http);
    });

    private static string Name(Role role) => role switch
    {
        Role.Reader => "reader",
        Role.Operator => "operator",
        _ => "admin",
    };

    private static string? Credential(HttpRequest request)
    {
        const string Bearer = "Bearer ";
        if (request.Headers["X-Api-Key"] is [{ Length: > 0 } key])
        {
            return key;
        }

        return request.Headers.Authorization is [{ } header] && header.StartsWith(Bearer, StringComparison.OrdinalIgnoreCase)
            ? header[Bearer.Length..].Trim()
            : null;
    }
}

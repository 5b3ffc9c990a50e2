using System.Security.Cryptography;
using System.Text;
using Pengx.Client;
using Pengx.Orchestration;

namespace Pengx.Host;

/// <summary>Runs the changing requests: starts the operation, and answers with its outcome, or with 202 when the client prefers
/// not to wait; the same idempotency key never does anything twice.</summary>
internal sealed class Changes(IOperations operations)
{
    /// <summary>For how many hours an idempotency key is remembered, as every answer says.</summary>
    public const string KeyHours = "24";

    private const int MaxKeyLength = 255;

    // Two requests with one key: the second must not even be checked before the first has been remembered.
    private readonly SemaphoreSlim[] _gates = [.. Enumerable.Range(0, 64).Select(_ => new SemaphoreSlim(1, 1))];

    /// <summary>Runs a change without a request body.</summary>
    /// <param name="http">The exchange.</param>
    /// <param name="success">The status that the reference documents.</param>
    /// <param name="start">Checks the request and starts the operation.</param>
    /// <param name="answer">Writes the answer where it is not the result body.</param>
    public Task RunAsync(
        HttpContext http,
        int success,
        Func<OperationRequest, CancellationToken, Task<Operation>> start,
        Func<Operation, Task>? answer = null) => RunAsync(http, [], success, start, answer);

    /// <summary>Runs a change with a request body.</summary>
    public async Task RunAsync<T>(
        HttpContext http,
        RequestShape<T> shape,
        int success,
        Func<T, OperationRequest, CancellationToken, Task<Operation>> start,
        Func<Operation, Task>? answer = null)
    {
        // The key's fingerprint is of the body's bytes, so the body is read whole before it is parsed.
        var body = await ReadBodyAsync(http);
        await RunAsync(
            http,
            body,
            success,
            async (request, cancellationToken) =>
            {
                using var stream = new MemoryStream(body, writable: false);
                var value = await PengxXml.ReadRequestAsync(stream, shape, http.RequestServices.GetRequiredService<HostLimits>().Xml, cancellationToken);
                return await start(value, request, cancellationToken);
            },
            answer);
    }

    private async Task RunAsync(
        HttpContext http,
        byte[] body,
        int success,
        Func<OperationRequest, CancellationToken, Task<Operation>> start,
        Func<Operation, Task>? answer)
    {
        var operation = await StartAsync(http, body, start);
        if (PrefersAsync(http.Request))
        {
            http.Response.Headers["Preference-Applied"] = PengxHeaders.RespondAsync;
            http.Response.Headers.Location = $"/operations/{operation.Id}/";
            await http.WriteXmlAsync(PengxShapes.Operation, OperationEndpoints.ToResource(operation), StatusCodes.Status202Accepted);
            return;
        }

        // The client leaving ends the wait, never the work.
        operation = await operations.WaitAsync(operation.Id, http.RequestAborted);
        operation.EnsureSucceeded();
        if (operation.Created is { } created && ResourcePath.Of(created) is { } location)
        {
            http.Response.Headers.Location = location;
        }

        if (answer is not null)
        {
            http.Response.StatusCode = success;
            await answer(operation);
            return;
        }

        await WriteResultAsync(http, success, operation.Message ?? "");
    }

    /// <summary>Writes a success: a result body, or none and two headers where the reference documents 204.</summary>
    public static async Task WriteResultAsync(HttpContext http, int success, string message)
    {
        if (success != StatusCodes.Status204NoContent)
        {
            await http.WriteXmlAsync(PengxShapes.Result, new ResultBody(true, message), success);
            return;
        }

        if (Prefers(http.Request, PengxHeaders.ReturnRepresentation))
        {
            http.Response.Headers["Preference-Applied"] = PengxHeaders.ReturnRepresentation;
            await http.WriteXmlAsync(PengxShapes.Result, new ResultBody(true, message), StatusCodes.Status200OK);
            return;
        }

        http.Response.StatusCode = StatusCodes.Status204NoContent;
        http.Response.Headers[PengxHeaders.Result] = "True";
        http.Response.Headers[PengxHeaders.Message] = PengxHeaders.EncodeMessage(message);
    }

    private async Task<Operation> StartAsync(HttpContext http, byte[] body, Func<OperationRequest, CancellationToken, Task<Operation>> start)
    {
        if (IdempotencyKey(http.Request) is not { } key)
        {
            return await start(new OperationRequest(), http.RequestAborted);
        }

        var gate = _gates[(uint)key.GetHashCode(StringComparison.Ordinal) % _gates.Length];
        await gate.WaitAsync(http.RequestAborted);
        try
        {
            var request = new OperationRequest { IdempotencyKey = key, Fingerprint = Fingerprint(http.Request, body) };
            return await operations.FindByKeyAsync(key, request.Fingerprint, http.RequestAborted)
                ?? await start(request, http.RequestAborted);
        }
        finally
        {
            gate.Release();
        }
    }

    private static async Task<byte[]> ReadBodyAsync(HttpContext http)
    {
        var limit = http.RequestServices.GetRequiredService<HostLimits>().MaxBodyBytes;
        using var buffer = new MemoryStream();
        var chunk = new byte[8192];
        int read;
        while ((read = await http.Request.Body.ReadAsync(chunk, http.RequestAborted)) > 0)
        {
            if (buffer.Length + read > limit)
            {
                throw new BadHttpRequestException("The body is too large.", StatusCodes.Status413PayloadTooLarge);
            }

            buffer.Write(chunk, 0, read);
        }

        return buffer.ToArray();
    }

    private static string? IdempotencyKey(HttpRequest request)
    {
        if (!request.Headers.TryGetValue(PengxHeaders.IdempotencyKey, out var values))
        {
            return null;
        }

        var key = values.ToString();
        return key.Length is > 0 and <= MaxKeyLength && key.All(character => character is >= ' ' and <= '~')
            ? key
            : throw new InvalidFieldException(PengxHeaders.IdempotencyKey, key, "send 1 to 255 printable characters.");
    }

    private static string Fingerprint(HttpRequest request, byte[] body)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData(Encoding.UTF8.GetBytes($"{request.Method} {request.Path.Value?.TrimEnd('/')}\n"));
        hash.AppendData(body);
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    private static bool PrefersAsync(HttpRequest request) => Prefers(request, PengxHeaders.RespondAsync);

    private static bool Prefers(HttpRequest request, string preference) =>
        request.Headers[PengxHeaders.Prefer].Any(header => header is not null && header.Split([',', ';'], StringSplitOptions.TrimEntries)
            .Contains(preference, StringComparer.OrdinalIgnoreCase));
}

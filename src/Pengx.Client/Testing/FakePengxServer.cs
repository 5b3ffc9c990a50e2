using System.Net;
using System.Runtime.CompilerServices;

namespace Pengx.Client.Testing;

/// <summary>
/// A server for tests of applications: a handler that answers in memory what a test has laid down, and keeps what was sent. The client on
/// top is the real one, so that requests are really written, answers really read, and refusals are the exceptions of production.
/// </summary>
/// <remarks>
/// What nothing was laid down for is answered with 404, as a server does. Answers are found by method and path, <c>vms/{id}/start/</c> as the
/// reference writes it; the one laid down last wins. Safe for several threads.
/// </remarks>
public sealed class FakePengxServer : HttpMessageHandler
{
    private readonly Lock _gate = new();
    private readonly List<(HttpMethod Method, string Path, Func<Task<HttpResponseMessage>> Answer)> _answers = [];
    private readonly List<FakePengxRequest> _requests = [];

    /// <summary>Where a client reaches it; any address does.</summary>
    public static Uri Address { get; } = new("http://pengx.test/");

    /// <summary>What was sent, in order.</summary>
    public IReadOnlyList<FakePengxRequest> Requests
    {
        get
        {
            lock (_gate)
            {
                return [.. _requests];
            }
        }
    }

    /// <summary>A client of this server.</summary>
    /// <param name="configure">Changes the options; retries are off otherwise, so that a test sees each request once.</param>
    /// <param name="timeProvider">The clock; null means the system's.</param>
    public PengxClient CreateClient(Action<PengxClientOptions>? configure = null, TimeProvider? timeProvider = null)
    {
        var options = new PengxClientOptions { BaseAddress = Address, Retries = 0 };
        configure?.Invoke(options);
        return new PengxClient(new HttpClient(this, disposeHandler: false), options, timeProvider);
    }

    /// <summary>Lays down the answer to a read of one object.</summary>
    /// <typeparam name="T">The contract.</typeparam>
    /// <param name="path">The path, without a slash in front.</param>
    /// <param name="shape">The element, of <see cref="PengxShapes"/>.</param>
    /// <param name="value">What it says.</param>
    public FakePengxServer Shows<T>(string path, XmlShape<T> shape, T value)
    {
        var body = PengxXml.Write(shape, value);
        return On(HttpMethod.Get, path, () => Task.FromResult(Xml(HttpStatusCode.OK, body)));
    }

    /// <summary>Lays down the answer to a read of a list.</summary>
    /// <typeparam name="T">The contract.</typeparam>
    /// <param name="path">The path, without a slash in front.</param>
    /// <param name="shape">The element of one item, of <see cref="PengxShapes"/>.</param>
    /// <param name="items">The items.</param>
    public FakePengxServer Lists<T>(string path, XmlShape<T> shape, params IReadOnlyList<T> items)
    {
        ArgumentNullException.ThrowIfNull(items);
        return On(HttpMethod.Get, path, async () =>
        {
            using var body = new MemoryStream();
            await PengxXml.WriteListAsync(body, shape, EachAsync(items)).ConfigureAwait(false);
            return Xml(HttpStatusCode.OK, body.ToArray());
        });
    }

    /// <summary>Lets a change succeed.</summary>
    /// <param name="method">The method.</param>
    /// <param name="path">The path, without a slash in front.</param>
    /// <param name="message">What the server says that it did.</param>
    /// <param name="location">Where what was created is, for example <c>/vms/…/</c>; null for a change that creates nothing.</param>
    public FakePengxServer Does(HttpMethod method, string path, string message = "done", string? location = null) => On(method, path, () =>
    {
        var answer = Xml(location is null ? HttpStatusCode.OK : HttpStatusCode.Created, PengxXml.Write(PengxShapes.Result, new ResultBody(true, message)));
        answer.Headers.Location = location is null ? null : new Uri(location, UriKind.RelativeOrAbsolute);
        return Task.FromResult(answer);
    });

    /// <summary>Lets a request be refused.</summary>
    /// <param name="method">The method.</param>
    /// <param name="path">The path, without a slash in front.</param>
    /// <param name="status">The status, for example 400, 404 or 503.</param>
    /// <param name="message">The server's sentence.</param>
    public FakePengxServer Refuses(HttpMethod method, string path, HttpStatusCode status, string message) =>
        On(method, path, () => Task.FromResult(Xml(status, PengxXml.Write(PengxShapes.Result, new ResultBody(false, message)))));

    /// <summary>Lets a request find nobody.</summary>
    /// <param name="method">The method.</param>
    /// <param name="path">The path, without a slash in front.</param>
    public FakePengxServer CannotBeReached(HttpMethod method, string path) =>
        On(method, path, () => Task.FromException<HttpResponseMessage>(new HttpRequestException(HttpRequestError.ConnectionError, "The fake server is away.")));

    /// <summary>Lays down any answer.</summary>
    /// <param name="method">The method.</param>
    /// <param name="path">The path, without a slash in front.</param>
    /// <param name="answer">Makes the answer to each such request.</param>
    public FakePengxServer On(HttpMethod method, string path, Func<Task<HttpResponseMessage>> answer)
    {
        ArgumentNullException.ThrowIfNull(method);
        ArgumentNullException.ThrowIfNull(path);
        ArgumentNullException.ThrowIfNull(answer);
        lock (_gate)
        {
            _answers.Add((method, path.TrimStart('/'), answer));
        }

        return this;
    }

    /// <inheritdoc/>
    protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(request);
        cancellationToken.ThrowIfCancellationRequested();
        var path = request.RequestUri!.AbsolutePath.TrimStart('/');
        var sent = request.Content is null ? "" : await request.Content.ReadAsStringAsync(cancellationToken).ConfigureAwait(false);
        var body = sent.Length == 0 ? null : sent;
        Func<Task<HttpResponseMessage>>? answer;
        lock (_gate)
        {
            _requests.Add(new FakePengxRequest(request.Method, path, body, request.Headers.TryGetValues(PengxHeaders.IdempotencyKey, out var keys) ? keys.First() : null));
            answer = _answers.LastOrDefault(known => known.Method == request.Method && known.Path == path).Answer;
        }

        var response = answer is null
            ? Xml(HttpStatusCode.NotFound, PengxXml.Write(PengxShapes.Result, new ResultBody(false, $"The fake server has no answer to {request.Method} {path}.")))
            : await answer().ConfigureAwait(false);
        response.Headers.TryAddWithoutValidation(PengxHeaders.IdempotencyHours, "24");
        response.RequestMessage = request;
        return response;
    }

    private static HttpResponseMessage Xml(HttpStatusCode status, byte[] body)
    {
        var response = new HttpResponseMessage(status) { Content = new ByteArrayContent(body) };
        response.Content.Headers.TryAddWithoutValidation("Content-Type", PengxXml.ContentType);
        return response;
    }

    private static async IAsyncEnumerable<T> EachAsync<T>(IReadOnlyList<T> items, [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        foreach (var item in items)
        {
            cancellationToken.ThrowIfCancellationRequested();
            yield return item;
        }

        await Task.CompletedTask.ConfigureAwait(false);
    }
}

/// <summary>One request that a <see cref="FakePengxServer"/> was sent.</summary>
/// <param name="Method">The method.</param>
/// <param name="Path">The path, without a slash in front.</param>
/// <param name="Body">The XML that was sent; null where there was none.</param>
/// <param name="IdempotencyKey">The key that was sent, or null.</param>
public sealed record FakePengxRequest(HttpMethod Method, string Path, string? Body, string? IdempotencyKey);

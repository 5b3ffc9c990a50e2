using System.Diagnostics;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using System.Text;
using Microsoft.Extensions.Logging;

namespace Pengx.Client;

/// <summary>Sends requests and turns everything that can go wrong with them into <see cref="PengxApiException"/>.</summary>
internal sealed class PengxTransport
{
    private static readonly XmlLimits ErrorLimits = new() { MaxBytes = 256 * 1024 };

    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(5);
    private const int StrayBodyRetries = 3;
    private static readonly TimeSpan StrayBodyWait = TimeSpan.FromMilliseconds(50);

    private readonly Func<HttpClient> _http;
    private readonly Uri _baseAddress;
    private readonly ApiVersion _version;
    private readonly AuthenticationHeaderValue? _authorization;
    private readonly TimeSpan _timeout;
    private readonly ILogger _logger;
    private readonly int _retries;
    private volatile bool _keysHonoured;
    private volatile bool _emptyNoContent;
    private volatile bool _strayBodies;

    public PengxTransport(Func<HttpClient> http, PengxClientOptions options, TimeProvider timeProvider, ILogger logger)
    {
        if (options.FindFault() is { } fault)
        {
            throw new ArgumentException(fault, nameof(options));
        }

        _http = http;
        var address = options.BaseAddress!;
        _baseAddress = address.AbsolutePath.EndsWith('/') ? address : new Uri(address.AbsoluteUri + "/");
        _version = options.Version;
        _authorization = options.ApiKey is { } key ? new AuthenticationHeaderValue("Bearer", key) : null;
        _timeout = options.Timeout;
        _retries = options.Retries;
        EventIdleTimeout = options.EventIdleTimeout;
        OperationPollInterval = options.OperationPollInterval;
        TimeProvider = timeProvider;
        _logger = logger;
    }

    public TimeProvider TimeProvider { get; }

    public ILogger Logger => _logger;

    public TimeSpan Timeout => _timeout;

    public TimeSpan EventIdleTimeout { get; }

    public TimeSpan OperationPollInterval { get; }

    /// <summary>Reads one element.</summary>
    public Task<T> GetAsync<T>(string path, XmlShape<T> shape, CancellationToken cancellationToken, ApiVersion? version = null) =>
        TryAsync(HttpMethod.Get, path, () => GetOnceAsync(path, shape, version, cancellationToken), cancellationToken);

    /// <summary>Waits until an operation is over, through times in which the server cannot be reached.</summary>
    public async Task<OperationResource> WaitAsync(Guid id, IProgress<OperationResource>? progress, CancellationToken cancellationToken)
    {
        var lastSeen = TimeProvider.GetTimestamp();
        OperationResource? last = null;
        while (true)
        {
            OperationResource? now = null;
            try
            {
                now = await GetOnceAsync($"operations/{id:D}/", PengxShapes.Operation, null, cancellationToken).ConfigureAwait(false);
            }
            catch (PengxApiException exception) when (exception.IsTransient && TimeProvider.GetElapsedTime(lastSeen) < Timeout)
            {
                // The server restarts, and goes on with the operation.
            }

            if (now is not null)
            {
                lastSeen = TimeProvider.GetTimestamp();
                if (now != last)
                {
                    last = now;
                    progress?.Report(now);
                }

                if (now.IsFinished)
                {
                    return now.IsSucceeded ? now : throw Failed(now);
                }
            }

            await Task.Delay(OperationPollInterval, TimeProvider, cancellationToken).ConfigureAwait(false);
        }
    }

    private static PengxApiException Failed(OperationResource operation) => new(
        PengxApiFailure.OperationFailed,
        $"GET operations/{operation.Id:D}/",
        operation.Message ?? $"The operation {operation.Kind} {operation.Id:D} ended as {operation.State}, without a message.")
    {
        Operation = operation,
    };

    private async Task<T> GetOnceAsync<T>(string path, XmlShape<T> shape, ApiVersion? version, CancellationToken cancellationToken)
    {
        using var request = Create(HttpMethod.Get, path, version);
        using var time = new RequestTime(this, cancellationToken);
        try
        {
            using var response = await SendAsync(request, time.Token).ConfigureAwait(false);
            var body = await response.Content.ReadAsStreamAsync(time.Token).ConfigureAwait(false);
            await using (body.ConfigureAwait(false))
            {
                return await PengxXml.ReadAsync(body, shape, null, time.Token).ConfigureAwait(false);
            }
        }
        catch (Exception exception) when (Translate(exception, request, cancellationToken) is { } translated)
        {
            throw translated;
        }
    }

    /// <summary>Asks something with a body, which changes nothing.</summary>
    public async Task<TAnswer> AskAsync<T, TAnswer>(string path, RequestShape<T> shape, T body, XmlShape<TAnswer> answer, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(body);
        using var request = Create(HttpMethod.Post, path, null);
        request.Content = new ByteArrayContent(PengxXml.WriteRequest(shape, body));
        request.Content.Headers.ContentType = MediaTypeHeaderValue.Parse(PengxXml.ContentType);
        using var time = new RequestTime(this, cancellationToken);
        try
        {
            using var response = await SendAsync(request, time.Token).ConfigureAwait(false);
            var stream = await response.Content.ReadAsStreamAsync(time.Token).ConfigureAwait(false);
            await using (stream.ConfigureAwait(false))
            {
                return await PengxXml.ReadAsync(stream, answer, null, time.Token).ConfigureAwait(false);
            }
        }
        catch (Exception exception) when (Translate(exception, request, cancellationToken) is { } translated)
        {
            throw translated;
        }
    }

    /// <summary>Reads a list while it arrives. The time limit is for each silence of the server, not for what the caller does between items.</summary>
    public async IAsyncEnumerable<T> ListAsync<T>(
        string path,
        XmlShape<T> shape,
        ApiVersion? version = null,
        [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        using var time = new RequestTime(this, cancellationToken);
        var (request, response) = await TryAsync(HttpMethod.Get, path, () => OpenListAsync(path, version, time, cancellationToken), cancellationToken).ConfigureAwait(false);
        using var sent = request;
        IAsyncEnumerator<T> items;
        try
        {
            var body = await response.Content.ReadAsStreamAsync(time.Token).ConfigureAwait(false);
            items = PengxXml.ReadListAsync(body, shape, null, time.Token).GetAsyncEnumerator(time.Token);
        }
        catch (Exception exception) when (Translate(exception, request, cancellationToken) is { } translated)
        {
            throw translated;
        }

        using (response)
        {
            await using (items.ConfigureAwait(false))
            {
                while (true)
                {
                    try
                    {
                        if (!await items.MoveNextAsync().ConfigureAwait(false))
                        {
                            break;
                        }
                    }
                    catch (Exception exception) when (Translate(exception, request, cancellationToken, response.StatusCode) is { } translated)
                    {
                        throw translated;
                    }

                    time.Stop();
                    yield return items.Current;
                    time.Start();
                }
            }
        }
    }

    /// <summary>Makes a change. A result of <c>False</c> is a refusal whatever the status.</summary>
    public Task<ChangeAnswer> ChangeAsync(
        HttpMethod method, string path, ChangeOptions? options, CancellationToken cancellationToken, ApiVersion? version = null) =>
        ChangeAsync(method, path, null, options, version, cancellationToken);

    public Task<ChangeAnswer> ChangeAsync<T>(
        HttpMethod method,
        string path,
        RequestShape<T> shape,
        T body,
        ChangeOptions? options,
        CancellationToken cancellationToken,
        ApiVersion? version = null)
    {
        ArgumentNullException.ThrowIfNull(body);
        return ChangeAsync(method, path, PengxXml.WriteRequest(shape, body), options, version, cancellationToken);
    }

    /// <summary>Opens the event stream: the answer's headers have arrived, its body is open.</summary>
    public async Task<HttpResponseMessage> OpenEventsAsync(string path, string? lastEventId, CancellationToken cancellationToken)
    {
        using var request = Create(HttpMethod.Get, path, null);
        request.Headers.Accept.Clear();
        request.Headers.Accept.Add(new MediaTypeWithQualityHeaderValue("text/event-stream"));
        if (lastEventId is not null)
        {
            request.Headers.TryAddWithoutValidation("Last-Event-ID", lastEventId);
        }

        using var time = new RequestTime(this, cancellationToken);
        HttpResponseMessage? response = null;
        try
        {
            response = await SendAsync(request, time.Token).ConfigureAwait(false);
            return response.Content.Headers.ContentType?.MediaType == "text/event-stream"
                ? response
                : throw NotOurs(response, NameOf(request));
        }
        catch (Exception exception)
        {
            response?.Dispose();
            if (Translate(exception, request, cancellationToken) is { } translated)
            {
                throw translated;
            }

            throw;
        }
    }

    /// <summary>Opens a list; one that could not be opened may be opened again, one that broke off in the middle may not.</summary>
    private async Task<(HttpRequestMessage Request, HttpResponseMessage Response)> OpenListAsync(
        string path, ApiVersion? version, RequestTime time, CancellationToken cancellationToken)
    {
        var request = Create(HttpMethod.Get, path, version);
        try
        {
            return (request, await SendAsync(request, time.Token).ConfigureAwait(false));
        }
        catch (Exception exception)
        {
            var translated = Translate(exception, request, cancellationToken);
            request.Dispose();
            if (translated is not null)
            {
                throw translated;
            }

            throw;
        }
    }

    private async Task<ChangeAnswer> ChangeAsync(
        HttpMethod method, string path, byte[]? body, ChangeOptions? options, ApiVersion? version, CancellationToken cancellationToken)
    {
        var key = options?.IdempotencyKey ?? (_retries > 0 || options?.Progress is not null ? Guid.NewGuid().ToString("N") : null);
        if (key is not null && (key.Length is 0 or > 255 || key.AsSpan().ContainsAnyExceptInRange(' ', '~')))
        {
            throw new ArgumentException(
                $"{nameof(ChangeOptions.IdempotencyKey)} has {key.Length} characters: it must be 1 to 255 printable ASCII characters.",
                nameof(options));
        }

        if (options is not { Progress: { } progress })
        {
            return await TryAsync(method, path, () => ChangeOnceAsync(method, path, body, key, options?.RespondAsync == true, version, cancellationToken), cancellationToken)
                .ConfigureAwait(false);
        }

        if (options.RespondAsync)
        {
            throw new ArgumentException(
                $"{nameof(ChangeOptions.Progress)} is told until the change is made, {nameof(ChangeOptions.RespondAsync)} does not wait for it: choose one.", nameof(options));
        }

        var begun = await TryAsync(method, path, () => ChangeOnceAsync(method, path, body, key, true, version, cancellationToken), cancellationToken).ConfigureAwait(false);
        if (begun.Operation is not { } operation)
        {
            return begun;
        }

        await WaitAsync(operation.Id, progress, cancellationToken).ConfigureAwait(false);

        // The same key gets the answer that the change has had; nothing is done again.
        return await TryAsync(method, path, () => ChangeOnceAsync(method, path, body, key, false, version, cancellationToken), cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Runs a request, and again where that is safe.</summary>
    private async Task<T> TryAsync<T>(HttpMethod method, string path, Func<Task<T>> once, CancellationToken cancellationToken)
    {
        for (var attempt = 0; ; attempt++)
        {
            TimeSpan pause;
            try
            {
                return await once().ConfigureAwait(false);
            }
            catch (PengxApiException exception) when (attempt < _retries && MaySendAgain(method, exception))
            {
                var usual = TimeSpan.FromMilliseconds(200 * Math.Pow(2, attempt));
                pause = exception.RetryAfter ?? usual;
                pause = pause < LongestPause ? pause : LongestPause;
                ClientDiagnostics.Retried(method.Method, ClientDiagnostics.RouteOf(path));
                _logger.RequestRepeated(exception.Request, pause, exception.Message);
            }

            await Task.Delay(pause, TimeProvider, cancellationToken).ConfigureAwait(false);
        }
    }

    private bool MaySendAgain(HttpMethod method, PengxApiException exception) =>
        exception.IsTransient
        && exception.Failure != PengxApiFailure.TimedOut
        && (method == HttpMethod.Get || _keysHonoured || NothingWasSent(exception));

    // Without a connection the server knows nothing of the request.
    private static bool NothingWasSent(PengxApiException exception) => exception.InnerException is HttpRequestException
    {
        HttpRequestError: HttpRequestError.NameResolutionError or HttpRequestError.ConnectionError or HttpRequestError.SecureConnectionError or HttpRequestError.ProxyTunnelError,
    };

    private async Task<ChangeAnswer> ChangeOnceAsync(
        HttpMethod method, string path, byte[]? body, string? key, bool respondAsync, ApiVersion? version, CancellationToken cancellationToken)
    {
        using var request = Create(method, path, version);
        // Content, even without a byte, keeps SocketsHttpHandler from sending a change again by itself: it does so up to three times with a
        // request without content whose connection ended before the answer, when the server may long have made the change.
        request.Content = new ByteArrayContent(body ?? []);
        if (body is not null)
        {
            request.Content.Headers.ContentType = MediaTypeHeaderValue.Parse(PengxXml.ContentType);
        }

        if (key is not null)
        {
            request.Headers.TryAddWithoutValidation(PengxHeaders.IdempotencyKey, key);
        }

        if (respondAsync)
        {
            request.Headers.Add(PengxHeaders.Prefer, PengxHeaders.RespondAsync);
        }

        // The reference documents 204 for these with a body, which HTTP has no place for: on a kept connection it would be read as the
        // next answer. A server that sends the result as headers is known to send no body; for any other, the connection is not kept.
        if (!_emptyNoContent && (method == HttpMethod.Delete || method == HttpMethod.Put))
        {
            request.Headers.ConnectionClose = true;
        }

        using var time = new RequestTime(this, cancellationToken);
        try
        {
            using var response = await SendAsync(request, time.Token).ConfigureAwait(false);
            return await ReadChangeAsync(response, NameOf(request), time.Token).ConfigureAwait(false);
        }
        catch (Exception exception) when (Translate(exception, request, cancellationToken) is { } translated)
        {
            throw translated;
        }
    }

    private async Task<ChangeAnswer> ReadChangeAsync(HttpResponseMessage response, string name, CancellationToken cancellationToken)
    {
        if (response.StatusCode == HttpStatusCode.NoContent)
        {
            var told = Header(response, PengxHeaders.Message);
            var message = told is null ? null : PengxHeaders.DecodeMessage(told);
            var result = Header(response, PengxHeaders.Result);
            if (result is not null)
            {
                _emptyNoContent = true;
            }
            else if (!_emptyNoContent && response.Headers.ConnectionClose != true)
            {
                // The server keeps a connection that it was asked to close. A stray body that has arrived makes the pool drop it.
                _strayBodies = true;
                await Task.Delay(StrayBodyWait, TimeProvider, cancellationToken).ConfigureAwait(false);
            }

            return IsFalse(result)
                ? throw Refused(response, name, message)
                : new ChangeAnswer(message, response.Headers.Location, null, null);
        }

        var body = await response.Content.ReadAsStreamAsync(cancellationToken).ConfigureAwait(false);
        WireElement root;
        await using (body.ConfigureAwait(false))
        {
            root = (await PengxXml.ReadDocumentAsync(body, XmlLimits.Response, cancellationToken).ConfigureAwait(false)).Root;
        }

        if (root.Name == PengxShapes.Operation.ElementName)
        {
            return new ChangeAnswer(null, response.Headers.Location, null, PengxShapes.Operation.Read(root));
        }

        var text = root.Find("message")?.Text;
        if (root.Name == PengxShapes.Result.ElementName)
        {
            if (IsFalse(root.Find("result")?.Text))
            {
                throw Refused(response, name, text);
            }
        }
        else if (root.Id is null)
        {
            throw NotOurs(response, name);
        }

        return response.StatusCode == HttpStatusCode.Accepted
            ? throw NotOurs(response, name)
            : new ChangeAnswer(text, response.Headers.Location, root.Id, null);
    }

    private HttpRequestMessage Create(HttpMethod method, string path, ApiVersion? version)
    {
        var request = new HttpRequestMessage(method, new Uri(_baseAddress, path));
        var accept = new MediaTypeWithQualityHeaderValue("application/xml");
        if ((version ?? _version) == ApiVersion.V2)
        {
            accept.Parameters.Add(new NameValueHeaderValue("version", "v2"));
        }

        request.Headers.Accept.Add(accept);
        request.Headers.Authorization = _authorization;
        return request;
    }

    /// <summary>Sends, and gives back successes only: their bodies are still to be read.</summary>
    private async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
    {
        var name = NameOf(request);
        var method = request.Method;
        var route = ClientDiagnostics.RouteOf(_baseAddress.MakeRelativeUri(request.RequestUri ?? _baseAddress).OriginalString);
        using var activity = ClientDiagnostics.Activities.StartActivity($"{method.Method} {route}", ActivityKind.Client);
        activity?.SetTag("http.request.method", method.Method)?.SetTag("http.route", route)?.SetTag("server.address", _baseAddress.Host);
        var begun = TimeProvider.GetTimestamp();
        HttpResponseMessage? response = null;
        try
        {
            response = await SendPastStrayBodiesAsync(request, cancellationToken).ConfigureAwait(false);
            _keysHonoured |= response.Headers.Contains(PengxHeaders.IdempotencyHours);
            // A handler that follows redirects turns a POST into a GET, and the GET's success is none of the POST.
            if ((int)response.StatusCode is >= 300 and < 400 || request.Method != method)
            {
                throw new PengxApiException(
                    PengxApiFailure.Unreadable,
                    name,
                    $"{name} was redirected to {response.Headers.Location ?? request.RequestUri}, which is not followed; "
                    + $"set {nameof(PengxClientOptions.BaseAddress)} to where the service is.",
                    response.StatusCode);
            }

            if (!response.IsSuccessStatusCode)
            {
                throw Refused(response, name, await ReadErrorAsync(response, cancellationToken).ConfigureAwait(false));
            }

            activity?.SetTag("http.response.status_code", (int)response.StatusCode);
            ClientDiagnostics.Ended(method.Method, route, (int)response.StatusCode, null, TimeProvider.GetElapsedTime(begun));
            return response;
        }
        catch (Exception exception)
        {
            var failure = exception switch
            {
                PengxApiException typed => typed.Failure,
                OperationCanceledException => PengxApiFailure.TimedOut,
                _ => PengxApiFailure.Unreachable,
            };
            var status = (int?)response?.StatusCode;
            activity?.SetTag("http.response.status_code", status)?.SetTag("error.type", ClientDiagnostics.Of(failure))?.SetStatus(ActivityStatusCode.Error, exception.Message);
            ClientDiagnostics.Ended(method.Method, route, status, failure, TimeProvider.GetElapsedTime(begun));
            response?.Dispose();
            throw;
        }
    }

    /// <summary>Sends; a read that met the stray body of an earlier 204 is sent again, since that spoils only the connection.</summary>
    private async Task<HttpResponseMessage> SendPastStrayBodiesAsync(HttpRequestMessage request, CancellationToken cancellationToken)
    {
        for (var retries = _strayBodies && request.Method == HttpMethod.Get ? StrayBodyRetries : 0; retries > 0; retries--)
        {
            using var attempt = new HttpRequestMessage(request.Method, request.RequestUri);
            foreach (var header in request.Headers)
            {
                attempt.Headers.TryAddWithoutValidation(header.Key, header.Value);
            }

            try
            {
                return await SendOnceAsync(attempt, cancellationToken).ConfigureAwait(false);
            }
            catch (HttpRequestException exception) when (exception.HttpRequestError == HttpRequestError.InvalidResponse)
            {
                // The connection is gone; the next one may be clean.
            }
        }

        return await SendOnceAsync(request, cancellationToken).ConfigureAwait(false);
    }

    private async Task<HttpResponseMessage> SendOnceAsync(HttpRequestMessage request, CancellationToken cancellationToken)
    {
        try
        {
            return await _http().SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancellationToken).ConfigureAwait(false);
        }
        catch (SocketException exception)
        {
            // SocketsHttpHandler lets it through as it is where the peer ends a connection in the moment in which it is made.
            throw new HttpRequestException(HttpRequestError.ConnectionError, exception.Message, exception);
        }
    }

    /// <summary>The message of an error body, or null where it is none of ours.</summary>
    private static async Task<string?> ReadErrorAsync(HttpResponseMessage response, CancellationToken cancellationToken)
    {
        try
        {
            var body = await response.Content.ReadAsStreamAsync(cancellationToken).ConfigureAwait(false);
            await using (body.ConfigureAwait(false))
            {
                return (await PengxXml.ReadAsync(body, PengxShapes.Result, ErrorLimits, cancellationToken).ConfigureAwait(false)).Message;
            }
        }
        catch (Exception exception) when (exception is XmlRefusedException or HttpRequestException or IOException)
        {
            // The status says enough, and says it more surely than a page that could not be read.
            return null;
        }
    }

    private PengxApiException Refused(HttpResponseMessage response, string name, string? message)
    {
        var retry = response.Headers.RetryAfter;
        return Logged(new PengxApiException(
            PengxApiFailure.Refused, name, message ?? $"{name} was answered with {Describe(response)}, without a message.", response.StatusCode)
        {
            RetryAfter = retry?.Delta ?? (retry?.Date is { } date ? Positive(date - TimeProvider.GetUtcNow()) : null),
        });
    }

    private PengxApiException NotOurs(HttpResponseMessage response, string name) => Logged(new PengxApiException(
        PengxApiFailure.Unreadable, name, $"{name} was answered with {Describe(response)}, which is no answer of this API.", response.StatusCode));

    /// <summary>The typed form of a failure, or null for the caller's own cancellation, its mistakes, and what is typed already.</summary>
    private PengxApiException? Translate(
        Exception exception, HttpRequestMessage request, CancellationToken cancellationToken, HttpStatusCode? status = null)
    {
        var name = NameOf(request);
        return exception switch
        {
            OperationCanceledException when !cancellationToken.IsCancellationRequested => Logged(new PengxApiException(
                PengxApiFailure.TimedOut, name, $"{name} was not answered within {_timeout.TotalSeconds:0.#} s.", status, exception)),
            XmlRefusedException => Logged(new PengxApiException(
                PengxApiFailure.Unreadable, name, $"{name} was answered with what is no answer of this API: {exception.Message}", status, exception)),
            HttpRequestException or IOException => Logged(new PengxApiException(
                PengxApiFailure.Unreachable,
                name,
                $"{name} did not reach {_baseAddress.GetLeftPart(UriPartial.Authority)}, or its answer broke off: {exception.Message}",
                status,
                exception)),
            _ => null,
        };
    }

    private PengxApiException Logged(PengxApiException exception)
    {
        _logger.RequestFailed(exception.Request, exception.Failure, (int?)exception.Status, exception.Message);
        return exception;
    }

    private string NameOf(HttpRequestMessage request) =>
        $"{request.Method} {_baseAddress.MakeRelativeUri(request.RequestUri ?? _baseAddress)}";

    private static string Describe(HttpResponseMessage response)
    {
        var text = new StringBuilder($"HTTP {(int)response.StatusCode}");
        if (!string.IsNullOrEmpty(response.ReasonPhrase))
        {
            text.Append(' ').Append(FieldBinder.Shown(response.ReasonPhrase));
        }

        return response.Content.Headers.ContentType?.MediaType is { } type ? text.Append(" (").Append(type).Append(')').ToString() : text.ToString();
    }

    private static string? Header(HttpResponseMessage response, string name) =>
        response.Headers.TryGetValues(name, out var values) ? values.FirstOrDefault() : null;

    private static bool IsFalse(string? result) => WireReading.TryBoolean(result, out var value) && !value;

    private static TimeSpan Positive(TimeSpan span) => span > TimeSpan.Zero ? span : TimeSpan.Zero;

    /// <summary>The caller's token joined with this request's time limit.</summary>
    private sealed class RequestTime : IDisposable
    {
        private readonly TimeSpan _limit;
        private readonly CancellationTokenSource _timeout;
        private readonly CancellationTokenSource _linked;

        public RequestTime(PengxTransport transport, CancellationToken cancellationToken)
        {
            _limit = transport._timeout;
            _timeout = new CancellationTokenSource(_limit, transport.TimeProvider);
            _linked = CancellationTokenSource.CreateLinkedTokenSource(_timeout.Token, cancellationToken);
        }

        public CancellationToken Token => _linked.Token;

        public void Stop() => _timeout.CancelAfter(System.Threading.Timeout.InfiniteTimeSpan);

        public void Start() => _timeout.CancelAfter(_limit);

        public void Dispose()
        {
            _linked.Dispose();
            _timeout.Dispose();
        }
    }
}

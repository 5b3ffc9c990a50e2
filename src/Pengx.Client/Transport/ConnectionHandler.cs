namespace Pengx.Client;

/// <summary>
/// Sends over kept connections, but gives a request that asks for <c>Connection: close</c> a connection of its own: whether the server
/// closes it or goes on sending where it must not, no other request ever sees it.
/// </summary>
internal sealed class ConnectionHandler(Action<SocketsHttpHandler>? configure) : HttpMessageHandler
{
    private readonly HttpMessageInvoker _kept = new(Create(TimeSpan.FromMinutes(5), configure));
    private readonly HttpMessageInvoker _single = new(Create(TimeSpan.Zero, configure));

    protected override HttpResponseMessage Send(HttpRequestMessage request, CancellationToken cancellationToken) =>
        For(request).Send(request, cancellationToken);

    protected override Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken) =>
        For(request).SendAsync(request, cancellationToken);

    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            _kept.Dispose();
            _single.Dispose();
        }

        base.Dispose(disposing);
    }

    private static SocketsHttpHandler Create(TimeSpan lifetime, Action<SocketsHttpHandler>? configure)
    {
        var handler = new SocketsHttpHandler { ConnectTimeout = TimeSpan.FromSeconds(15) };
        configure?.Invoke(handler);

        // What answers mean depends on these.
        handler.AllowAutoRedirect = false;
        handler.UseCookies = false;
        handler.PooledConnectionLifetime = lifetime;
        return handler;
    }

    private HttpMessageInvoker For(HttpRequestMessage request) => request.Headers.ConnectionClose == true ? _single : _kept;
}

using System.Globalization;
using System.Text;

namespace Pengx.Host;

/// <summary><c>/events/</c>: server-sent events of machines and operations, resumable with <c>Last-Event-ID</c>.</summary>
internal static class EventEndpoints
{
    private static readonly TimeSpan KeepAlive = TimeSpan.FromSeconds(15);

    public static void MapEvents(this IEndpointRouteBuilder routes) =>
        routes.MapGet("/events/", ServeAsync).WithSummary("Watch machines and operations (server-sent events)");

    private static async Task ServeAsync(HttpContext http, EventHub hub, IHostApplicationLifetime lifetime, TimeProvider time)
    {
        using var ending = CancellationTokenSource.CreateLinkedTokenSource(http.RequestAborted, lifetime.ApplicationStopping);
        var lastEventId = http.Request.Headers["Last-Event-ID"] is [{ Length: > 0 } id] ? id : null;
        await using var events = hub.ListenAsync(lastEventId, ending.Token).GetAsyncEnumerator(ending.Token);
        http.Response.ContentType = "text/event-stream";
        http.Response.Headers.CacheControl = "no-store";
        Task<bool>? next = null;
        try
        {
            // The head goes out at once: a client knows that it is listening before anything happens.
            await WriteAsync(http, ": listening\n\n", ending.Token);
            next = events.MoveNextAsync().AsTask();
            while (true)
            {
                try
                {
                    if (!await next.WaitAsync(KeepAlive, time, ending.Token))
                    {
                        return;
                    }
                }
                catch (TimeoutException)
                {
                    await WriteAsync(http, ": alive\n\n", ending.Token);
                    continue;
                }

                await WriteAsync(
                    http,
                    events.Current is { } item
                        ? string.Create(CultureInfo.InvariantCulture, $"id: {item.Id}\nevent: {item.Name}\ndata: {item.Data}\n\n")
                        : "event: reset\ndata: \n\n",
                    ending.Token);
                next = events.MoveNextAsync().AsTask();
            }
        }
        catch (OperationCanceledException) when (ending.IsCancellationRequested)
        {
            // The client left or the service ends.
        }
        finally
        {
            // An iterator may not be disposed while it moves.
            await ending.CancelAsync();
            if (next is not null)
            {
                await next.ContinueWith(static _ => { }, CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
            }
        }
    }

    private static async Task WriteAsync(HttpContext http, string text, CancellationToken cancellationToken)
    {
        await http.Response.Body.WriteAsync(Encoding.UTF8.GetBytes(text), cancellationToken);
        await http.Response.Body.FlushAsync(cancellationToken);
    }
}

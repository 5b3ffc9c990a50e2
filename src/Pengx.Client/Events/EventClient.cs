using System.Runtime.CompilerServices;
using System.Text;

namespace Pengx.Client;

internal sealed class EventClient(PengxTransport transport) : IEventClient
{
    private const string Path = "events/";
    private static readonly TimeSpan ShortestPause = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(30);

    public async IAsyncEnumerable<PengxEvent> WatchAsync(
        string? lastEventId, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        var pause = ShortestPause;
        var opened = false;
        while (true)
        {
            string reason;
            HttpResponseMessage? response = null;
            try
            {
                response = await transport.OpenEventsAsync(Path, lastEventId, cancellationToken).ConfigureAwait(false);
                reason = "the server closed it";
            }
            catch (PengxApiException exception) when (opened && exception.IsTransient)
            {
                reason = exception.Message;
            }

            if (response is not null)
            {
                using (response)
                {
                    yield return new PengxEventsOpened(opened);
                    opened = true;
                    var body = await response.Content.ReadAsStreamAsync(cancellationToken).ConfigureAwait(false);
                    await using (body.ConfigureAwait(false))
                    {
                        var reader = new ServerSentEventReader(body, transport.EventIdleTimeout, transport.TimeProvider);
                        while (true)
                        {
                            ServerSentEvent? received;
                            try
                            {
                                received = await reader.ReadAsync(cancellationToken).ConfigureAwait(false);
                            }
                            catch (Exception exception)
                                when (exception is IOException or HttpRequestException or TimeoutException)
                            {
                                reason = exception.Message;
                                received = null;
                            }
                            catch (InvalidDataException exception)
                            {
                                throw new PengxApiException(
                                    PengxApiFailure.Unreadable, $"GET {Path}", exception.Message, response.StatusCode, exception);
                            }

                            if (received is not { } known)
                            {
                                break;
                            }

                            lastEventId = known.Id ?? lastEventId;
                            pause = ShortestPause;
                            yield return await ReadAsync(known, cancellationToken).ConfigureAwait(false);
                        }

                        pause = reader.Retry is { } asked && asked > pause ? (asked < LongestPause ? asked : LongestPause) : pause;
                    }
                }
            }

            transport.Logger.EventsReconnecting(reason, pause, lastEventId);
            await Task.Delay(pause, transport.TimeProvider, cancellationToken).ConfigureAwait(false);
            pause = pause * 2 < LongestPause ? pause * 2 : LongestPause;
        }
    }

    /// <summary>An event that cannot be read is given out as unknown: one slip of the server must not end a watch.</summary>
    private static async ValueTask<PengxEvent> ReadAsync(ServerSentEvent received, CancellationToken cancellationToken)
    {
        try
        {
            return received.Name switch
            {
                "vm" => new PengxMachineChanged(await ReadAsync(PengxShapes.MachineStatus).ConfigureAwait(false)) { Id = received.Id },
                "operation" => new PengxOperationChanged(await ReadAsync(PengxShapes.Operation).ConfigureAwait(false)) { Id = received.Id },
                "reset" => new PengxEventsReset { Id = received.Id },
                _ => new PengxUnknownEvent(received.Name, received.Data) { Id = received.Id },
            };
        }
        catch (XmlRefusedException)
        {
            return new PengxUnknownEvent(received.Name, received.Data) { Id = received.Id };
        }

        async Task<T> ReadAsync<T>(XmlShape<T> shape)
        {
            using var data = new MemoryStream(Encoding.UTF8.GetBytes(received.Data));
            return await PengxXml.ReadAsync(data, shape, XmlLimits.Response, cancellationToken).ConfigureAwait(false);
        }
    }
}

namespace Pengx.Client.Tests;

internal static class Clients
{
    /// <summary>A client as an application without DI makes it.</summary>
    public static PengxClient Of(RawServer server, Action<PengxClientOptions>? configure = null, TimeProvider? time = null, HttpMessageHandler? handler = null)
    {
        var options = new PengxClientOptions { BaseAddress = server.Address, Retries = 0 };
        configure?.Invoke(options);
        return new PengxClient(new HttpClient(handler ?? PengxClient.CreateHandler()), options, time);
    }

    public static async Task<List<T>> AllAsync<T>(IAsyncEnumerable<T> items)
    {
        var all = new List<T>();
        await foreach (var item in items.WithCancellation(TestContext.Current.CancellationToken))
        {
            all.Add(item);
        }

        return all;
    }
}

using Pengx.Client;

namespace Pengx.Host;

/// <summary>Writes the wire contracts as answers, and reads them from requests.</summary>
internal static class XmlExchange
{
    public static async Task WriteXmlAsync<T>(this HttpContext http, XmlShape<T> shape, T value, int status = StatusCodes.Status200OK)
    {
        var body = PengxXml.Write(shape, value);
        http.Response.StatusCode = status;
        http.Response.ContentType = PengxXml.ContentType;
        http.Response.ContentLength = body.Length;
        if (!HttpMethods.IsHead(http.Request.Method))
        {
            await http.Response.Body.WriteAsync(body, http.RequestAborted);
        }
    }

    /// <summary>Writes a list item by item, as it is read.</summary>
    public static async Task WriteXmlListAsync<T>(this HttpContext http, XmlShape<T> shape, IAsyncEnumerable<T> items)
    {
        // The first item is fetched before the status is sent, so that a database that cannot be reached is still a 503.
        await using var reader = items.GetAsyncEnumerator(http.RequestAborted);
        var any = await reader.MoveNextAsync();
        http.Response.ContentType = PengxXml.ContentType;
        await PengxXml.WriteListAsync(http.Response.Body, shape, any ? From(reader) : Empty<T>(), http.RequestAborted);
    }

    /// <summary>Writes a list that is read whole first.</summary>
    public static async Task WriteXmlListAsync<TView, T>(this HttpContext http, XmlShape<T> shape, Task<IReadOnlyList<TView>> views, Func<TView, T> toResource) =>
        await http.WriteXmlListAsync(shape, (await views).Select(toResource).ToAsyncEnumerable());

    /// <summary>Reads a request's body: media type, size, XML and fields are checked in that order.</summary>
    public static Task<T> ReadXmlAsync<T>(this HttpContext http, RequestShape<T> shape) =>
        PengxXml.ReadRequestAsync(http.Request.Body, shape, http.RequestServices.GetRequiredService<HostLimits>().Xml, http.RequestAborted);

    private static async IAsyncEnumerable<T> From<T>(IAsyncEnumerator<T> reader)
    {
        do
        {
            yield return reader.Current;
        }
        while (await reader.MoveNextAsync());
    }

    private static async IAsyncEnumerable<T> Empty<T>()
    {
        await Task.CompletedTask;
        yield break;
    }
}

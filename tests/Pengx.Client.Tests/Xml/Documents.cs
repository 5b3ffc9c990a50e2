using System.Text;

namespace Pengx.Client.Tests;

/// <summary>Short forms of the codec for tests.</summary>
internal static class Documents
{
    public const string Declaration = """<?xml version="1.0" encoding="utf-8"?>""";

    public static string Text(byte[] document) => new UTF8Encoding(false, true).GetString(document);

    public static MemoryStream Stream(string text) => new(Encoding.UTF8.GetBytes(text));

    public static Task<T> ReadAsync<T>(XmlShape<T> shape, string text) =>
        PengxXml.ReadAsync(Stream(text), shape, cancellationToken: TestContext.Current.CancellationToken);

    public static Task<T> BindAsync<T>(RequestShape<T> shape, string text, XmlLimits? limits = null) =>
        PengxXml.ReadRequestAsync(Stream(text), shape, limits, TestContext.Current.CancellationToken);

    public static Task<T> BindAsync<T>(RequestShape<T> shape, byte[] body, XmlLimits? limits = null) =>
        PengxXml.ReadRequestAsync(new MemoryStream(body), shape, limits, TestContext.Current.CancellationToken);

    public static async IAsyncEnumerable<T> Each<T>(params IEnumerable<T> items)
    {
        foreach (var item in items)
        {
            await Task.Yield();
            yield return item;
        }
    }

    /// <summary>A literal laid out over lines, as it is on the wire: without the line breaks and the indentation.</summary>
    public static string Flat(string literal) =>
        Declaration + string.Concat(literal.Split('\n').Select(line => line.Trim()));
}

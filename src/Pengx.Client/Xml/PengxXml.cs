using System.Runtime.CompilerServices;
using System.Text;
using System.Xml;

namespace Pengx.Client;

/// <summary>
/// Reads and writes the XML of pengx3: answers through <see cref="PengxShapes"/>, requests through <see cref="PengxRequests"/>.
/// Reads never resolve or expand anything: a document with a DTD is refused before its content is looked at.
/// </summary>
public static class PengxXml
{
    /// <summary>The media type of everything written: <c>application/xml; charset=utf-8</c>.</summary>
    public const string ContentType = "application/xml; charset=utf-8";

    private const int FlushAt = 16 * 1024;
    private const int ReadAhead = 16 * 1024;

    /// <summary>Writes one answer as a whole document. Text that XML 1.0 cannot carry is written as U+FFFD.</summary>
    /// <typeparam name="T">The contract.</typeparam>
    /// <param name="shape">The element.</param>
    /// <param name="value">What it says.</param>
    /// <returns>The document in UTF-8, without a byte order mark.</returns>
    public static byte[] Write<T>(XmlShape<T> shape, T value)
    {
        ArgumentNullException.ThrowIfNull(shape);
        return WriteDocument(strict: false, writer => shape.Write(writer, value));
    }

    /// <summary>Writes one request body as a whole document.</summary>
    /// <typeparam name="T">The contract.</typeparam>
    /// <param name="shape">The request.</param>
    /// <param name="value">What it asks for.</param>
    /// <returns>The document in UTF-8, without a byte order mark.</returns>
    /// <exception cref="ArgumentException">A text has a character that XML 1.0 cannot carry: asking for something else instead would be wrong.</exception>
    public static byte[] WriteRequest<T>(RequestShape<T> shape, T value)
    {
        ArgumentNullException.ThrowIfNull(shape);
        return WriteDocument(strict: true, writer => shape.Write(writer, value));
    }

    /// <summary>
    /// Writes one answer as one line without XML declaration, for the data of a server-sent event. Line breaks in texts are written as
    /// character references.
    /// </summary>
    /// <typeparam name="T">The contract.</typeparam>
    /// <param name="shape">The element.</param>
    /// <param name="value">What it says.</param>
    /// <returns>The element on one line.</returns>
    public static string WriteLine<T>(XmlShape<T> shape, T value)
    {
        ArgumentNullException.ThrowIfNull(shape);
        using var xml = new Utf8XmlBuffer(1024) { OneLine = true };
        shape.Write(new WireWriter(xml, strict: false), value);
        return Encoding.UTF8.GetString(xml.Written.Span);
    }

    /// <summary>
    /// Writes a list item by item, in memory that does not grow with it. Nothing reaches the destination before the first 16 KiB are full
    /// or the list ends, so that a source that fails at once can still be answered with an error; one that fails later leaves an
    /// unfinished document, and the connection must be broken off.
    /// </summary>
    /// <typeparam name="T">The contract of one item.</typeparam>
    /// <param name="destination">Where the document goes; it stays open.</param>
    /// <param name="shape">The element of one item.</param>
    /// <param name="items">The items.</param>
    /// <param name="cancellationToken">Stops writing.</param>
    /// <returns>When the whole list was written.</returns>
    /// <exception cref="ArgumentException">The shape has no list.</exception>
    public static async Task WriteListAsync<T>(
        Stream destination, XmlShape<T> shape, IAsyncEnumerable<T> items, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(destination);
        ArgumentNullException.ThrowIfNull(shape);
        ArgumentNullException.ThrowIfNull(items);
        var list = ListNameOf(shape);
        using var xml = new Utf8XmlBuffer(2 * FlushAt);
        xml.Declaration();
        xml.Open(list);
        var writer = new WireWriter(xml, strict: false);
        await foreach (var item in items.WithCancellation(cancellationToken).ConfigureAwait(false))
        {
            shape.Write(writer, item);
            if (xml.Length >= FlushAt)
            {
                await destination.WriteAsync(xml.Written, cancellationToken).ConfigureAwait(false);
                xml.Clear();
            }
        }

        xml.Close();
        await destination.WriteAsync(xml.Written, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Reads a request body whole, within limits. Nothing in it is judged yet: <see cref="RequestShape{T}.Bind"/> does that.</summary>
    /// <param name="body">The body: UTF-8, or UTF-16 with a byte order mark or a declaration.</param>
    /// <param name="limits">How much is read; null means <see cref="XmlLimits.Request"/>.</param>
    /// <param name="cancellationToken">Stops reading.</param>
    /// <returns>The document.</returns>
    /// <exception cref="XmlRefusedException">It is too large, malformed, too deep or has a DTD.</exception>
    public static async Task<RequestDocument> ReadDocumentAsync(
        Stream body, XmlLimits? limits = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(body);
        return new RequestDocument(await ReadWholeAsync(body, limits ?? XmlLimits.Request, cancellationToken).ConfigureAwait(false));
    }

    /// <summary>Reads a request body and binds it.</summary>
    /// <typeparam name="T">The contract.</typeparam>
    /// <param name="body">The body: UTF-8, or UTF-16 with a byte order mark or a declaration.</param>
    /// <param name="shape">The request.</param>
    /// <param name="limits">How much is read; null means <see cref="XmlLimits.Request"/>.</param>
    /// <param name="cancellationToken">Stops reading.</param>
    /// <returns>The request.</returns>
    /// <exception cref="XmlRefusedException">It is too large, malformed, too deep, has a DTD or another root.</exception>
    /// <exception cref="InvalidRequestException">Fields are missing or not of their kind: all of them are named.</exception>
    public static async Task<T> ReadRequestAsync<T>(
        Stream body, RequestShape<T> shape, XmlLimits? limits = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(shape);
        var document = await ReadDocumentAsync(body, limits, cancellationToken).ConfigureAwait(false);
        return shape.Bind(document);
    }

    /// <summary>Reads one answer, leniently: elements may be missing, reordered or unknown, dates in any form a pengx3 server writes.</summary>
    /// <typeparam name="T">The contract.</typeparam>
    /// <param name="body">The answer's body.</param>
    /// <param name="shape">The element that is expected.</param>
    /// <param name="limits">How much is read; null means <see cref="XmlLimits.Response"/>.</param>
    /// <param name="cancellationToken">Stops reading.</param>
    /// <returns>What the answer says.</returns>
    /// <exception cref="XmlRefusedException">It is not XML, beyond the limits, another element, or has no id where one is needed.</exception>
    public static async Task<T> ReadAsync<T>(
        Stream body, XmlShape<T> shape, XmlLimits? limits = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(body);
        ArgumentNullException.ThrowIfNull(shape);
        var root = await ReadWholeAsync(body, limits ?? XmlLimits.Response, cancellationToken).ConfigureAwait(false);
        if (!string.Equals(root.Name, shape.ElementName, StringComparison.Ordinal))
        {
            throw WrongAnswer(root.Name, shape.ElementName);
        }

        return shape.Read(root);
    }

    /// <summary>Reads a list item by item, in memory that does not grow with it, as leniently as <see cref="ReadAsync"/>.</summary>
    /// <typeparam name="T">The contract of one item.</typeparam>
    /// <param name="body">The answer's body; it stays open.</param>
    /// <param name="shape">The element of one item.</param>
    /// <param name="limits">How much is read per item; null means <see cref="XmlLimits.Response"/>.</param>
    /// <param name="cancellationToken">Stops reading.</param>
    /// <returns>The items, in the server's order.</returns>
    /// <exception cref="XmlRefusedException">It is not XML, beyond the limits or another element; items before the fault were given out.</exception>
    public static async IAsyncEnumerable<T> ReadListAsync<T>(
        Stream body, XmlShape<T> shape, XmlLimits? limits = null, [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(body);
        ArgumentNullException.ThrowIfNull(shape);
        var list = ListNameOf(shape);
        limits ??= XmlLimits.Response;
        using var limited = new LimitedStream(body, limits.MaxBytes, ReadAhead, cancellationToken);
        using var source = new ListSource(limited, list, limits);
        while (await source.NextAsync(shape.ElementName, cancellationToken).ConfigureAwait(false) is { } item)
        {
            yield return shape.Read(item);
            limited.Renew();
        }

        if (source.Rest is not { } rest)
        {
            yield break;
        }

        // Something that is not plain, or not well-formed, came: from there on the thorough reader goes on.
        using var remaining = new PrefixedStream(rest, limited);
        using var reader = XmlReader.Create(remaining, WireElementReader.Settings);
        var inList = false;
        while (true)
        {
            WireElement? item = null;
            try
            {
                if (!await reader.ReadAsync().ConfigureAwait(false))
                {
                    break;
                }

                if (reader.NodeType == XmlNodeType.Element)
                {
                    if (!inList)
                    {
                        if (!string.Equals(reader.LocalName, list, StringComparison.Ordinal))
                        {
                            throw WrongAnswer(reader.LocalName, list);
                        }

                        inList = true;
                        continue;
                    }

                    item = await WireElementReader.ReadElementAsync(reader, limits).ConfigureAwait(false);
                }
            }
            catch (XmlException exception)
            {
                throw Malformed(exception, inList);
            }
            catch (ArgumentOutOfRangeException exception)
            {
                // XmlReader trips over bytes that are no UTF-8 in a declaration that arrives in pieces.
                throw new XmlRefusedException(XmlRefusal.Malformed, "The XML has a declaration that cannot be read; send well-formed XML 1.0 in UTF-8.", exception);
            }

            if (item is not null && string.Equals(item.Name, shape.ElementName, StringComparison.Ordinal))
            {
                yield return shape.Read(item);
                limited.Renew();
            }
        }
    }

    private static byte[] WriteDocument(bool strict, Action<WireWriter> write)
    {
        using var xml = new Utf8XmlBuffer(4096);
        xml.Declaration();
        write(new WireWriter(xml, strict));
        return xml.Written.ToArray();
    }

    private static string ListNameOf<T>(XmlShape<T> shape) =>
        shape.ListName ?? throw new ArgumentException($"<{shape.ElementName}> has no list on this wire.", nameof(shape));

    /// <summary>The whole body is taken in first, so that one over the limit is always that, whatever else is wrong with it.</summary>
    private static async Task<WireElement> ReadWholeAsync(Stream body, XmlLimits limits, CancellationToken cancellationToken)
    {
        using var buffer = new MemoryStream();
        using (var limited = new LimitedStream(body, limits.MaxBytes, 0, cancellationToken))
        {
            await limited.CopyToAsync(buffer, cancellationToken).ConfigureAwait(false);
        }

        if (ReadPlain(buffer, limits) is { } plain)
        {
            return plain;
        }

        buffer.Position = 0;
        using var reader = XmlReader.Create(buffer, WireElementReader.Settings);
        WireElement? root = null;
        try
        {
            while (await reader.ReadAsync().ConfigureAwait(false))
            {
                if (reader.NodeType == XmlNodeType.Element)
                {
                    root = await WireElementReader.ReadElementAsync(reader, limits).ConfigureAwait(false);
                }
            }
        }
        catch (XmlException exception)
        {
            throw Malformed(exception, root is not null || reader.Depth > 0);
        }

        return root ?? throw new XmlRefusedException(XmlRefusal.Malformed, "The XML has no root element; send a document.");
    }

    /// <summary>The root of a document that is certainly well-formed; null for one that the thorough reader must judge.</summary>
    private static WireElement? ReadPlain(MemoryStream buffer, XmlLimits limits)
    {
        var source = buffer.GetBuffer();
        var (at, end) = (0, (int)buffer.Length);
        var parser = new Utf8ElementParser(limits, reuse: false);
        if (Utf8ElementParser.Prolog(source, ref at, end) != ParseOutcome.Read
            || Utf8ElementParser.Skip(source, ref at, end) != ParseOutcome.Read
            || parser.Read(source, at, end, 0) != ParseOutcome.Read)
        {
            return null;
        }

        return source.AsSpan(parser.End, end - parser.End).IndexOfAnyExcept(" \r\n\t"u8) < 0 ? parser.Element : null;
    }

    // The reader reports a forbidden DTD without a line, and only a DTD before the root can be one.
    private static XmlRefusedException Malformed(XmlException exception, bool insideRoot) =>
        !insideRoot && exception.LineNumber == 0 && exception.Message.Contains("DTD", StringComparison.OrdinalIgnoreCase)
            ? new XmlRefusedException(
                XmlRefusal.DtdForbidden,
                "The XML has a document type declaration (DTD), which is refused with everything it declares; send the document without it.",
                exception)
            : new XmlRefusedException(
                XmlRefusal.Malformed,
                $"The XML is not well-formed at line {exception.LineNumber}, column {exception.LinePosition}; send well-formed XML 1.0.",
                exception);

    private static XmlRefusedException WrongAnswer(string found, string expected) => new(
        XmlRefusal.WrongRoot, $"The answer's root element is <{FieldBinder.Shown(found)}> where <{expected}> was expected.");
}

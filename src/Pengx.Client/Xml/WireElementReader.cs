using System.Text;
using System.Xml;

namespace Pengx.Client;

/// <summary>Builds <see cref="WireElement"/> trees from an <see cref="XmlReader"/>, within limits and without recursion.</summary>
internal static class WireElementReader
{
    internal static readonly XmlReaderSettings Settings = new()
    {
        Async = true,
        CheckCharacters = true,
        CloseInput = false,
        DtdProcessing = DtdProcessing.Prohibit,
        IgnoreComments = true,
        IgnoreProcessingInstructions = true,
        XmlResolver = null,
    };

    /// <summary>Reads the element on which the reader stands, to its end tag.</summary>
    internal static async ValueTask<WireElement> ReadElementAsync(XmlReader reader, XmlLimits limits)
    {
        var root = Create(reader);
        if (reader.Depth + 1 > limits.MaxDepth)
        {
            throw TooDeep(limits);
        }

        if (reader.IsEmptyElement)
        {
            return root;
        }

        var count = 1;
        var open = new Stack<Open>();
        open.Push(new Open(root));
        while (await reader.ReadAsync().ConfigureAwait(false))
        {
            switch (reader.NodeType)
            {
                case XmlNodeType.Element:
                    if (reader.Depth + 1 > limits.MaxDepth)
                    {
                        throw TooDeep(limits);
                    }

                    if (++count > limits.MaxElements)
                    {
                        throw new XmlRefusedException(
                            XmlRefusal.TooManyElements, $"The XML has more than {limits.MaxElements} elements; send fewer.");
                    }

                    var child = Create(reader);
                    open.Peek().Element.Add(child);
                    if (!reader.IsEmptyElement)
                    {
                        open.Push(new Open(child));
                    }

                    break;
                case XmlNodeType.Text:
                case XmlNodeType.CDATA:
                case XmlNodeType.Whitespace:
                case XmlNodeType.SignificantWhitespace:
                    open.Peek().Append(reader.Value);
                    break;
                case XmlNodeType.EndElement:
                    open.Pop().Close();
                    if (open.Count == 0)
                    {
                        return root;
                    }

                    break;
            }
        }

        throw new XmlRefusedException(XmlRefusal.Malformed, $"The XML ends inside <{root.Name}>; send the whole document.");
    }

    private static WireElement Create(XmlReader reader)
    {
        var id = reader.HasAttributes ? reader.GetAttribute("id")?.Trim() : null;
        return new WireElement(reader.LocalName, string.IsNullOrEmpty(id) ? null : id);
    }

    private static XmlRefusedException TooDeep(XmlLimits limits) => new(
        XmlRefusal.TooDeep, $"The XML nests deeper than {limits.MaxDepth} levels; send it flatter.");

    private sealed class Open(WireElement element)
    {
        private string? _text;
        private StringBuilder? _more;

        public WireElement Element => element;

        public void Append(string text)
        {
            if (_text is null)
            {
                _text = text;
                return;
            }

            _more ??= new StringBuilder(_text);
            _more.Append(text);
        }

        public void Close()
        {
            var text = (_more?.ToString() ?? _text)?.Trim();
            element.Text = string.IsNullOrEmpty(text) ? null : text;
        }
    }
}

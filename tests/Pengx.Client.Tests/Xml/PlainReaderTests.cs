using System.Text;
using System.Xml;
using CsCheck;

namespace Pengx.Client.Tests;

/// <summary>The plain reader and the thorough one must never differ: every document is read by both.</summary>
public sealed class PlainReaderTests
{
    private static readonly string[] Pieces =
    [
        "<vms>", "</vms>", "<vm id='1'>", "<vm id=\"a\" >", "</vm>", "</vm >", "<name>", "</name>", "<name/>", "<name />", "a", " b ", "\n", "\r\n", "\t", "&amp;", "&lt;", "&#65;", "&#x41;", "&#0;",
        "&#xD;", "&bad;", "&", "]]>", "]", ">", "<!-- c -->", "<!-- -- -->", "<![CDATA[x]]>", "<?pi x?>", "<?xml version='1.0'?>", "<?xml version=\"1.0\" encoding=\"utf-8\"?>",
        "<?xml version='1.0\"?>", "<?xml version=\"1.0\" encoding=\"utf-16\"?>", "<!DOCTYPE vms>", "ä", "😀", "\u00a0", "\u2028", "\ufffe", "\0", "\u001b", "<a:b>", "</a:b>", "<vm xmlns='x'>", "<vm id='1' id='2'>", "<vm id='1' x='2'>",
        "<vm id='<'>", "<vm id='&amp;'>", "<1>", "<vm", "/>", "\ufeff", "'", "\"", "=",
    ];

    private static readonly Gen<byte[]> Assembled = Gen.Int[0, Pieces.Length - 1].Array[0, 14].Select(chosen => Encoding.UTF8.GetBytes(string.Concat(chosen.Select(index => Pieces[index]))));

    private static readonly Gen<byte[]> WellFormed = Gen.Select(Gen.Int[0, Pieces.Length - 1].Array[0, 5], Gen.Int[0, Pieces.Length - 1].Array[0, 5], (inner, outer) =>
        Encoding.UTF8.GetBytes($"<vms><vm id='1'><name>{Join(inner)}</name>{Join(outer)}<x/></vm></vms>"));

    private static readonly Gen<byte[]> Spoiled = Gen.Select(
        Gen.Const(Encoding.UTF8.GetBytes("<?xml version=\"1.0\" encoding=\"utf-8\"?>\r\n<vms>\n<vm id='1'><name>a &amp; ä &#65;</name><!-- c --><x><y/></x></vm><vm id=\"2\" ></vm >\n</vms>\n")),
        Gen.Select(Gen.Int[0, 200], Gen.Byte).Array[0, 3],
        (seed, changes) =>
        {
            var bytes = (byte[])seed.Clone();
            foreach (var (at, value) in changes)
            {
                bytes[at % bytes.Length] = value;
            }

            return bytes;
        });

    [Fact]
    public async Task No_document_is_read_otherwise_than_by_the_thorough_reader() =>
        await Gen.OneOf(Assembled, WellFormed, Spoiled).SampleAsync(
            async bytes => Assert.Equal(await ThoroughAsync(bytes), await OursAsync(bytes)), iter: 20_000);

    [Fact]
    public async Task No_list_is_read_otherwise_whatever_the_pieces_in_which_it_arrives() =>
        await Gen.Select(Gen.OneOf(WellFormed, Spoiled), Gen.Int[1, 40]).SampleAsync(
            async (bytes, piece) => Assert.Equal(await ListAsync(new MemoryStream(bytes)), await ListAsync(new InPieces(bytes, piece))), iter: 5_000);

    [Fact]
    public async Task A_list_of_plain_items_is_read_without_the_thorough_reader()
    {
        var bytes = Encoding.UTF8.GetBytes($"<operations>{string.Concat(Enumerable.Range(0, 300).Select(index => $"<operation id='{Guid.NewGuid()}'><state>RUNNING</state><message>n {index} ä &lt;</message></operation>\n"))}</operations> ");
        using var source = new ListSource(new MemoryStream(bytes), "operations", XmlLimits.Response);
        var count = 0;
        while (await source.NextAsync("operation", TestContext.Current.CancellationToken) is { } item)
        {
            Assert.Equal($"n {count++} ä <", item.Find("message")!.Text);
        }

        Assert.Equal(300, count);
        Assert.Null(source.Rest);
    }

    private static string Join(int[] chosen) => string.Concat(chosen.Select(index => Pieces[index]));

    private static async Task<string> OursAsync(byte[] bytes)
    {
        try
        {
            return Dump((await PengxXml.ReadDocumentAsync(new MemoryStream(bytes))).Root);
        }
        catch (XmlRefusedException refused)
        {
            return $"refused: {refused.Refusal}";
        }
    }

    /// <summary>The same by <see cref="XmlReader"/> alone.</summary>
    private static async Task<string> ThoroughAsync(byte[] bytes)
    {
        using var reader = XmlReader.Create(new MemoryStream(bytes), WireElementReader.Settings);
        WireElement? root = null;
        try
        {
            while (await reader.ReadAsync())
            {
                if (reader.NodeType == XmlNodeType.Element)
                {
                    root = await WireElementReader.ReadElementAsync(reader, XmlLimits.Request);
                }
            }
        }
        catch (XmlException exception)
        {
            return $"refused: {(root is null && reader.Depth == 0 && exception.LineNumber == 0 && exception.Message.Contains("DTD", StringComparison.Ordinal) ? XmlRefusal.DtdForbidden : XmlRefusal.Malformed)}";
        }
        catch (XmlRefusedException refused)
        {
            return $"refused: {refused.Refusal}";
        }

        return root is null ? "refused: Malformed" : Dump(root);
    }

    private static async Task<string> ListAsync(Stream stream)
    {
        var text = new StringBuilder();
        try
        {
            await foreach (var name in PengxXml.ReadListAsync(stream, Names))
            {
                text.Append('[').Append(name).Append(']');
            }
        }
        catch (XmlRefusedException refused)
        {
            text.Append("refused: ").Append(refused.Refusal);
        }

        return text.ToString();
    }

    private static readonly XmlShape<string> Names = new("vm", "vms", (_, _) => { }, Dump);

    private static string Dump(WireElement element) =>
        $"{element.Name}({element.Id}|{element.Text}|{string.Concat(element.Children.Select(Dump))})";

    /// <summary>Gives out its bytes in pieces.</summary>
    private sealed class InPieces(byte[] bytes, int piece) : MemoryStream(bytes)
    {
        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) =>
            base.ReadAsync(buffer[..Math.Min(piece, buffer.Length)], cancellationToken);
    }
}

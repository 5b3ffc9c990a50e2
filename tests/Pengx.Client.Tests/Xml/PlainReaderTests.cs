using System.Globalization;
using System.Text;
using System.Text.Unicode;
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

    private static readonly string[] Items =
    [
        "<vm id='1'><name>a</name><status>RUNNING</status><nics><nic><name>eth0</name></nic></nics><pm id=\"x\"></pm></vm>",
        "<vm id='2'><name>b</name><status>RUNNING</status><nics><nic><name>eth0</name></nic><nic><name>eth1</name></nic></nics><pm id=\"x\"></pm></vm>",
        "<vm id='3'>\n<name> b c </name>\n<status></status>\n<nics></nics><pm/></vm>\n",
        "<vm><status>RUNNING</status><name>a]]b</name></vm>",
        "<vm id='4'><name>&lt;ä&gt;</name><status>RUNNING</status ><statuses>1</statuses><nics>x</nics></vm>",
        "<vm id='5'><name>a</name><name>b</name><status><x>y</x></status></vm>",
        "<vm id='6'><name>a</name>text<status>RUNNING</status></vm>",
        "<vm id='7'><name >a</name><!-- c --><status/></vm>",
        "<other><name>a</name></other>",
        "<vm/>",
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
            async (bytes, piece) =>
            {
                var (whole, pieces) = (await ListAsync(new MemoryStream(bytes)), await ListAsync(new InPieces(bytes, piece)));
                if (whole == pieces || Utf8.IsValid(bytes))
                {
                    Assert.Equal(whole, pieces);
                }
                else
                {
                    // XmlReader refuses a byte that is no UTF-8 as soon as it has it in hand, so how many items it gives out before that depends on
                    // what arrives with it; but never does it give out others.
                    var (given, givenInPieces) = (ItemsBeforeRefusal(whole), ItemsBeforeRefusal(pieces));
                    Assert.True(given.StartsWith(givenInPieces, StringComparison.Ordinal) || givenInPieces.StartsWith(given, StringComparison.Ordinal), $"{whole} and {pieces}");
                }
            },
            iter: 5_000,
            print: one => $"pieces of {one.Item2}: {Convert.ToHexString(one.Item1)}");

    // Items that are alike, as a real list's are, and then one that is not: what the reader expects of the next one must not be what it reads.
    private static readonly Gen<byte[]> Lists = Gen.Select(Gen.Int[0, Items.Length - 1], Gen.Int[0, Pieces.Length - 1].Array[0, 2], Gen.Int[0, Items.Length - 1].Array[1, 6]).Select((usual, spoiled, others) =>
        Encoding.UTF8.GetBytes($"<vms>{Items[usual]}{string.Concat(others.Select(index => index % 2 == 0 ? Items[usual] : Items[index]))}{Join(spoiled)}{Items[usual]}</vms>"));

    [Fact]
    public async Task No_list_is_read_otherwise_than_by_the_thorough_reader() =>
        await Gen.Select(Lists, Gen.Int[1, 200]).SampleAsync(
            async (bytes, piece) => Assert.Equal(await ThoroughListAsync(bytes), await ListAsync(new InPieces(bytes, piece))), iter: 10_000);

    [Theory]
    [InlineData("<os_arch>X64</os_type>", "X64")]
    [InlineData("<os_arch></os_type>", null)]
    [InlineData("<os_arch>\n X64 \n</os_type >", "X64")]
    public async Task The_end_tag_that_the_reference_prints_is_read_in_lists(string slip, string? expected)
    {
        var item = $"<vm id='{Guid.NewGuid()}'><name>a</name><os>DEBIAN</os>{slip}<create_date/></vm>\n";
        foreach (var piece in (int[])[1, 7, 100_000])
        {
            var machines = await PengxXml.ReadListAsync(new InPieces(Encoding.UTF8.GetBytes($"<vms>{item}{item}{item}</vms>"), piece), PengxShapes.Machine, null, TestContext.Current.CancellationToken).ToListAsync(TestContext.Current.CancellationToken);
            Assert.Equal([(expected, "DEBIAN", "a"), (expected, "DEBIAN", "a"), (expected, "DEBIAN", "a")], machines.Select(machine => (machine.OsArch, machine.Os, machine.Name)));
        }

        Assert.Equal("refused: Malformed", await OursAsync(Encoding.UTF8.GetBytes($"<vm>{slip}</vm>")));
    }

    [Theory]
    [InlineData("<os_type>X64</os_arch>")]
    [InlineData("<os>X64</os_type>")]
    [InlineData("<os_arch>X64</os_typ>")]
    [InlineData("<os_arch>X64</os_types>")]
    [InlineData("<os_arch><x/></os_type>")]
    [InlineData("<os_arch>X64</os_type></os_arch>")]
    [InlineData("<name>test</cpu_core>")]
    [InlineData("<os_arch>X64")]
    public async Task Every_other_mismatch_is_refused_in_lists_too(string slip)
    {
        var item = $"<vm id='{Guid.NewGuid()}'><name>a</name></vm>";
        var whole = $"<vms>{item}<vm id='1'><name>b</name>{slip}</vm>{item}</vms>";
        Assert.Equal("refused: Malformed", (await ListAsync(new MemoryStream(Encoding.UTF8.GetBytes(whole))))[^18..]);
    }

    [Fact]
    public async Task The_first_element_of_a_name_is_found_in_whatever_order_they_are_asked_for()
    {
        string[] known = ["name", "status", "os", "memory", "nics"];
        var names = Gen.Int[0, known.Length - 1].Select(index => known[index]);
        await Gen.Select(names.Array[0, 6], names.Array[1, 8]).SampleAsync(async (inside, asked) =>
        {
            var item = $"<vm>{string.Concat(inside.Select((name, at) => $"<{name}>{at}</{name}>"))}</vm>";
            var expected = asked.Select(name => Array.IndexOf(inside, name) is >= 0 and var at ? at.ToString(CultureInfo.InvariantCulture) : null).ToList();
            var shape = new XmlShape<List<string?>>("vm", "vms", (_, _) => { }, element => [.. asked.Select(name => element.Find(name)?.Text)]);
            Assert.Equal(expected, await PengxXml.ReadAsync(new MemoryStream(Encoding.UTF8.GetBytes(item)), shape));
            Assert.Equal([expected, expected], await PengxXml.ReadListAsync(new MemoryStream(Encoding.UTF8.GetBytes($"<vms>{item}{item}</vms>")), shape).ToListAsync());
        });
    }

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

    /// <summary>XmlReader itself fails with another exception than its own at some of these, and takes no offence at others.</summary>
    [Fact]
    public async Task A_declaration_with_bytes_that_are_no_UTF8_is_read_or_refused_in_whatever_pieces_it_arrives()
    {
        byte[] bytes = [.. "<?xml version=\"1.0"u8, 0xe4, .. " encoding="u8, 0xcb, .. "utf-8\"?>\r\n<vms>\n<vm id='1'><name>a</name><!-- c --></vm>\n</vms>\n"u8];
        HashSet<string> outcomes = [];
        for (var piece = 1; piece <= bytes.Length; piece++)
        {
            outcomes.Add(await ListAsync(new InPieces(bytes, piece)));
        }

        Assert.Subset(new HashSet<string> { "refused: Malformed", "[vm(1||name(|a|))]" }, outcomes);
        Assert.Contains("refused: Malformed", outcomes);
    }

    private static string ItemsBeforeRefusal(string list) => list.LastIndexOf("refused: ", StringComparison.Ordinal) is >= 0 and var at ? list[..at] : list;

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

    /// <summary>The same by <see cref="XmlReader"/> alone.</summary>
    private static async Task<string> ThoroughListAsync(byte[] bytes)
    {
        var text = new StringBuilder();
        using var reader = XmlReader.Create(new MemoryStream(bytes), WireElementReader.Settings);
        try
        {
            await reader.MoveToContentAsync();
            while (await reader.ReadAsync())
            {
                if (reader.NodeType == XmlNodeType.Element && await WireElementReader.ReadElementAsync(reader, XmlLimits.Response) is { Name: "vm" } item)
                {
                    text.Append('[').Append(Dump(item)).Append(']');
                }
            }
        }
        catch (XmlException)
        {
            text.Append("refused: Malformed");
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

using System.Text;
using CsCheck;

namespace Pengx.Client.Tests;

public sealed class RefusalTests
{
    [Theory]
    [InlineData("<!DOCTYPE vm><vm/>")]
    [InlineData("<?xml version='1.0'?>\n<!-- c --> <!DOCTYPE vm SYSTEM 'file:///etc/passwd'><vm/>")]
    [InlineData("<!DOCTYPE vm [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><vm><name>&x;</name></vm>")]
    [InlineData("<!DOCTYPE vm [<!ENTITY % p SYSTEM 'http://127.0.0.1:1/x'> %p;]><vm/>")]
    public Task A_dtd_is_refused(string xml) => RefusedAsync(XmlRefusal.DtdForbidden, xml, "DTD");

    [Fact]
    public async Task An_entity_bomb_is_refused_before_it_expands()
    {
        var bomb = new StringBuilder("<!DOCTYPE vm [<!ENTITY e0 'lol'>");
        for (var level = 1; level < 30; level++)
        {
            bomb.Append($"<!ENTITY e{level} '{string.Concat(Enumerable.Repeat($"&e{level - 1};", 10))}'>");
        }

        bomb.Append("]><vm><name>&e29;</name></vm>");
        await RefusedAsync(XmlRefusal.DtdForbidden, bomb.ToString(), "DTD");
    }

    [Theory]
    [InlineData("<vm>&x;</vm>")]
    [InlineData("<vm><name>a</vm>")]
    [InlineData("<vm>")]
    [InlineData("<vm/><vm/>")]
    [InlineData("<vm/>text")]
    [InlineData("<vm><!DOCTYPE vm></vm>")]
    [InlineData("<vm>&#0;</vm>")]
    [InlineData("<vm>a\u0001b</vm>")]
    [InlineData("<vm dtd='1' dtd='2'/>")]
    [InlineData("")]
    [InlineData("   ")]
    [InlineData("{\"vm\":{}}")]
    [InlineData("<?xml version='1.0' encoding='no-such'?><vm/>")]
    [InlineData("<a:vm/>")]
    public Task What_is_not_well_formed_is_refused(string xml) => RefusedAsync(XmlRefusal.Malformed, xml, "XML");

    [Fact]
    public async Task Bytes_that_are_not_the_encoding_are_refused()
    {
        byte[] body = [.. "<vm><name>"u8, 0xC3, 0x28, .. "</name></vm>"u8];
        var error = await Assert.ThrowsAsync<XmlRefusedException>(() => Documents.BindAsync(PengxRequests.MachineEdit, body));
        Assert.Equal(XmlRefusal.Malformed, error.Refusal);
    }

    [Fact]
    public async Task Thirty_two_levels_are_read_and_thirty_three_are_not()
    {
        Assert.NotNull(await Documents.BindAsync(PengxRequests.MachineEdit, Nested(32)));
        Assert.NotNull(await Documents.BindAsync(PengxRequests.MachineEdit, Nested(31, "<x/>")));
        await RefusedAsync(XmlRefusal.TooDeep, Nested(33), "32 levels");
        await RefusedAsync(XmlRefusal.TooDeep, Nested(32, "<x/>"), "32 levels");
        await RefusedAsync(XmlRefusal.TooDeep, Nested(50_000), "32 levels");

        static string Nested(int levels, string inner = "") =>
            "<vm>" + string.Concat(Enumerable.Repeat("<x>", levels - 1)) + inner + string.Concat(Enumerable.Repeat("</x>", levels - 1)) + "</vm>";
    }

    [Fact]
    public async Task A_document_of_exactly_the_limit_is_read_and_a_longer_one_is_too_large()
    {
        const int Limit = 1 << 20;
        Assert.NotNull(await Documents.BindAsync(PengxRequests.MachineEdit, Padded(Limit)));
        var error = await Assert.ThrowsAsync<XmlRefusedException>(() => Documents.BindAsync(PengxRequests.MachineEdit, Padded(Limit + 1)));
        Assert.Equal(XmlRefusal.TooLarge, error.Refusal);
        Assert.Contains("1048576 bytes", error.Message, StringComparison.Ordinal);

        static byte[] Padded(int length) => Encoding.UTF8.GetBytes("<vm>" + new string(' ', length - 9) + "</vm>");
    }

    [Fact]
    public async Task A_long_body_is_too_large_whatever_it_is_and_is_not_read_to_its_end()
    {
        await using var body = new EndlessStream();
        var error = await Assert.ThrowsAsync<XmlRefusedException>(
            () => PengxXml.ReadDocumentAsync(body, cancellationToken: TestContext.Current.CancellationToken));
        Assert.Equal(XmlRefusal.TooLarge, error.Refusal);
        Assert.InRange(body.Given, 1 << 20, (1 << 20) + 200_000);
    }

    [Fact]
    public Task Too_many_elements_are_refused() =>
        RefusedAsync(XmlRefusal.TooManyElements, $"<vm>{string.Concat(Enumerable.Repeat("<a/>", 10_000))}</vm>", "10000 elements");

    [Theory]
    [InlineData("<VM/>")]
    [InlineData("<storlink/>")]
    public Task Another_root_is_refused(string xml) => RefusedAsync(XmlRefusal.WrongRoot, xml, "takes <vm>.");

    [Theory]
    [InlineData("utf-7")]
    [InlineData("utf-16")]
    [InlineData("utf-16BE")]
    [InlineData("utf-32")]
    [InlineData("ibm500")]
    [InlineData("shift_jis")]
    [InlineData("x")]
    [InlineData("utf-8 ")]
    [InlineData("")]
    public async Task An_encoding_that_the_bytes_are_not_in_is_refused(string encoding)
    {
        var error = await Assert.ThrowsAsync<XmlRefusedException>(() => Documents.BindAsync(
            PengxRequests.MachineEdit, $"<?xml version='1.0' encoding='{encoding}'?><vm><name>n</name></vm>"));
        Assert.Equal(XmlRefusal.Malformed, error.Refusal);
    }

    [Fact]
    public async Task Whatever_the_bytes_are_the_refusal_is_ours()
    {
        byte[][] seeds =
        [
            "<?xml version='1.0' encoding='utf-8'?><vm id='1'><name>a &amp; <![CDATA[b]]>&#65;</name><!-- c --><?p i?><x><y/></x></vm>"u8.ToArray(),
            [.. Encoding.Unicode.GetPreamble(), .. Encoding.Unicode.GetBytes("<?xml version='1.0' encoding='utf-16'?><vm><name>ä😀</name></vm>")],
            "<!DOCTYPE vm [<!ENTITY x 'y'>]><vm>&x;</vm>"u8.ToArray(),
        ];
        await Gen.Select(Gen.Int[0, seeds.Length - 1], Gen.Select(Gen.Int[0, 200], Gen.Byte).Array[0, 4], Gen.Int[0, 200]).SampleAsync(
            async (seed, changes, cut) =>
            {
                var bytes = (byte[])seeds[seed].Clone();
                foreach (var (at, value) in changes)
                {
                    bytes[at % bytes.Length] = value;
                }

                try
                {
                    await PengxXml.ReadDocumentAsync(new MemoryStream(bytes, 0, cut < 100 ? bytes.Length : cut % bytes.Length), cancellationToken: TestContext.Current.CancellationToken);
                }
                catch (XmlRefusedException)
                {
                    // The only refusal there is.
                }
            },
            iter: 5_000);
        await Gen.Byte.Array[0, 64].SampleAsync(async bytes =>
            await Assert.ThrowsAsync<XmlRefusedException>(() => PengxXml.ReadDocumentAsync(new MemoryStream([.. bytes, 0]), cancellationToken: TestContext.Current.CancellationToken)));
    }

    [Fact]
    public async Task Utf16_is_read_with_a_mark_or_a_declaration()
    {
        const string Xml = "<vm><name>Grüße 😀</name></vm>";
        byte[][] bodies =
        [
            [.. Encoding.Unicode.GetPreamble(), .. Encoding.Unicode.GetBytes(Xml)],
            [.. Encoding.BigEndianUnicode.GetPreamble(), .. Encoding.BigEndianUnicode.GetBytes(Xml)],
            [.. Encoding.Unicode.GetPreamble(), .. Encoding.Unicode.GetBytes("<?xml version='1.0' encoding='utf-16'?>" + Xml)],
            Encoding.Unicode.GetBytes("<?xml version='1.0' encoding='utf-16'?>" + Xml),
            Encoding.BigEndianUnicode.GetBytes("<?xml version='1.0' encoding='utf-16'?>" + Xml),
            [.. Encoding.UTF8.GetPreamble(), .. Encoding.UTF8.GetBytes(Xml)],
            Encoding.UTF8.GetBytes("<?xml version='1.0' encoding='UTF-8'?>" + Xml),
            Encoding.UTF8.GetBytes(Xml),
        ];
        foreach (var body in bodies)
        {
            Assert.Equal("Grüße 😀", (await Documents.BindAsync(PengxRequests.MachineEdit, body)).Name);
        }
    }

    [Fact]
    public async Task A_utf16_dtd_is_refused_too()
    {
        byte[] body = [.. Encoding.Unicode.GetPreamble(), .. Encoding.Unicode.GetBytes("<!DOCTYPE vm><vm/>")];
        var error = await Assert.ThrowsAsync<XmlRefusedException>(() => Documents.BindAsync(PengxRequests.MachineEdit, body));
        Assert.Equal(XmlRefusal.DtdForbidden, error.Refusal);
    }

    private static async Task RefusedAsync(XmlRefusal refusal, string xml, string said)
    {
        var error = await Assert.ThrowsAsync<XmlRefusedException>(() => Documents.BindAsync(PengxRequests.MachineEdit, xml));
        Assert.Equal(refusal, error.Refusal);
        Assert.Contains(said, error.Message, StringComparison.Ordinal);
        Assert.Equal(PengxErrorCode.InvalidField, error.Code);
        Assert.EndsWith(".", error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', error.Message);
    }

    private sealed class EndlessStream : MemoryStream
    {
        public long Given { get; private set; }

        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            buffer.Span.Fill((byte)'x');
            Given += buffer.Length;
            return ValueTask.FromResult(buffer.Length);
        }
    }
}

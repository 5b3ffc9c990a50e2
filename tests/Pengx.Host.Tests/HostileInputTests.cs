using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using System.Text;
using System.Xml.Linq;

namespace Pengx.Host.Tests;

public sealed class HostileInputTests(SimulatedService service) : IClassFixture<SimulatedService>
{
    private static readonly string[] Hostile =
    [
        "; $(reboot)", "`reboot`", "../../etc/passwd", "a\"b'c", "-o", "--help", "x,id=evil", "%s%n", "<b>&amp;</b>", "名前 \U0001F600", "{0}", "' OR 1=1 --", "{{7*7}}",
    ];

    private HostProcess Host => service.Host;

    private static string Escape(string text) => new XText(text).ToString();

    private static string Machine(string name, string storlink, string rest = "") =>
        $"<vm><name>{name}</name><storlink>{storlink}</storlink><cpu_core>1</cpu_core><memory>64</memory><os_disk_size>1</os_disk_size>{rest}</vm>";

    private async Task<string> SnapshotAsync()
    {
        var machines = await Host.GetXmlAsync("/vms/");
        var storlinks = await Host.GetXmlAsync("/storlinks/");
        var templates = await Host.GetXmlAsync("/templates/");
        foreach (var measured in storlinks.Descendants().Where(element => element.Name.LocalName is "free" or "size"))
        {
            measured.Value = "";
        }

        return $"{machines}{storlinks}{templates}{string.Join('\n', Directory.GetFileSystemEntries(service.Store).Order())}";
    }

    [Fact]
    public async Task Odd_names_are_kept_as_they_are_and_become_no_path_and_no_command()
    {
        foreach (var name in Hostile)
        {
            var vm = (await Host.ChangeAsync(HttpMethod.Post, "/vms/", Machine(Escape(name), service.Storlink, $"<extra_disk_size>1</extra_disk_size><desc>{Escape(name)}</desc>"), HttpStatusCode.Created)).Split('/')[2];
            Assert.Equal(name, (await Host.GetXmlAsync($"/vms/{vm}/")).Element("name")!.Value);
            await Host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/start/", null, HttpStatusCode.OK);
            await Host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/poweroff/", null, HttpStatusCode.OK);
            Assert.All(Directory.GetFileSystemEntries(service.Store), path => Assert.Matches("^[0-9a-f-]{36}\\.(raw|qcow2)$", Path.GetFileName(path)));
            await Host.ChangeAsync(HttpMethod.Delete, $"/vms/{vm}/", null, HttpStatusCode.NoContent);
        }
    }

    [Theory]
    [InlineData("line\nbreak")]
    [InlineData("tab\there")]
    [InlineData("")]
    [InlineData("   ")]
    public async Task Names_that_no_person_could_read_are_refused(string name)
    {
        var before = await SnapshotAsync();
        var text = name.Replace("\n", "&#10;", StringComparison.Ordinal).Replace("\t", "&#9;", StringComparison.Ordinal);
        Assert.Contains("name", await Host.RefusedAsync(HttpMethod.Post, "/vms/", Machine(text, service.Storlink), HttpStatusCode.BadRequest), StringComparison.Ordinal);
        Assert.Equal(before, await SnapshotAsync());
    }

    [Fact]
    public async Task Fields_that_break_their_rule_are_named_and_nothing_changes()
    {
        var before = await SnapshotAsync();
        (string Xml, string Field)[] cases =
        [
            (Machine(new string('x', 10_000), service.Storlink), "name"),
            (Machine("n", "9999999999999"), "storlink"),
            (Machine("n", "x"), "storlink"),
            (Machine("n", service.Storlink).Replace("<cpu_core>1", "<cpu_core>0", StringComparison.Ordinal), "cpu_core"),
            (Machine("n", service.Storlink).Replace("<cpu_core>1", "<cpu_core>-1", StringComparison.Ordinal), "cpu_core"),
            (Machine("n", service.Storlink).Replace("<memory>64", "<memory>99999999999999999999", StringComparison.Ordinal), "memory"),
            (Machine("n", service.Storlink).Replace("<memory>64", "<memory>9223372036854775807", StringComparison.Ordinal), "memory"),
            (Machine("n", service.Storlink, "<maxmem>32</maxmem>"), "m"),
            (Machine("n", service.Storlink, "<disk_format>vmdk</disk_format>"), "disk_format"),
            (Machine("n", service.Storlink, "<extra_disk_size>9223372036854775807</extra_disk_size>"), "extra_disk_size"),
            (Machine("n", service.Storlink, "<network><list-item>br0;reboot</list-item></network>"), "network"),
            (Machine("n", service.Storlink, "<network><list-item>../../dev/null</list-item></network>"), "network"),
            (Machine("n", service.Storlink, "<template>nonsense</template>"), "template"),
            (Machine("n", service.Storlink, "<os>TEMPLEOS</os>"), "os"),
        ];
        foreach (var (xml, field) in cases)
        {
            var message = await Host.RefusedAsync(HttpMethod.Post, "/vms/", xml, HttpStatusCode.BadRequest);
            Assert.True(message.Contains(field, StringComparison.Ordinal), $"{xml[..Math.Min(xml.Length, 200)]}: {message}");
            Assert.True(message.Length < 2000, "An error quotes what it refuses, but not all of it.");
        }

        foreach (var link in (string[])["relative/path", "/tmp/../etc", "/tmp/a\nb", ""])
        {
            await Host.RefusedAsync(HttpMethod.Post, "/storlinks/create/", $"<storlink><name>hostile</name><link>{Escape(link).Replace("\n", "&#10;", StringComparison.Ordinal)}</link><type>LO</type><level>FL</level></storlink>", HttpStatusCode.BadRequest);
        }

        Assert.Equal(before, await SnapshotAsync());
    }

    [Theory]
    [InlineData("/vms/nonsense/")]
    [InlineData("/vms/00000000-0000-0000-0000-000000000000/")]
    [InlineData("/vms/..%2F..%2Fetc%2Fpasswd/")]
    [InlineData("/vms/%27%20OR%201%3D1/")]
    [InlineData("/vms/{7e57d004-2b97-0e7a-b45f-5387367791cd}/")]
    [InlineData("/storlinks/99999999999999999999/")]
    [InlineData("/storlinks/-1/")]
    [InlineData("/pms/x/")]
    [InlineData("/operations/x/")]
    [InlineData("/nothing/here/")]
    public async Task Malformed_and_unknown_ids_are_not_found(string path) =>
        await Host.RefusedAsync(HttpMethod.Get, path, null, HttpStatusCode.NotFound);

    [Fact]
    public async Task An_object_of_another_machine_is_not_found()
    {
        var one = await Host.AddMachineAsync(service.Storlink, $"one-{Guid.NewGuid():N}");
        var two = await Host.AddMachineAsync(service.Storlink, $"two-{Guid.NewGuid():N}");
        var disk = (await Host.GetXmlAsync($"/vms/{one}/disks/")).Elements().First().Attribute("id")!.Value;
        await Host.RefusedAsync(HttpMethod.Get, $"/vms/{two}/disks/{disk}/", null, HttpStatusCode.NotFound);
        await Host.RefusedAsync(HttpMethod.Delete, $"/vms/{two}/disks/{disk}/", null, HttpStatusCode.NotFound);
        await Host.GetXmlAsync($"/vms/{one}/disks/{disk}/");
    }

    [Fact]
    public async Task Methods_and_media_types_are_checked()
    {
        await Host.RefusedAsync(HttpMethod.Patch, "/vms/", null, HttpStatusCode.MethodNotAllowed);
        await Host.RefusedAsync(HttpMethod.Get, $"/vms/{Guid.NewGuid()}/start/", null, HttpStatusCode.MethodNotAllowed);
        foreach (var type in (string[])["application/json", "text/plain", "application/x-www-form-urlencoded"])
        {
            using var content = new StringContent("<vm/>", Encoding.UTF8);
            content.Headers.ContentType = MediaTypeHeaderValue.Parse(type);
            using var response = await Host.Http.PostAsync("/vms/", content, TestContext.Current.CancellationToken);
            Assert.Equal(HttpStatusCode.UnsupportedMediaType, response.StatusCode);
            Assert.Contains("<result>False</result>", await response.Content.ReadAsStringAsync(TestContext.Current.CancellationToken), StringComparison.Ordinal);
        }

        using var utf16 = new ByteArrayContent([.. Encoding.Unicode.GetPreamble(), .. Encoding.Unicode.GetBytes($"<?xml version=\"1.0\" encoding=\"utf-16\"?>{Machine($"wide-{Guid.NewGuid():N}", service.Storlink)}")]);
        utf16.Headers.ContentType = MediaTypeHeaderValue.Parse("text/xml");
        using var accepted = await Host.Http.PostAsync("/vms/", utf16, TestContext.Current.CancellationToken);
        Assert.Equal(HttpStatusCode.Created, accepted.StatusCode);
    }

    [Theory]
    [InlineData("<!DOCTYPE vm [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><vm><name>&x;</name></vm>")]
    [InlineData("<!DOCTYPE vm [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;'><!ENTITY c '&b;&b;&b;&b;&b;&b;&b;&b;'>]><vm><name>&c;</name></vm>")]
    [InlineData("<!DOCTYPE vm SYSTEM 'http://127.0.0.1:1/x.dtd'><vm/>")]
    [InlineData("<vm><name>&undefined;</name></vm>")]
    [InlineData("<vm><name>half")]
    [InlineData("not xml")]
    [InlineData("")]
    [InlineData("<wrong/>")]
    [InlineData("<vm/><vm/>")]
    public async Task Documents_that_are_not_plain_xml_are_refused(string xml)
    {
        var before = await SnapshotAsync();
        var message = await Host.RefusedAsync(HttpMethod.Post, "/vms/", xml, HttpStatusCode.BadRequest);
        Assert.DoesNotContain("root:", message, StringComparison.Ordinal);
        Assert.Equal(before, await SnapshotAsync());
    }

    [Fact]
    public async Task Nesting_ends_at_32_levels()
    {
        static string Nested(int levels) => string.Concat(Enumerable.Range(0, levels - 1).Select(_ => "<x>")) + string.Concat(Enumerable.Range(0, levels - 1).Select(_ => "</x>"));
        Assert.DoesNotContain("32", await Host.RefusedAsync(HttpMethod.Post, "/vms/", $"<vm>{Nested(32)}</vm>", HttpStatusCode.BadRequest), StringComparison.Ordinal);
        Assert.Contains("32", await Host.RefusedAsync(HttpMethod.Post, "/vms/", $"<vm>{Nested(33)}</vm>", HttpStatusCode.BadRequest), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Large_bodies_are_refused_with_memory_flat()
    {
        await Host.RefusedAsync(HttpMethod.Post, "/vms/", Machine("n", service.Storlink, new string(' ', 1024 * 1024)), HttpStatusCode.RequestEntityTooLarge);
        var before = ResidentMiB();
        for (var round = 0; round < 8; round++)
        {
            using var content = new EndlessContent(100L * 1024 * 1024, chunked: round % 2 == 0);
            using var request = new HttpRequestMessage(HttpMethod.Post, round < 4 ? "/vms/" : $"/vms/{Guid.NewGuid()}/start/") { Content = content };
            try
            {
                using var response = await Host.Http.SendAsync(request, TestContext.Current.CancellationToken);
                Assert.True(response.StatusCode is HttpStatusCode.RequestEntityTooLarge or HttpStatusCode.NotFound, response.StatusCode.ToString());
            }
            catch (HttpRequestException)
            {
                // The service closed the connection while we still wrote: that is a refusal, too.
            }
        }

        Assert.True(ResidentMiB() - before < 64, $"Resident memory grew from {before} to {ResidentMiB()} MiB.");
        await Host.GetXmlAsync("/healthz");
    }

    private long ResidentMiB()
    {
        var line = File.ReadLines($"/proc/{Host.ProcessId}/status").First(text => text.StartsWith("VmRSS:", StringComparison.Ordinal));
        return long.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture) / 1024;
    }

    private sealed class EndlessContent : HttpContent
    {
        private readonly long _bytes;
        private readonly bool _chunked;

        public EndlessContent(long bytes, bool chunked)
        {
            _bytes = bytes;
            _chunked = chunked;
            Headers.ContentType = MediaTypeHeaderValue.Parse("application/xml");
        }

        protected override async Task SerializeToStreamAsync(Stream stream, TransportContext? context)
        {
            var block = Encoding.UTF8.GetBytes(new string('a', 64 * 1024));
            for (long sent = 0; sent < _bytes; sent += block.Length)
            {
                await stream.WriteAsync(block);
            }
        }

        protected override bool TryComputeLength(out long length)
        {
            length = _bytes;
            return !_chunked;
        }
    }
}

using System.Text;

namespace Pengx.Client.Tests;

public sealed class AnswerReadingTests
{
    private const string Id = "bed05d84-7c44-4720-9588-57cbd8ecef8c";

    [Theory]
    [InlineData("2026-11-23T06:23:00Z", "2026-11-23T06:23:00Z")]
    [InlineData("2026-11-23T08:23:00+02:00", "2026-11-23T06:23:00Z")]
    [InlineData("2026-11-23T06:23:00", "2026-11-23T06:23:00Z")]
    [InlineData("2026-11-23T06:23:00.123456", "2026-11-23T06:23:00.123456Z")]
    [InlineData("2026-11-23T06:23:00.5Z", "2026-11-23T06:23:00.5Z")]
    [InlineData("2026-11-23 06:23:00", "2026-11-23T06:23:00Z")]
    [InlineData("2026-11-23 06:23:00.123456+00:00", "2026-11-23T06:23:00.123456Z")]
    [InlineData("2026-11-23", "2026-11-23T00:00:00Z")]
    [InlineData("Nov. 23, 2026, 6:23 a.m.", "2026-11-23T06:23:00Z")]
    [InlineData("Nov. 23, 2026, 6:23 p.m.", "2026-11-23T18:23:00Z")]
    [InlineData("Nov. 23, 2026, 12:05 a.m.", "2026-11-23T00:05:00Z")]
    [InlineData("Nov. 23, 2026, 12:05 p.m.", "2026-11-23T12:05:00Z")]
    [InlineData("Nov. 23, 2026, 6 p.m.", "2026-11-23T18:00:00Z")]
    [InlineData("Nov. 23, 2026, noon", "2026-11-23T12:00:00Z")]
    [InlineData("Nov. 23, 2026, midnight", "2026-11-23T00:00:00Z")]
    [InlineData("Jan. 1, 2026, 1 a.m.", "2026-01-01T01:00:00Z")]
    [InlineData("Feb. 28, 2026, 1 a.m.", "2026-02-28T01:00:00Z")]
    [InlineData("March 1, 2026, 1 a.m.", "2026-03-01T01:00:00Z")]
    [InlineData("April 2, 2026, 1 a.m.", "2026-04-02T01:00:00Z")]
    [InlineData("May 3, 2026, 1 a.m.", "2026-05-03T01:00:00Z")]
    [InlineData("June 4, 2026, 1 a.m.", "2026-06-04T01:00:00Z")]
    [InlineData("July 5, 2026, 1 a.m.", "2026-07-05T01:00:00Z")]
    [InlineData("Aug. 6, 2026, 1 a.m.", "2026-08-06T01:00:00Z")]
    [InlineData("Sept. 30, 2026, 1 a.m.", "2026-09-30T01:00:00Z")]
    [InlineData("Oct. 31, 2026, 1 a.m.", "2026-10-31T01:00:00Z")]
    [InlineData("Dec. 31, 2026, 11:59 p.m.", "2026-12-31T23:59:00Z")]
    [InlineData("Dec. 31, 2026", "2026-12-31T00:00:00Z")]
    [InlineData("None", null)]
    [InlineData("", null)]
    [InlineData("yesterday", null)]
    [InlineData("Nov. 31, 2026, noon", null)]
    [InlineData("Foo. 1, 2026, noon", null)]
    [InlineData("Nov. 23, 2026, 13 p.m.", null)]
    [InlineData("Nov. 23, 2026, 6:61 a.m.", null)]
    [InlineData("Nov. 0, 0000, noon", null)]
    [InlineData("2026-13-01T00:00:00Z", null)]
    public async Task Dates_are_read_in_every_form(string text, string? expected)
    {
        var machine = await Documents.ReadAsync(PengxShapes.Machine, $"<vm id='{Id}'><create_date>{text}</create_date></vm>");
        Assert.Equal(expected is null ? null : DateTimeOffset.Parse(expected, System.Globalization.CultureInfo.InvariantCulture), machine.Created);
        Assert.Equal(machine.Created is null ? null : TimeSpan.Zero, machine.Created?.Offset);
    }

    [Fact]
    public async Task The_references_machine_in_djangos_rendering()
    {
        var machine = await Documents.ReadAsync(PengxShapes.MachineDetail, """
            <vm id='BED05D847C444720958857CBD8ECEF8C'>
            <last_boot_time>None</last_boot_time>
            <name>None</name>
            <disk_size>1024.0</disk_size><!-- unit: MB -->
            <pm id='bed05d84-7c44-4720-9588-57cbd8ecef8c'></pm>
            <nics>
            <nic>
            <name>eth0</name>
            <network>None</network>
            <mac></mac>
            </nic><unknown/>
            </nics>
            <os></os>
            <os_type>X64</os_type>
            <future><more>1</more></future>
            <vnc_password>None</vnc_password>
            <vnc_port>None</vnc_port>
            </vm>
            """);
        Assert.Equal(Guid.Parse(Id), machine.Id);
        Assert.Equal("None", machine.Name);
        Assert.Null(machine.Status);
        Assert.Equal(1024, machine.DiskSize);
        Assert.Equal(0, machine.Memory);
        Assert.Equal(Guid.Parse(Id), machine.Pm);
        Assert.Equal([new MachineNicResource { Name = "eth0" }], machine.Nics);
        Assert.Null(machine.Os);
        Assert.Equal("X64", machine.OsArch);
        Assert.Null(machine.LastBootTime);
        Assert.Null(machine.VncPort);
        Assert.Null(machine.VncPassword);
    }

    [Fact]
    public async Task Either_architecture_element_is_read()
    {
        Assert.Equal("X86", (await Documents.ReadAsync(PengxShapes.Machine, $"<vm id='{Id}'><os_arch>X86</os_arch></vm>")).OsArch);
        Assert.Equal("X86", (await Documents.ReadAsync(PengxShapes.Machine, $"<vm id='{Id}'><os_arch/><os_type>X86</os_type></vm>")).OsArch);
        Assert.Equal("X86", (await Documents.ReadAsync(PengxShapes.Template, $"<template id='{Id}'><os_type>X86</os_type></template>")).OsArch);
    }

    [Theory]
    [InlineData("True", true)]
    [InlineData("true", true)]
    [InlineData("TRUE", true)]
    [InlineData("1", true)]
    [InlineData("False", false)]
    [InlineData("FALSE", false)]
    [InlineData("", false)]
    [InlineData("success", false)]
    public async Task A_result_is_read_in_any_case(string text, bool expected)
    {
        var result = await Documents.ReadAsync(PengxShapes.Result, $"<root><message> m </message><result>{text}</result></root>");
        Assert.Equal(new ResultBody(expected, "m"), result);
    }

    [Fact]
    public async Task Figures_with_a_space_a_point_or_none_are_read()
    {
        var perf = await Documents.ReadAsync(PengxShapes.PmPerformance, $"""
            <pmperf id="{Id}"><cpu_util>12.5 </cpu_util><memory_util>40%</memory_util><smt>True</smt><vm_count>None</vm_count></pmperf>
            """);
        Assert.Equal(12.5, perf.CpuUtilization);
        Assert.Equal(40, perf.MemoryUtilization);
        Assert.Equal(2, perf.Smt);
        Assert.Equal(0, perf.VmCount);
    }

    [Fact]
    public async Task An_empty_lock_is_no_lock()
    {
        Assert.False((await Documents.ReadAsync(PengxShapes.Template, $"<template id='{Id}'><lock_status></lock_status></template>")).Locked);
        Assert.True((await Documents.ReadAsync(PengxShapes.Template, $"<template id='{Id}'><lock_status>true</lock_status></template>")).Locked);
    }

    [Fact]
    public async Task Both_shapes_of_a_snapshot_are_read()
    {
        var listed = await Documents.ReadAsync(
            PengxShapes.Snapshot, $"<snapshot id='{Id}'><name>a</name><date>Nov. 23, 2026, noon</date><description>d</description></snapshot>");
        Assert.Equal("d", listed.Description);
        var created = await Documents.ReadAsync(
            PengxShapes.SnapshotCreated,
            $"<snapshot id='{Id}'><name>a</name><type>S</type><parent>None</parent><date>2026-11-23 12:00:00</date><desc>d</desc></snapshot>");
        Assert.Equal("d", created.Description);
        Assert.Null(created.Parent);
        Assert.Equal(listed.Created, created.Created);
    }

    [Theory]
    [InlineData("<vm/>")]
    [InlineData("<vm id=''/>")]
    [InlineData("<vm id='7'/>")]
    public async Task An_answer_without_an_id_is_refused(string xml) =>
        Assert.Equal(
            XmlRefusal.Malformed,
            (await Assert.ThrowsAsync<XmlRefusedException>(() => Documents.ReadAsync(PengxShapes.Machine, xml))).Refusal);

    [Fact]
    public async Task Another_answer_is_refused()
    {
        var error = await Assert.ThrowsAsync<XmlRefusedException>(() => Documents.ReadAsync(PengxShapes.Machine, "<html></html>"));
        Assert.Equal("The answer's root element is <html> where <vm> was expected.", error.Message);
    }

    [Fact]
    public async Task A_list_is_read_item_by_item_past_what_it_does_not_know()
    {
        var names = await NamesAsync($"""
            <vms>
              <count>2</count><vm id="{Id}"><name>a</name></vm>
              <!-- c --><vm id='{Id}'><name>b</name></vm></vms>
            """);
        Assert.Equal(["a", "b"], names);
        Assert.Empty(await NamesAsync("<vms></vms>"));
        Assert.Empty(await NamesAsync("<vms/>"));
    }

    [Theory]
    [InlineData("<root><result>False</result></root>", XmlRefusal.WrongRoot)]
    [InlineData("<vms><vm id='bed05d84-7c44-4720-9588-57cbd8ecef8c'><name>a</name>", XmlRefusal.Malformed)]
    [InlineData("<vms></vm>", XmlRefusal.Malformed)]
    [InlineData("<!DOCTYPE html><html></html>", XmlRefusal.DtdForbidden)]
    [InlineData("", XmlRefusal.Malformed)]
    public async Task A_broken_list_is_refused(string xml, XmlRefusal refusal) =>
        Assert.Equal(refusal, (await Assert.ThrowsAsync<XmlRefusedException>(() => NamesAsync(xml))).Refusal);

    [Fact]
    public async Task A_lists_limit_is_per_item()
    {
        var limits = new XmlLimits { MaxBytes = 20_000, MaxElements = 10 };
        var items = Enumerable.Range(0, 1_000).Select(n => $"<vm id='{Id}'><name>{n}</name></vm>");
        Assert.Equal(1_000, (await NamesAsync($"<vms>{string.Concat(items)}</vms>", limits)).Count);
        var long1 = $"<vms><vm id='{Id}'><name>{new string('x', 60_000)}</name></vm></vms>";
        Assert.Equal(XmlRefusal.TooLarge, (await Assert.ThrowsAsync<XmlRefusedException>(() => NamesAsync(long1, limits))).Refusal);
        var wide = $"<vms><vm id='{Id}'>{string.Concat(Enumerable.Repeat("<x/>", 11))}</vm></vms>";
        Assert.Equal(XmlRefusal.TooManyElements, (await Assert.ThrowsAsync<XmlRefusedException>(() => NamesAsync(wide, limits))).Refusal);
    }

    [Fact]
    public async Task A_long_list_is_written_and_read_in_flat_memory()
    {
        const int Count = 20_000;
        var machine = new MachineResource { Id = Guid.Parse(Id), Name = "some name", Nics = [new MachineNicResource { Name = "eth0" }] };
        await using var sink = new HighWaterStream();
        await PengxXml.WriteListAsync(
            sink, PengxShapes.Machine, Documents.Each(Enumerable.Repeat(machine, Count)), TestContext.Current.CancellationToken);
        Assert.True(sink.Total > 5_000_000);
        Assert.InRange(sink.LargestWrite, 16 * 1024, 40 * 1024);
        Assert.StartsWith(Documents.Declaration + $"<vms><vm id=\"{Id}\"><name>some name</name>", sink.Head, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_source_that_fails_at_once_has_written_nothing()
    {
        await using var sink = new HighWaterStream();
        await Assert.ThrowsAsync<InvalidOperationException>(
            () => PengxXml.WriteListAsync(sink, PengxShapes.Machine, Failing(), TestContext.Current.CancellationToken));
        Assert.Equal(0, sink.Total);

        static async IAsyncEnumerable<MachineResource> Failing()
        {
            yield return new MachineResource { Id = Guid.Parse(Id), Name = "a" };
            await Task.Yield();
            throw new InvalidOperationException();
        }
    }

    [Fact]
    public async Task A_shape_without_a_list_has_none() => await Assert.ThrowsAsync<ArgumentException>(
        () => PengxXml.WriteListAsync(
            Stream.Null, PengxShapes.Result, Documents.Each<ResultBody>([]), TestContext.Current.CancellationToken));

    [Fact]
    public async Task Reading_stops_when_cancelled()
    {
        using var cancel = new CancellationTokenSource();
        await using var body = new StallingStream(Encoding.UTF8.GetBytes($"<vms><vm id='{Id}'><name>a</name></vm>"), cancel);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () =>
        {
            await foreach (var item in PengxXml.ReadListAsync(body, PengxShapes.Machine, cancellationToken: cancel.Token))
            {
                Assert.Equal("a", item.Name);
            }
        });
    }

    private static async Task<List<string>> NamesAsync(string xml, XmlLimits? limits = null)
    {
        var names = new List<string>();
        await foreach (var machine in PengxXml.ReadListAsync(
            Documents.Stream(xml), PengxShapes.Machine, limits, TestContext.Current.CancellationToken))
        {
            names.Add(machine.Name);
        }

        return names;
    }

    private sealed class HighWaterStream : MemoryStream
    {
        public long Total { get; private set; }

        public int LargestWrite { get; private set; }

        public string Head { get; private set; } = "";

        public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
        {
            Head = Total == 0 ? Encoding.UTF8.GetString(buffer.Span) : Head;
            Total += buffer.Length;
            LargestWrite = Math.Max(LargestWrite, buffer.Length);
            return ValueTask.CompletedTask;
        }
    }

    /// <summary>Gives its bytes, then waits for the token, which it cancels itself.</summary>
    private sealed class StallingStream(byte[] head, CancellationTokenSource cancel) : MemoryStream
    {
        private bool _given;

        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            if (!_given)
            {
                _given = true;
                head.CopyTo(buffer);
                return head.Length;
            }

            await cancel.CancelAsync();
            await Task.Delay(Timeout.Infinite, cancellationToken);
            return 0;
        }
    }
}

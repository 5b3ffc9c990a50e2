using System.Text.Json;
using System.Text.Json.Nodes;
using Pengx.Qmp.Qapi;

namespace Pengx.Qmp.Tests;

/// <summary>Generated types as a program uses them, and what they bear from an older or newer QEMU.</summary>
public sealed class QapiValueTests
{
    [Fact]
    public void A_union_writes_its_tag_its_common_members_and_its_branch_in_one_object()
    {
        BlockdevOptions options = new BlockdevOptionsQcow2
        {
            NodeName = "disk0",
            ReadOnly = true,
            Cache = new BlockdevCacheOptions { Direct = true },
            File = new BlockdevOptionsFile { Filename = "/images/a b.qcow2", Aio = BlockdevAioOptions.IoUring },
            Backing = BlockdevRefOrNull.Null,
        };

        AssertJson("""{"driver":"qcow2","node-name":"disk0","cache":{"direct":true},"read-only":true,"file":{"driver":"file","filename":"/images/a b.qcow2","aio":"io_uring"},"backing":null}""", options);
        BlockdevOptionsQcow2 back = Assert.IsType<BlockdevOptionsQcow2>(Read<BlockdevOptions>(Write(options)));
        Assert.True(back.Backing!.IsNull);
        Assert.Equal("/images/a b.qcow2", Assert.IsType<BlockdevOptionsFile>(back.File.BlockdevOptions).Filename);
        Assert.Null(back.LazyRefcounts);
        AssertJson("""{"driver":"qcow2","file":"node1"}""", (BlockdevOptions)new BlockdevOptionsQcow2 { File = "node1" });
    }

    [Fact]
    public void The_tag_may_stand_last()
    {
        BlockdevOptions options = Read<BlockdevOptions>("""{"file":{"filename":"f","driver":"file"},"node-name":"n","driver":"raw"}""");
        Assert.Equal("n", Assert.IsType<BlockdevOptionsRaw>(options).NodeName);
    }

    [Fact]
    public void Alternates_tell_null_text_numbers_and_objects_apart()
    {
        Assert.True(Read<StrOrNull>("null").IsNull);
        Assert.Equal("x", Read<StrOrNull>("\"x\"").Text);
        Assert.Equal([1UL, ulong.MaxValue], Read<StatsValue>("[1, 18446744073709551615]").Numbers);
        Assert.Equal(7UL, Read<StatsValue>("7").Number);
        Assert.True(Read<StatsValue>("true").Flag);
        Assert.Equal("b", Read<BlockDirtyBitmapOrStr>("\"b\"").Text);
        Assert.Equal("n", Read<BlockDirtyBitmapOrStr>("""{"node":"n","name":"b"}""").BlockDirtyBitmap!.Node);
        Assert.Throws<JsonException>(() => Read<StrOrNull>("1"));

        MigrateSetParameters cleared = new() { TlsCreds = StrOrNull.Null, MaxBandwidth = 1 << 20 };
        AssertJson("""{"tls-creds":null,"max-bandwidth":1048576}""", cleared);
    }

    [Fact]
    public void A_transaction_is_a_list_of_actions()
    {
        TransactionArguments transaction = new()
        {
            Actions =
            [
                new TransactionActionBlockdevSnapshot { Data = new BlockdevSnapshot { Node = "disk0", Overlay = "ovl0" } },
                new TransactionActionBlockDirtyBitmapAdd { Data = new BlockDirtyBitmapAdd { Node = "disk0", Name = "b0", Persistent = true } },
                new TransactionActionAbort { Data = new Abort() },
            ],
            Properties = new TransactionProperties { CompletionMode = ActionCompletionMode.Grouped },
        };

        AssertJson("""{"actions":[{"type":"blockdev-snapshot","data":{"node":"disk0","overlay":"ovl0"}},{"type":"block-dirty-bitmap-add","data":{"node":"disk0","name":"b0","persistent":true}},{"type":"abort","data":{}}],"properties":{"completion-mode":"grouped"}}""", transaction);
    }

    [Fact]
    public void Devices_take_properties_that_the_schema_does_not_tell()
    {
        DeviceAddArguments device = new()
        {
            Driver = "virtio-blk-pci",
            Id = "disk1",
            OtherMembers = new Dictionary<string, JsonElement> { ["drive"] = JsonSerializer.SerializeToElement("node1") },
        };
        AssertJson("""{"driver":"virtio-blk-pci","id":"disk1","drive":"node1"}""", device);
        Assert.Equal("node1", Read<DeviceAddArguments>(Write(device)).OtherMembers!["drive"].GetString());
    }

    [Fact]
    public void A_newer_qemu_may_have_more_values_members_and_branches()
    {
        StatusInfo status = Read<StatusInfo>("""{"running":false,"status":"dreaming","mood":{"deep":[1,2,{"x":null}]}}""");
        Assert.Equal(new RunState("dreaming"), status.Status);
        Assert.DoesNotContain(status.Status, RunState.KnownValues);
        Assert.Contains(RunState.Running, RunState.KnownValues);
        Assert.Equal("dreaming", status.Status.ToString());

        BlockdevOptionsOther other = Assert.IsType<BlockdevOptionsOther>(Read<BlockdevOptions>("""{"shape":[1],"driver":"holographic","node-name":"n"}"""));
        Assert.Equal(("holographic", "n"), (other.Driver.Value, other.NodeName));
        AssertJson("""{"driver":"holographic","node-name":"n","shape":[1]}""", (BlockdevOptions)other);
    }

    [Fact]
    public void What_another_qemu_does_not_send_is_null_and_what_all_send_is_demanded()
    {
        // QEMU 9 dropped singlestep.
        Assert.Null(Read<StatusInfo>("""{"running":true,"status":"running"}""").Singlestep);

        // An enum's values were deprecated in 6.2; what is marked so may go.
        Assert.Null(Assert.IsType<SchemaInfoEnum>(Read<SchemaInfo>("""{"name":"e","meta-type":"enum","members":[{"name":"a"}]}""")).Values);
        JsonException missing = Assert.Throws<JsonException>(() => Read<StatusInfo>("""{"status":"running"}"""));
        Assert.Contains("StatusInfo lacks 'running'", missing.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("[]")]
    [InlineData("\"text\"")]
    [InlineData("""{"driver":null}""")]
    [InlineData("""{"node-name":"n"}""")]
    [InlineData("""{"driver":7}""")]
    [InlineData("""{"driver":"file","filename":{}}""")]
    [InlineData("""{"driver":"file","filename":"f","read-only":1}""")]
    [InlineData("""{"driver":"quorum","children":{},"vote-threshold":1}""")]
    [InlineData("""{"driver":"quorum","children":[null],"vote-threshold":1}""")]
    [InlineData("""{"driver":"quorum","children":[],"vote-threshold":1.5}""")]
    [InlineData("""{"driver":"quorum","children":[],"vote-threshold":99999999999999999999}""")]
    public void What_does_not_fit_is_a_json_error(string text) => Assert.Throws<JsonException>(() => Read<BlockdevOptions>(text));

    [Fact]
    public void An_enum_that_was_never_set_is_not_sent() =>
        Assert.Throws<ArgumentException>(() => Write(new StatusInfo { Running = true, Status = default }));

    [Fact]
    public void An_event_reads_its_own_data_and_no_other()
    {
        QmpEvent happened = new() { Name = "SHUTDOWN", Data = JsonSerializer.SerializeToElement(new JsonObject { ["guest"] = true, ["reason"] = "guest-shutdown" }), Timestamp = default };
        Assert.Equal(ShutdownCause.GuestShutdown, QapiEvents.Shutdown.Read(happened).Reason);
        Assert.False(QapiEvents.Stop.TryRead(happened, out _));
        Assert.Throws<ArgumentException>(() => QapiEvents.Stop.Read(happened));
        Assert.Throws<QmpProtocolException>(() => QapiEvents.Shutdown.Read(happened with { Data = JsonSerializer.SerializeToElement(new JsonObject { ["guest"] = 1 }) }));
        Assert.True(QapiEvents.Stop.TryRead(happened with { Name = "STOP" }, out _));
        Assert.True(QapiEvents.Shutdown.Filter.Matches("SHUTDOWN"));
    }

    private static string Write<T>(T value)
        where T : class, IQapiValue<T> =>
        JsonSerializer.Serialize(value, QapiTypes.For<T>());

    private static T Read<T>(string text)
        where T : class, IQapiValue<T> =>
        JsonSerializer.Deserialize(text, QapiTypes.For<T>())!;

    private static void AssertJson<T>(string expected, T value)
        where T : class, IQapiValue<T> =>
        Assert.True(JsonNode.DeepEquals(JsonNode.Parse(expected), JsonNode.Parse(Write(value))), Write(value));
}

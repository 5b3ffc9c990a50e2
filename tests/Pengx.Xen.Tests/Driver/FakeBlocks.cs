using System.Text.Json.Nodes;
using Pengx.Qmp;
using Pengx.Testing;

namespace Pengx.Xen.Tests;

/// <summary>A QEMU that has one disk of a guest open, as far as its monitor tells of it: the images, the emulated drive before the same ones, and a
/// merge that waits for its guest to change over. No guest runs in it, so what it cannot show is what a guest writes.</summary>
/// <param name="disk">The disk with its layers.</param>
internal sealed class FakeBlocks(DomainDisk disk) : IAsyncDisposable
{
    private const string Root = "/machine/unattached/disk";

    private readonly Lock _gate = new();
    private readonly CancellationTokenSource _stop = new();
    private readonly List<DiskLayer> _layers = [.. disk.Layers];
    private FakeQmpServer? _server;
    private Task _serving = Task.CompletedTask;
    private Func<bool> _isPaused = () => false;
    private string? _job;
    private string _status = QmpJobStatus.Ready;

    /// <summary>Whether the disk is behind an emulated drive, too.</summary>
    public bool IsEmulated { get; set; }

    /// <summary>What the disk's first image is called instead of as Xen's disk device calls it.</summary>
    public string? RootName { get; set; }

    /// <summary>Why QEMU does not open anything anew.</summary>
    public string? ReopenRefusal { get; set; }

    /// <summary>Whether it says that it has opened something anew, and has not.</summary>
    public bool IsDeaf { get; set; }

    /// <summary>Whether the disk is written past the page cache.</summary>
    public bool IsDirect { get; private set; }

    /// <summary>How often somebody looked at the disks.</summary>
    public int Looks { get; private set; }

    /// <summary>Whether the guest stood still whenever it changed over to another image; null where it never did.</summary>
    public bool? StoodStill { get; private set; }

    /// <summary>The job of the merge that was begun.</summary>
    public string? Job
    {
        get
        {
            lock (_gate)
            {
                return _job;
            }
        }
    }

    /// <summary>Listens where QEMU would.</summary>
    /// <param name="socket">The socket.</param>
    /// <param name="isPaused">Whether the guest's processors stand still.</param>
    public void Listen(string socket, Func<bool> isPaused)
    {
        _isPaused = isPaused;
        _server = FakeQmpServer.Listen(socket);
        _serving = Task.Run(() => ServeAsync(_server));
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _serving.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (_server is not null)
        {
            await _server.DisposeAsync();
        }

        _stop.Dispose();
    }

    private static string Text(FakeQmpRequest request, string name) => request.Arguments!.Value.GetProperty(name).GetString()!;

    private string NodeOf(DiskLayer layer) => RootName is { } name && layer == _layers[0] ? name : Path.GetFileName(layer.Location.ToString()!);

    private JsonObject Node(DiskLayer layer, string name, string driver, params JsonNode[] children) => new()
    {
        ["node-name"] = name,
        ["drv"] = driver,
        ["file"] = layer.Location.ToString(),
        ["ro"] = false,
        ["cache"] = new JsonObject { ["writeback"] = true, ["direct"] = IsDirect, ["no-flush"] = false },
        ["backing_file_depth"] = 0,
        ["image"] = new JsonObject { ["filename"] = layer.Location.ToString(), ["format"] = layer.Format.Name, ["virtual-size"] = 1024 * 1024 },
        ["children"] = new JsonArray(children),
    };

    private static JsonObject Child(string role, string node) => new() { ["child"] = role, ["node-name"] = node };

    private static JsonObject Device(string device, string path, JsonObject inserted) =>
        new() { ["device"] = device, ["qdev"] = path, ["removable"] = false, ["locked"] = false, ["inserted"] = inserted };

    private async Task ServeAsync(FakeQmpServer server)
    {
        while (true)
        {
            try
            {
                await server.AcceptAsync(_stop.Token);
                await server.NegotiateAsync(_stop.Token);
                while (true)
                {
                    var request = await server.ReceiveAsync(_stop.Token);
                    await server.SendAsync(_stop.Token, Answer(request));
                }
            }
            catch (IOException)
            {
                // That client has gone; the next may come.
                await server.DisconnectAsync();
            }
        }
    }

    private string Answer(FakeQmpRequest request)
    {
        lock (_gate)
        {
            switch (request.Command)
            {
                case "query-block":
                    Looks++;
                    return FakeQmpServer.Reply(request, Devices().ToJsonString());
                case "query-named-block-nodes":
                    return FakeQmpServer.Reply(request, new JsonArray([.. _layers.SelectMany(Nodes)]).ToJsonString());
                case "qom-get":
                    return Text(request, "path") == Root
                        ? FakeQmpServer.Reply(request, $"\"{disk.Vdev}0\"")
                        : FakeQmpServer.Refusal(request, "GenericError", "Property 'ide-hd.vdev' not found");
                case "query-jobs":
                    return FakeQmpServer.Reply(request, _job is null ? "[]" : $$"""[{"id": "{{_job}}", "type": "commit", "status": "{{_status}}", "current-progress": 1, "total-progress": 1}]""");
                case "block-commit":
                    (_job, _status) = (Text(request, "job-id"), QmpJobStatus.Ready);
                    return FakeQmpServer.Reply(request);
                case "job-complete":
                    StoodStill = StoodStill is not false && _isPaused();
                    _layers.RemoveAt(0);
                    _status = QmpJobStatus.Concluded;
                    return FakeQmpServer.Reply(request);
                case "job-dismiss":
                    _job = null;
                    return FakeQmpServer.Reply(request);
                case "blockdev-reopen" when ReopenRefusal is { } why:
                    return FakeQmpServer.Refusal(request, "GenericError", why);
                case "blockdev-reopen":
                    IsDirect = !IsDeaf && request.Arguments!.Value.GetProperty("options")[0].GetProperty("file").GetProperty("cache").GetProperty("direct").GetBoolean();
                    return FakeQmpServer.Reply(request);
                case "block-job-set-speed":
                    return FakeQmpServer.Reply(request);
                default:
                    return FakeQmpServer.Refusal(request, "CommandNotFound", $"The command {request.Command} has not been found");
            }
        }
    }

    private JsonArray Devices()
    {
        var top = _layers[0];
        JsonArray devices = [Device("", Root, Node(top, NodeOf(top), top.Format.Name))];
        if (IsEmulated)
        {
            devices.Add(Device("ide0-hd0", "/machine/unattached/device[22]", Node(top, "#block101", top.Format.Name)));
        }

        return devices;
    }

    private IEnumerable<JsonNode> Nodes(DiskLayer layer, int place)
    {
        var name = NodeOf(layer);
        var storage = Child("file", $"{name}-file");
        yield return place + 1 < _layers.Count
            ? Node(layer, name, layer.Format.Name, storage, Child("backing", NodeOf(_layers[place + 1])))
            : Node(layer, name, layer.Format.Name, storage);
        yield return Node(layer, $"{name}-file", "file");
    }
}

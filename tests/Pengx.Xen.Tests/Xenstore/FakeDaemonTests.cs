using Pengx.Testing;

namespace Pengx.Xen.Tests;

/// <summary>The suite on the fake daemon, which knows what new daemons know.</summary>
public sealed class FakeDaemonTests : XenstoreSuite
{
    private readonly TemporaryFolder _folder = new();
    private readonly FakeXenstoreServer _server;

    public FakeDaemonTests() => _server = FakeXenstoreServer.Listen(_folder.At("socket"));

    protected override bool OwnsDaemon => true;

    public override async ValueTask DisposeAsync()
    {
        await base.DisposeAsync();
        Assert.Equal((0, 0), (_server.Watches, _server.OpenTransactions));
        await _server.DisposeAsync();
        _folder.Dispose();
    }

    protected override Task<XenstoreClient> ConnectAsync(XenstoreClientOptions? options = null) =>
        XenstoreClient.ConnectAsync(XenstoreEndPoint.At(_folder.At("socket")), options, Stop);
}

/// <summary>A folder of the test's own, gone with the test; short enough for a socket's path.</summary>
internal sealed class TemporaryFolder : IDisposable
{
    private readonly string _path = Directory.CreateTempSubdirectory("pengx-xs-").FullName;

    public string At(string name) => Path.Combine(_path, name);

    public void Dispose() => Directory.Delete(_path, recursive: true);
}

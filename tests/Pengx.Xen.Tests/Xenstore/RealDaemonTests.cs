using System.Globalization;
using System.Text;

namespace Pengx.Xen.Tests;

/// <summary>The suite on Debian's C xenstored, and the client side by side with Xen's own tools.</summary>
public sealed class RealDaemonTests(XenstoredFixture fixture) : XenstoreSuite, IClassFixture<XenstoredFixture>
{
    protected override bool OwnsDaemon => true;

    public override async ValueTask InitializeAsync()
    {
        await fixture.EnsureStartedAsync();
        await base.InitializeAsync();
    }

    [Fact]
    public async Task Xens_own_tools_read_what_we_wrote_and_we_read_what_they_wrote()
    {
        var daemon = fixture.Daemon;
        await Client.WriteAsync(Root / "ours", "written here", Stop);
        Assert.Equal("written here", (await daemon.RunToolAsync("xenstore-read", (Root / "ours").Value)).TrimEnd('\n'));
        await daemon.RunToolAsync("xenstore-write", (Root / "theirs/deep").Value, "written there");
        Assert.Equal("written there", await Client.FindTextAsync(Root / "theirs/deep", Stop));

        var listed = (await daemon.RunToolAsync("xenstore-list", Root.Value)).Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal(listed, await Client.ListChildrenAsync(Root, Stop));

        await daemon.RunToolAsync("xenstore-chmod", (Root / "ours").Value, "r0", "b5", "w6");
        Assert.Equal("r0,b5,w6", (await Client.GetPermissionsAsync(Root / "ours", Stop)).ToString());
        await Client.SetPermissionsAsync(Root / "ours", new XenstorePermissions { Owner = 3, Domains = [new(4, XenstoreAccess.Read)] }, Stop);
        Assert.Contains("(n3,r4)", await daemon.RunToolAsync("xenstore-ls", "-p", Root.Value), StringComparison.Ordinal);

        await daemon.RunToolAsync("xenstore-rm", (Root / "theirs").Value);
        Assert.Null(await Client.FindAsync(Root / "theirs/deep", Stop));
        await Client.RemoveAsync(Root / "ours", Stop);
        await daemon.RunToolAsync("xenstore-exists", Root.Value);
    }

    [Fact]
    public async Task A_whole_tree_is_what_xenstore_ls_shows()
    {
        for (var i = 0; i < 40; i++)
        {
            await Client.WriteAsync(Root / $"domain/{i}/device/vbd/{51712 + i}/state", $"{i % 7}", Stop);
            await Client.WriteAsync(Root / $"domain/{i}/name", $"guest {i}", Stop);
        }

        StringBuilder rendered = new();
        var tree = await Client.FindTreeAsync(Root, Stop);
        foreach (var node in tree!.DescendantsAndSelf().Skip(1))
        {
            rendered.Append(CultureInfo.InvariantCulture, $"{node.Path} = \"{node.Value}\"\n");
        }

        Assert.Equal(await fixture.Daemon.RunToolAsync("xenstore-ls", "-f", Root.Value), rendered.ToString());
    }

    [Fact]
    public async Task A_change_made_by_xens_own_tool_is_told()
    {
        await using var watch = await Client.WatchAsync(Root, cancellationToken: Stop);
        await NextAsync(watch);
        await fixture.Daemon.RunToolAsync("xenstore-write", (Root / "theirs").Value, "1");
        Assert.Equal(Changed(Root / "theirs"), await NextUntilAsync(watch, Root / "theirs"));
    }

    [Fact]
    public async Task Permissions_of_the_names_beside_the_tree_can_be_set()
    {
        await Client.SetPermissionsAsync(XenstorePath.ReleaseDomain, new XenstorePermissions { Owner = 0, Domains = [new(3, XenstoreAccess.Read)] }, Stop);
        await Client.SetPermissionsAsync(XenstorePath.ReleaseDomain, new XenstorePermissions { Owner = 0 }, Stop);
    }

    protected override Task<XenstoreClient> ConnectAsync(XenstoreClientOptions? options = null) => XenstoreClient.ConnectAsync(fixture.Daemon.EndPoint, options, Stop);
}

/// <summary>A daemon that dies and comes back.</summary>
public sealed class KilledDaemonTests
{
    private static TimeSpan Limit { get; } = TimeSpan.FromSeconds(60);

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Watches_are_set_up_again_and_their_gap_is_told()
    {
        XenTools.Require();
        await using XenstoredProcess daemon = new();
        await daemon.StartAsync(Stop);
        await using var client = await XenstoreClient.ConnectAsync(
            daemon.EndPoint, new XenstoreClientOptions { Reconnect = new() { FirstDelay = TimeSpan.FromMilliseconds(10), LongestDelay = TimeSpan.FromMilliseconds(50) } }, Stop);
        await using var watch = await client.WatchAsync("/pengx", cancellationToken: Stop);
        await using var special = await client.WatchAsync(XenstorePath.ReleaseDomain, cancellationToken: Stop);
        Assert.Equal(XenstoreWatchEventKind.Changed, (await NextAsync(watch)).Kind);
        Assert.Equal(XenstoreWatchEventKind.Changed, (await NextAsync(special)).Kind);

        await daemon.KillAsync();
        await daemon.StartAsync(Stop);

        // The gap, then the first event of the new watch: whoever reads the store on each of them misses nothing.
        foreach (var each in new[] { watch, special })
        {
            Assert.Equal(new XenstoreWatchEvent(XenstoreWatchEventKind.Gap, each.Path), await NextAsync(each));
            Assert.Equal(new XenstoreWatchEvent(XenstoreWatchEventKind.Changed, each.Path), await NextAsync(each));
            Assert.Equal(1, each.Gaps);
        }

        await client.WriteAsync("/pengx/new", "life", Stop);
        Assert.Equal("/pengx/new", (await NextUntilLastAsync(watch, "/pengx/new")).Path.Value);
        Assert.Equal(XenstoreConnectionState.Connected, client.State);
    }

    [Fact]
    public async Task Without_reconnecting_the_loss_is_final_and_everyone_is_told()
    {
        XenTools.Require();
        await using XenstoredProcess daemon = new();
        await daemon.StartAsync(Stop);
        await using var client = await XenstoreClient.ConnectAsync(daemon.EndPoint, cancellationToken: Stop);
        await using var watch = await client.WatchAsync("/pengx", cancellationToken: Stop);
        await NextAsync(watch);
        await daemon.KillAsync();

        await Assert.ThrowsAsync<XenstoreDisconnectedException>(() => client.Completion.WaitAsync(Limit, Stop));
        await Assert.ThrowsAsync<XenstoreDisconnectedException>(async () => await watch.WaitToReadAsync(Stop).AsTask().WaitAsync(Limit, Stop));
        await Assert.ThrowsAsync<XenstoreDisconnectedException>(async () => await client.FindAsync("/", Stop));
        Assert.Equal(XenstoreConnectionState.Closed, client.State);
    }

    private static async Task<XenstoreWatchEvent> NextAsync(XenstoreWatch watch)
    {
        Assert.True(await watch.WaitToReadAsync(Stop).AsTask().WaitAsync(Limit, Stop));
        Assert.True(watch.TryRead(out var change));
        return change;
    }

    private static async Task<XenstoreWatchEvent> NextUntilLastAsync(XenstoreWatch watch, string path)
    {
        while (true)
        {
            var change = await NextAsync(watch);
            if (change.Path == path)
            {
                return change;
            }
        }
    }
}

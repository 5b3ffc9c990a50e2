using Pengx.Xen;
using Pengx.Xen.Tests;

namespace Pengx.Lab;

/// <summary>The xenstore suite on oxenstored, which Debian starts in a control domain, through its socket.</summary>
public sealed class OxenstoredTests : XenstoreSuite
{
    /// <inheritdoc/>
    protected override bool ListsInParts => false;

    /// <inheritdoc/>
    protected override bool TellsWhatItDoesNotKnow => false;

    /// <inheritdoc/>
    public override ValueTask InitializeAsync()
    {
        LabHost.Require();
        return base.InitializeAsync();
    }

    /// <inheritdoc/>
    protected override Task<XenstoreClient> ConnectAsync(XenstoreClientOptions? options = null) =>
        XenstoreClient.ConnectAsync(XenstoreEndPoint.At("/run/xenstored/socket"), options, Stop);
}

/// <summary>The same through the kernel's device, as in a guest.</summary>
public sealed class XenbusTests : XenstoreSuite
{
    /// <inheritdoc/>
    protected override bool IsDevice => true;

    /// <inheritdoc/>
    protected override bool ListsInParts => false;

    /// <inheritdoc/>
    protected override bool TellsWhatItDoesNotKnow => false;

    /// <inheritdoc/>
    public override ValueTask InitializeAsync()
    {
        LabHost.Require();
        return base.InitializeAsync();
    }

    /// <inheritdoc/>
    protected override Task<XenstoreClient> ConnectAsync(XenstoreClientOptions? options = null) =>
        XenstoreClient.ConnectAsync(XenstoreEndPoint.At("/dev/xen/xenbus"), options, Stop);
}

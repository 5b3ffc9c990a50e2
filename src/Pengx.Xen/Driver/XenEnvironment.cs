using Microsoft.Extensions.Logging;

namespace Pengx.Xen;

/// <summary>What all domains of a driver share, once it is started.</summary>
internal sealed class XenEnvironment
{
    public required XenOptions Options { get; init; }

    /// <summary>How guests are run here: as configured, as far as this host can.</summary>
    public required XlGuestProfile Guests { get; init; }

    public required XlTool Xl { get; init; }

    public required IXenstoreClient Store { get; init; }

    public required XenDomainTable Table { get; init; }

    public required XenDomainPlaces Places { get; init; }

    public required TimeProvider Time { get; init; }

    public required ILogger Logger { get; init; }
}

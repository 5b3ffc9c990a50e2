using System.Globalization;

namespace Pengx.Xen;

/// <summary>What a guest can be asked.</summary>
internal enum XenGuestRequest
{
    /// <summary>To shut down.</summary>
    PowerOff,

    /// <summary>To reboot.</summary>
    Reboot,
}

/// <summary>Asks a guest through its node <c>control/shutdown</c> (Xen's <c>docs/misc/xenstore-paths.pandoc</c>), as xl does, but without waiting
/// for its answer.</summary>
internal static class XenGuestControl
{
    /// <summary>Asks.</summary>
    /// <param name="store">The xenstore.</param>
    /// <param name="domain">The domain's number.</param>
    /// <param name="request">What to ask.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    /// <returns>Whether there is a driver in the guest that can be asked.</returns>
    public static async Task<bool> TryAskAsync(IXenstoreClient store, int domain, XenGuestRequest request, CancellationToken cancellationToken)
    {
        var (feature, word) = request == XenGuestRequest.PowerOff ? ("feature-poweroff", "poweroff") : ("feature-reboot", "reboot");
        var control = XenstorePath.OfDomain(domain) / "control";

        // A PV or PVH kernel is Xen's own guest even where it is too old to say so.
        XenstorePath type = string.Create(CultureInfo.InvariantCulture, $"/libxl/{domain}/type");
        if ((await store.FindAsync(type, cancellationToken).ConfigureAwait(false))?.ToString() == "hvm"
            && await store.FindAsync(control / feature, cancellationToken).ConfigureAwait(false) is null)
        {
            return false;
        }

        // In a transaction with the proof that the domain is there: a write would make the nodes of one that is gone.
        return await store.TransactAsync(
            async (transaction, token) =>
            {
                if (await transaction.FindAsync(XenstorePath.OfDomain(domain) / "vm", token).ConfigureAwait(false) is null)
                {
                    return true;
                }

                await transaction.WriteAsync(control / "shutdown", word, token).ConfigureAwait(false);
                return true;
            },
            cancellationToken).ConfigureAwait(false);
    }
}

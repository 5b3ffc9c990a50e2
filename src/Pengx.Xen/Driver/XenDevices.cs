using System.Globalization;

namespace Pengx.Xen;

/// <summary>A virtual device as libxl recorded it, where no guest can write (<c>/libxl/DOMAIN/device/KIND/NUMBER</c>).</summary>
/// <param name="Number">Its number: a disk's is made of its vdev, an interface's counts from 0.</param>
/// <param name="Record">libxl's record of it.</param>
/// <param name="Backend">Its backend.</param>
/// <param name="Values">What the record holds.</param>
internal sealed record XenDevice(int Number, XenstorePath Record, XenstorePath? Backend, IReadOnlyDictionary<string, string> Values)
{
    /// <summary>A frontend and a backend that have found each other (Xen's <c>io/xenbus.h</c>).</summary>
    public const int Connected = 4;

    public string? Vdev => Values.GetValueOrDefault("dev");

    public bool IsCdrom => Values.GetValueOrDefault("device-type") == "cdrom";

    /// <summary>Whether the guest may only read a disk.</summary>
    public bool IsReadOnly => Values.GetValueOrDefault("mode") == "r";

    /// <summary>Whether QEMU serves a disk, and not the kernel.</summary>
    public bool IsServedByQemu => Backend is { } backend && backend.ToString().Contains("/backend/qdisk/", StringComparison.Ordinal);

    /// <summary>Whether a disk that QEMU serves is raw.</summary>
    public bool IsRaw => Values.GetValueOrDefault("params")?.StartsWith("aio:", StringComparison.Ordinal) == true;

    public MacAddress? Mac => MacAddress.TryParse(Values.GetValueOrDefault("mac"), out var mac) ? mac : null;

    /// <summary>Which disk it is, where this driver plugged it in.</summary>
    public DiskId? Disk => DiskId.TryParse(Values.GetValueOrDefault(XenDevices.DiskMark), out var disk) ? disk : null;

    /// <summary>The image or device behind a disk, as it was when it was attached.</summary>
    public string? Path
    {
        get
        {
            // "qcow2:/path" and "aio:/path" for QEMU, "/dev/path" for the kernel.
            var parameters = Values.GetValueOrDefault("params");
            return parameters?[(parameters.IndexOf(":/", StringComparison.Ordinal) + 1)..];
        }
    }
}

/// <summary>Reads which devices a domain has.</summary>
internal static class XenDevices
{
    /// <summary>Our note in libxl's record of a disk: it goes with the record.</summary>
    public const string DiskMark = "pengx-disk";

    private const string Disks = "vbd";
    private const string Nics = "vif";

    public static Task<IReadOnlyList<XenDevice>> ListDisksAsync(IXenstoreClient store, int domain, CancellationToken cancellationToken) =>
        ListAsync(store, domain, Disks, cancellationToken);

    public static Task<IReadOnlyList<XenDevice>> ListNicsAsync(IXenstoreClient store, int domain, CancellationToken cancellationToken) =>
        ListAsync(store, domain, Nics, cancellationToken);

    /// <summary>Notes which disk a device is and what lies behind it. libxl does not learn by itself that QEMU has changed over to another image.</summary>
    /// <param name="store">xenstore.</param>
    /// <param name="device">The device; one that is gone is left alone.</param>
    /// <param name="disk">The disk.</param>
    /// <param name="cancellationToken">Gives up.</param>
    public static Task NoteAsync(IXenstoreClient store, XenDevice device, DomainDisk disk, CancellationToken cancellationToken)
    {
        // As libxl writes it for what QEMU serves.
        var top = disk.Layers[0];
        var parameters = $"{(top.Format == DiskFormat.Raw ? "aio" : top.Format.Name)}:{top.Location}";
        return store.TransactAsync(
            async (transaction, token) =>
            {
                if (device.Backend is not { } backend
                    || await transaction.FindAsync(device.Record / "dev", token).ConfigureAwait(false) is null
                    || await transaction.FindAsync(backend / "params", token).ConfigureAwait(false) is null)
                {
                    return false;
                }

                await transaction.WriteAsync(device.Record / DiskMark, disk.Id.ToString(), token).ConfigureAwait(false);
                foreach (var place in new[] { device.Record, backend })
                {
                    await transaction.WriteAsync(place / "params", parameters, token).ConfigureAwait(false);
                }

                return true;
            },
            cancellationToken);
    }

    /// <summary>Where a device stands: what its backend says of itself.</summary>
    public static async Task<int?> FindStateAsync(IXenstoreClient store, XenDevice device, CancellationToken cancellationToken) =>
        device.Backend is { } backend && await store.FindAsync(backend / "state", cancellationToken).ConfigureAwait(false) is { } value && value.TryGetInt64(out var state)
            ? (int)state
            : null;

    public static async Task<string?> FindBackendValueAsync(IXenstoreClient store, XenDevice device, string key, CancellationToken cancellationToken) =>
        device.Backend is { } backend ? (await store.FindAsync(backend / key, cancellationToken).ConfigureAwait(false))?.ToString() : null;

    private static async Task<IReadOnlyList<XenDevice>> ListAsync(IXenstoreClient store, int domain, string kind, CancellationToken cancellationToken)
    {
        XenstorePath root = string.Create(CultureInfo.InvariantCulture, $"/libxl/{domain}/device/{kind}");
        if (await store.FindTreeAsync(root, cancellationToken).ConfigureAwait(false) is not { } tree)
        {
            return [];
        }

        List<XenDevice> devices = [];
        foreach (var node in tree.Children)
        {
            var values = node.Children.ToDictionary(child => child.Name, child => child.Value.ToString() ?? "");
            if (int.TryParse(node.Name, NumberStyles.None, CultureInfo.InvariantCulture, out var number))
            {
                devices.Add(new(number, root / node.Name, XenstorePath.TryParse(values.GetValueOrDefault("backend"), out var backend) ? backend : (XenstorePath?)null, values));
            }
        }

        return devices;
    }
}

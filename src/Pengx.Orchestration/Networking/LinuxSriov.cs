using System.Globalization;

namespace Pengx.Orchestration;

/// <summary>Cards with virtual functions, by sysfs.</summary>
/// <remarks>Source: Linux kernel documentation, <c>PCI/pci-iov-howto</c> and <c>ABI/testing/sysfs-bus-pci</c>.</remarks>
internal sealed class LinuxSriov(HostNetworkOptions options) : IHostSriov
{
    private const string Link = "virtfn";

    public SriovReading? Read(string physicalFunction)
    {
        var device = DeviceOf(physicalFunction);
        if (Number(device, "sriov_totalvfs") is not { } total)
        {
            return null;
        }

        try
        {
            return new(
                total,
                [
                    .. Directory.EnumerateFileSystemEntries(device, $"{Link}*")
                        .Select(path => (Order: Path.GetFileName(path)[Link.Length..], Target: new FileInfo(path).LinkTarget ?? ""))
                        .Where(entry => int.TryParse(entry.Order, NumberStyles.None, CultureInfo.InvariantCulture, out _))
                        .OrderBy(entry => int.Parse(entry.Order, CultureInfo.InvariantCulture))
                        .Select(entry => PciAddress.TryParse(Path.GetFileName(entry.Target), out var address) ? address : (PciAddress?)null)
                        .OfType<PciAddress>(),
                ]);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    public async Task<SriovReading> SetAsync(string physicalFunction, int count, CancellationToken cancellationToken = default)
    {
        var now = Read(physicalFunction) ?? throw new WrongStateException($"There is no card {physicalFunction} with virtual functions on this host.");
        if (count < 0 || count > now.Total)
        {
            throw new InvalidFieldException("num_vfs", count.ToString(CultureInfo.InvariantCulture), $"{physicalFunction} can have 0 to {now.Total} virtual functions.");
        }

        if (Number(DeviceOf(physicalFunction), "sriov_numvfs") == count)
        {
            return now;
        }

        if (Number(DeviceOf(physicalFunction), "sriov_numvfs") != 0)
        {
            await WriteAsync(physicalFunction, 0, cancellationToken).ConfigureAwait(false);
        }

        if (count > 0)
        {
            await WriteAsync(physicalFunction, count, cancellationToken).ConfigureAwait(false);
        }

        return Number(DeviceOf(physicalFunction), "sriov_numvfs") is var found && found == count
            ? Read(physicalFunction)!
            : throw new WrongStateException($"{physicalFunction} was to have {count} virtual functions, and has {found} now.");
    }

    private async Task WriteAsync(string physicalFunction, int count, CancellationToken cancellationToken)
    {
        var file = Path.Combine(DeviceOf(physicalFunction), "sriov_numvfs");
        try
        {
            // The driver works while the write lasts; one that hangs in it keeps its thread, and the caller is let go.
            await Task.Run(() => File.WriteAllText(file, count.ToString(CultureInfo.InvariantCulture)), cancellationToken)
                .WaitAsync(TimeSpan.FromSeconds(60), cancellationToken).ConfigureAwait(false);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new WrongStateException($"{physicalFunction} does not take {count} virtual functions: {error.Message}");
        }
        catch (TimeoutException)
        {
            throw new UnavailableException($"{physicalFunction} did not take {count} virtual functions within 60 s.");
        }
    }

    private string DeviceOf(string physicalFunction) => Path.Combine(options.Sys, "class/net", physicalFunction, "device");

    private static int? Number(string directory, string file)
    {
        try
        {
            return int.TryParse(File.ReadAllText(Path.Combine(directory, file)).Trim(), NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number : null;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }
}

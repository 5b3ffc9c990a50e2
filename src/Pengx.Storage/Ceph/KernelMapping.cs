using System.Globalization;

namespace Pengx.Storage;

/// <summary>RBD images as devices of the kernel's own driver. What is mapped is read from sysfs, which opens nothing.</summary>
internal sealed class KernelMapping(CephTools tools, CephOptions options, string sys = "/sys")
{
    private const string NoSnapshot = "-";

    /// <summary>The device of an image; <see langword="null"/> when it is not mapped here.</summary>
    /// <remarks>Its identity is what the kernel says it has mapped, never a device's number.</remarks>
    public string? Find(string pool, string image)
    {
        var devices = Path.Combine(sys, "bus/rbd/devices");
        if (!Directory.Exists(devices))
        {
            return null;
        }

        foreach (var device in Directory.EnumerateDirectories(devices))
        {
            if (Read(device, "pool") == pool && Read(device, "name") == image
                && Read(device, "pool_ns") is null or "" && Read(device, "current_snap") is null or NoSnapshot)
            {
                return $"/dev/rbd{Path.GetFileName(device)}";
            }
        }

        return null;
    }

    /// <summary>Maps an image.</summary>
    /// <exception cref="PengxException">It cannot be mapped; nothing is left mapped.</exception>
    public async Task<string> MapAsync(string what, string pool, string image, CancellationToken cancellationToken)
    {
        var seconds = Math.Ceiling(options.ConnectTimeout.TotalSeconds).ToString(CultureInfo.InvariantCulture);
        try
        {
            var result = await tools.TryRbdAsync(["map", "--pool", pool, "--image", image, "--options", $"mount_timeout={seconds}"], cancellationToken).ConfigureAwait(false);
            if (result.ExitCode != 0)
            {
                throw result.Error.Contains("kernel module", StringComparison.Ordinal) && !Directory.Exists(Path.Combine(sys, "bus/rbd"))
                    ? new UnavailableException($"{what}: the kernel of this host has no RBD driver (module rbd); attach in user space, or by QEMU's own driver. {ProcessFailedException.Exited(result).Message}")
                    : CephTools.FailureOf(what, result);
            }

            // Three witnesses: what the tool printed, what it lists, and what the kernel says.
            var device = result.Output.Trim();
            var listed = (await tools.RbdAsync(what, ["device", "list"], CephJson.Default.IReadOnlyListRbdDevice, cancellationToken).ConfigureAwait(false))
                .Any(entry => entry.Pool == pool && entry.Name == image && string.IsNullOrEmpty(entry.Namespace) && entry.Device == device);
            return listed && Find(pool, image) == device
                ? device
                : throw new StorageException($"{what}: rbd says that it mapped {pool}/{image} as {device}, and the kernel does not; nothing is used.");
        }
        catch
        {
            // Whatever ended it: a mapping that nobody was told of would keep the image open for ever.
            if (Find(pool, image) is { } left)
            {
                await tools.TryRbdAsync(["unmap", left], CancellationToken.None).ConfigureAwait(false);
            }

            throw;
        }
    }

    /// <summary>Unmaps an image, and demands that it is gone. Not mapped: does nothing.</summary>
    /// <returns>Whether there was a mapping.</returns>
    /// <exception cref="InUseException">Something has the device open.</exception>
    public async Task<bool> UnmapAsync(string what, string pool, string image, CancellationToken cancellationToken)
    {
        if (Find(pool, image) is not { } device)
        {
            return false;
        }

        var result = await tools.TryRbdAsync(["unmap", device], cancellationToken).ConfigureAwait(false);
        if (result.ExitCode == CephTools.Busy)
        {
            throw new InUseException($"{what}: something has {device} open. {ProcessFailedException.Exited(result).Message}");
        }

        // The kernel is the judge: a device that is gone was unmapped, whatever the tool thinks.
        return Find(pool, image) is null ? true : throw (result.ExitCode == 0
            ? new StorageException($"{what}: rbd unmapped {device}, and the kernel still has it.")
            : CephTools.FailureOf(what, result));
    }

    private static string? Read(string device, string attribute)
    {
        try
        {
            return File.ReadAllText(Path.Combine(device, attribute)).Trim();
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            // It went while it was looked at, or the kernel is too old to have the attribute.
            return null;
        }
    }
}

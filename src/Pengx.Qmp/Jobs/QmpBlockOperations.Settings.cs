using System.Text.Json.Nodes;

namespace Pengx.Qmp;

public sealed partial class QmpBlockOperations
{
    /// <summary>Grows a disk's image; the running guest sees the new size. Nothing has changed if this throws, except after a timeout: then look.</summary>
    /// <param name="node">The node that the guest uses.</param>
    /// <param name="size">The new size, in bytes: a multiple of 512, and not below the present one.</param>
    /// <param name="cancellationToken">Gives up the wait.</param>
    /// <exception cref="ArgumentOutOfRangeException">The size is not allowed; QEMU was not asked to change anything.</exception>
    /// <exception cref="ArgumentException">There is no such node.</exception>
    /// <exception cref="QmpCommandException">QEMU refused.</exception>
    public async Task ResizeAsync(string node, long size, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(node);
        if (size <= 0 || size % 512 != 0)
        {
            throw new ArgumentOutOfRangeException(nameof(size), size, "A disk's size is a positive multiple of 512 bytes.");
        }

        QmpBlockGraph graph = await QueryGraphAsync(cancellationToken).ConfigureAwait(false);
        long present = graph.Find(node)?.Info.Image.VirtualSize ?? throw new ArgumentException($"QEMU has no node '{node}'.", nameof(node));
        if (size < present)
        {
            throw new ArgumentOutOfRangeException(nameof(size), size, $"The disk has {present} bytes, and a running guest's disk is never cut.");
        }

        await _client.ExecuteAsync(QmpCommands.BlockResize, new QmpBlockResize { NodeName = node, Size = size }, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Limits a guest's disk, replacing all its limits together. Nothing has changed if this throws, except after a timeout: then look.</summary>
    /// <param name="device">The guest device's id.</param>
    /// <param name="limits">The limits; a new instance takes them all away.</param>
    /// <param name="cancellationToken">Gives up the wait.</param>
    /// <exception cref="ArgumentException">There is no such disk, or a limit is negative.</exception>
    /// <exception cref="QmpCommandException">QEMU refused, as it does a total beside limits of its parts.</exception>
    public async Task ThrottleAsync(string device, QmpThrottle limits, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(device);
        ArgumentNullException.ThrowIfNull(limits);
        JsonObject arguments = new()
        {
            ["bps"] = Require(limits.BytesPerSecond, nameof(limits.BytesPerSecond)),
            ["bps_rd"] = Require(limits.ReadBytesPerSecond, nameof(limits.ReadBytesPerSecond)),
            ["bps_wr"] = Require(limits.WriteBytesPerSecond, nameof(limits.WriteBytesPerSecond)),
            ["iops"] = Require(limits.OperationsPerSecond, nameof(limits.OperationsPerSecond)),
            ["iops_rd"] = Require(limits.ReadOperationsPerSecond, nameof(limits.ReadOperationsPerSecond)),
            ["iops_wr"] = Require(limits.WriteOperationsPerSecond, nameof(limits.WriteOperationsPerSecond)),
        };

        // A virtio disk is two devices, and the inner one, which has the disk, is known by its path alone.
        QmpBlockGraph graph = await QueryGraphAsync(cancellationToken).ConfigureAwait(false);
        QmpBlockDevice disk = graph.FindDevice(device) ?? throw new ArgumentException($"The machine has no disk '{device}'.", nameof(device));
        arguments["id"] = disk.Qdev ?? device;
        await _client.ExecuteRawAsync("block_set_io_throttle", QmpArguments.Create(arguments), cancellationToken).ConfigureAwait(false);

        static long Require(long value, string name)
        {
            ArgumentOutOfRangeException.ThrowIfNegative(value, name);
            return value;
        }
    }
}

/// <summary>Limits of a guest's disk; 0 for none. A total excludes limits of its parts.</summary>
public sealed record QmpThrottle
{
    /// <summary>Reads and writes together, in bytes per second.</summary>
    public long BytesPerSecond { get; init; }

    /// <summary>Reads, in bytes per second.</summary>
    public long ReadBytesPerSecond { get; init; }

    /// <summary>Writes, in bytes per second.</summary>
    public long WriteBytesPerSecond { get; init; }

    /// <summary>Reads and writes together, in operations per second.</summary>
    public long OperationsPerSecond { get; init; }

    /// <summary>Reads, in operations per second.</summary>
    public long ReadOperationsPerSecond { get; init; }

    /// <summary>Writes, in operations per second.</summary>
    public long WriteOperationsPerSecond { get; init; }
}

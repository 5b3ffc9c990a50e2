using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Pengx.Storage;

/// <summary>What is on a device.</summary>
public enum DeviceContent
{
    /// <summary>Proven: it was read, it is zero wherever it was read, and no tool knows a signature on it.</summary>
    Blank,

    /// <summary>A signature was found.</summary>
    Known,

    /// <summary>Neither: unreadable, or data that nobody can name, as encrypted volumes look. Never formatted.</summary>
    Unknown,
}

/// <summary>What a device was found to hold.</summary>
/// <param name="Device">The device.</param>
/// <param name="Content">The verdict.</param>
/// <param name="Text">For <see cref="DeviceContent.Known"/> the signature, which a <see cref="FormatConsent"/> must repeat; else the reason of the verdict.</param>
public sealed record DeviceProbe(string Device, DeviceContent Content, string Text);

/// <summary>How closely <see cref="FormatGuard"/> looks.</summary>
public sealed class FormatGuardOptions
{
    /// <summary>Devices up to this size are read whole; 256 MiB by default.</summary>
    public DataSize ReadWholeUpTo { get; set; } = DataSize.FromMiB(256);

    /// <summary>How many places of a larger device are read, evenly spread; 64 by default.</summary>
    public int Samples { get; set; } = 64;

    /// <summary>How long one read may take; 30 seconds by default.</summary>
    public TimeSpan Timeout { get; set; } = TimeSpan.FromSeconds(30);
}

/// <summary>Lets nothing be formatted unless the device is proven blank, or somebody who was shown the very signature on it
/// asked for it. That a tool found nothing is no proof: it finds nothing, too, when it cannot read, or when only the first
/// copy of a superblock is gone. Safe to use from many threads.</summary>
/// <remarks>Reads through <c>wipefs</c> and <c>cmp</c>, which can be ended when the storage hangs.</remarks>
/// <param name="runner">Runs the programs.</param>
/// <param name="devices">Looks devices up.</param>
/// <param name="options">How closely it looks; the defaults when not given.</param>
public sealed class FormatGuard(IProcessRunner runner, DeviceGuard? devices = null, FormatGuardOptions? options = null)
{
    private const long MiB = 1L << 20;

    // Where copies of superblocks lie that outlive the first megabytes: ext2/3/4 with blocks of 1, 2 and 4 KiB and its groups
    // 3, 5, 7, 9, 25, 27, 49 … (e2fsprogs, sparse_super); btrfs at 64 MiB and 256 GiB; OCFS2 at 1 GiB times powers of 4.
    private static readonly long[] s_superblockCopies =
    [
        .. new long[] { 1, 3, 5, 7, 9, 25, 27, 49, 81, 125, 243, 343 }.SelectMany(group => new[] { group * 8 * MiB, group * 32 * MiB, group * 128 * MiB }),
        64 * MiB, 256L << 30, 1L << 30, 4L << 30, 16L << 30, 64L << 30, 1L << 40,
    ];

    private readonly DeviceGuard _devices = devices ?? new();
    private readonly FormatGuardOptions _options = options ?? new();

    /// <summary>Finds out what is on a device.</summary>
    /// <param name="device">The device.</param>
    /// <param name="cancellationToken">Ends the reading.</param>
    /// <returns>The verdict; that it could not be found out is one, too.</returns>
    public async Task<DeviceProbe> ProbeAsync(BlockDevice device, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(device);
        DeviceProbe Unknown(string reason) => new(device.Path, DeviceContent.Unknown, reason);
        try
        {
            _devices.Demand(device);
            if (device.Size.Bytes <= 0)
            {
                return Unknown("it has no size");
            }

            if (await SignaturesAsync(device, cancellationToken).ConfigureAwait(false) is { Length: > 0 } signatures)
            {
                return new(device.Path, DeviceContent.Known, signatures);
            }

            foreach (var (offset, length) in Places(device.Size.Bytes))
            {
                if (await IsZeroAsync(device, offset, length, cancellationToken).ConfigureAwait(false) is { } otherwise)
                {
                    return Unknown(otherwise);
                }
            }

            _devices.Demand(device);
            return new(device.Path, DeviceContent.Blank, "it is zero wherever it was read, and nothing is known on it");
        }
        catch (PengxException exception)
        {
            return Unknown(exception.Message);
        }
    }

    /// <summary>Demands that a device may be formatted.</summary>
    /// <param name="device">The device.</param>
    /// <param name="consent">The signature that may be overwritten, as it was shown.</param>
    /// <param name="cancellationToken">Ends the reading.</param>
    /// <returns>What is on it: blank, or the signature that was consented to.</returns>
    /// <exception cref="StorageException">It may not; the message shows the signature, or why nobody can tell.</exception>
    public async Task<DeviceProbe> DemandFormattableAsync(BlockDevice device, FormatConsent? consent, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(device);
        var probe = await ProbeAsync(device, cancellationToken).ConfigureAwait(false);
        return Refusal(probe, consent) is { } refusal ? throw new StorageException($"{device.Path} is not formatted: {refusal}.") : probe;
    }

    /// <summary>A plan's condition that a device may be formatted, looked at again immediately before the act.</summary>
    /// <param name="device">The device.</param>
    /// <param name="consent">The signature that may be overwritten, as it was shown.</param>
    public StorageCondition IsFormattable(BlockDevice device, FormatConsent? consent)
    {
        ArgumentNullException.ThrowIfNull(device);
        return new(
            consent is null ? $"{device.Path} is blank" : $"{device.Path} is blank or holds '{consent.Signature}'",
            async token => Refusal(await ProbeAsync(device, token).ConfigureAwait(false), consent));
    }

    /// <summary>A plan's condition that a device holds a signature of a type, such as <c>ext4</c> or <c>LVM2_member</c>.</summary>
    /// <param name="device">The device's path.</param>
    /// <param name="type">The type, as <c>wipefs</c> names it.</param>
    /// <param name="uuid">The UUID that it must have, where one was chosen.</param>
    public StorageCondition Holds(string device, string type, string? uuid = null)
    {
        ArgumentNullException.ThrowIfNull(device);
        return new($"{device} holds {type}{(uuid is null ? "" : $" {uuid}")}", async token =>
        {
            var found = await SignaturesAsync(_devices.Inspect(device), token).ConfigureAwait(false);
            return found.Split(", ").Any(signature => signature.Split(' ')[0] == type && (uuid is null || signature.Contains(uuid, StringComparison.Ordinal)))
                ? null
                : found.Length == 0 ? "nothing was found on it" : $"it holds '{found}'";
        });
    }

    /// <summary>A plan's condition that no signature is known on a device any more.</summary>
    /// <param name="device">The device.</param>
    public StorageCondition HoldsNothing(BlockDevice device)
    {
        ArgumentNullException.ThrowIfNull(device);
        return new($"{device.Path} holds no signature", async token =>
            await SignaturesAsync(device, token).ConfigureAwait(false) is { Length: > 0 } found ? $"it holds '{found}'" : null);
    }

    /// <summary>The UUID of the file system of a type on a device; <see langword="null"/> when there is none.</summary>
    internal async Task<string?> FindUuidAsync(BlockDevice device, string type, CancellationToken cancellationToken) =>
        (await ReportAsync(device, cancellationToken).ConfigureAwait(false)).FirstOrDefault(signature => signature.Type == type)?.Uuid;

    private static string? Refusal(DeviceProbe probe, FormatConsent? consent) => probe switch
    {
        { Content: DeviceContent.Blank } => null,
        { Content: DeviceContent.Known } when consent?.Signature == probe.Text => null,
        { Content: DeviceContent.Known } when consent is null => $"it holds '{probe.Text}'; whoever wants that overwritten must name it",
        { Content: DeviceContent.Known } => $"it holds '{probe.Text}', not '{consent?.Signature}'",
        _ => $"nobody can tell what is on it: {probe.Text}",
    };

    private async Task<string> SignaturesAsync(BlockDevice device, CancellationToken cancellationToken) =>
        string.Join(", ", (await ReportAsync(device, cancellationToken).ConfigureAwait(false)).Select(signature =>
            string.Join(' ', new[] { signature.Type, signature.Uuid, signature.Label }.Where(part => !string.IsNullOrEmpty(part)))));

    private async Task<IReadOnlyList<WipefsSignature>> ReportAsync(BlockDevice device, CancellationToken cancellationToken)
    {
        var result = (await runner.RunAsync(
            new() { FileName = "wipefs", Arguments = ["--json", "--no-act", device.Path], Timeout = _options.Timeout },
            cancellationToken).ConfigureAwait(false)).EnsureSuccess();
        if (string.IsNullOrWhiteSpace(result.Output))
        {
            return [];
        }

        try
        {
            return JsonSerializer.Deserialize(result.Output, GuardJson.Default.WipefsReport)?.Signatures ?? [];
        }
        catch (JsonException exception)
        {
            throw new StorageException($"The answer of wipefs for {device.Path} cannot be understood: {exception.Message}", exception);
        }
    }

    private IEnumerable<(long Offset, long Length)> Places(long size)
    {
        if (size <= _options.ReadWholeUpTo.Bytes)
        {
            return [(0, size)];
        }

        // The ends first: what is there is found soonest there. Group copies of ext may begin a block after their round place.
        return new long[] { 0, size - MiB }
            .Concat(s_superblockCopies.Where(offset => offset < size))
            .Concat(Enumerable.Range(1, Math.Max(0, _options.Samples - 1)).Select(i => Math.Max(0, (long)((Int128)size * i / _options.Samples) - (MiB / 2))))
            .Select(offset => (offset, Math.Min(MiB, size - offset)))
            .Distinct();
    }

    /// <returns><see langword="null"/> when it is zero, otherwise what it is.</returns>
    private async Task<string?> IsZeroAsync(BlockDevice device, long offset, long length, CancellationToken cancellationToken)
    {
        var result = await runner.RunAsync(
            new()
            {
                FileName = "cmp",
                Arguments = [string.Create(CultureInfo.InvariantCulture, $"--ignore-initial={offset}:0"), string.Create(CultureInfo.InvariantCulture, $"--bytes={length}"), device.Path, "/dev/zero"],
                Timeout = _options.Timeout,
            },
            cancellationToken).ConfigureAwait(false);
        return result.ExitCode switch
        {
            0 => null,
            1 when result.Error.Length > 0 => $"it ends before the {offset + length} bytes that the kernel says it has",
            1 => $"there is data at byte {offset.ToString(CultureInfo.InvariantCulture)} or after, though no signature is known",
            _ => $"it cannot be read ({result.Error.Trim()})",
        };
    }

    internal sealed record WipefsReport(IReadOnlyList<WipefsSignature>? Signatures);

    internal sealed record WipefsSignature(string? Type, string? Uuid, string? Label);
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase)]
[JsonSerializable(typeof(FormatGuard.WipefsReport))]
internal sealed partial class GuardJson : JsonSerializerContext;

using System.Globalization;

namespace Pengx.Xen;

// Processors and memory of a running domain.
internal sealed partial class XenDomain
{
    // What a balloon leaves over or under, in pages it cannot move.
    private static readonly DataSize s_balloonSlack = DataSize.FromMiB(4);

    public async Task<ResizeOutcome> ResizeAsync(int cpus, DataSize memory, CancellationToken cancellationToken)
    {
        if (cpus < 1)
        {
            throw new InvalidFieldException("cpus", cpus.ToString(CultureInfo.InvariantCulture), "it must be at least 1.");
        }

        try
        {
            return await _turns.TakeAsync("resize", token => ResizeCoreAsync(cpus, memory, token), cancellationToken).ConfigureAwait(false);
        }
        catch (XenstoreException exception)
        {
            throw StoreFailure("resize", exception);
        }
    }

    private async Task<ResizeOutcome> ResizeCoreAsync(int cpus, DataSize memory, CancellationToken cancellationToken)
    {
        if (await ReadRunAsync(cancellationToken).ConfigureAwait(false) is not { IsAlive: true } run)
        {
            return new(false, false, null);
        }

        var (areCpusApplied, whyCpus) = await ResizeCpusAsync(run, cpus, cancellationToken).ConfigureAwait(false);
        var (isMemoryApplied, whyMemory) = await ResizeMemoryAsync(run, memory, cancellationToken).ConfigureAwait(false);
        var detail = string.Join(' ', new[] { whyCpus, whyMemory }.OfType<string>());
        return new(areCpusApplied, isMemoryApplied, detail.Length > 0 ? detail : null);
    }

    private async Task<(bool Applied, string? Why)> ResizeCpusAsync(XenRun run, int cpus, CancellationToken cancellationToken)
    {
        if (run.Cpus == cpus)
        {
            return (true, null);
        }

        // The nodes are made at the start, one for each processor that the domain can ever have.
        var ceiling = (await environment.Store.FindChildrenAsync(XenstorePath.OfDomain(run.Domain) / "cpu", cancellationToken).ConfigureAwait(false))?.Count ?? run.Cpus;
        if (cpus > ceiling)
        {
            return (false, string.Create(CultureInfo.InvariantCulture, $"The domain was started with room for {ceiling} processors; {cpus} hold from the next start."));
        }

        var command = XlCommand.SetCpus(run.Domain, cpus);
        var result = await environment.Xl.TryAsync(command, cancellationToken).ConfigureAwait(false);
        if (result.ExitCode != 0)
        {
            return (false, $"xl vcpu-set failed: {XlError.Parse(result.Error).Message}; the processors hold from the next start.");
        }

        // Exit code 0 says that the guest was told, not that it listened.
        return await HasFollowedAsync(now => now.Cpus == cpus, cancellationToken).ConfigureAwait(false)
            ? (true, null)
            : (false, "The guest has not followed the change of its processors; they hold from the next start.");
    }

    private async Task<(bool Applied, string? Why)> ResizeMemoryAsync(XenRun run, DataSize memory, CancellationToken cancellationToken)
    {
        var node = XenstorePath.OfDomain(run.Domain) / "memory";
        if (await ReadKibibytesAsync(node / "target", cancellationToken).ConfigureAwait(false) is not { } target
            || await ReadKibibytesAsync(node / "static-max", cancellationToken).ConfigureAwait(false) is not { } ceiling)
        {
            return (false, "xenstore does not tell the domain's memory; the change holds from the next start.");
        }

        // The target of an HVM guest is without its video memory, which xl subtracts from what it is told.
        var current = target + (await ReadKibibytesAsync(node / "videoram", cancellationToken).ConfigureAwait(false) ?? default);
        if (current == memory)
        {
            return (true, null);
        }

        if (memory > ceiling)
        {
            return (false, string.Create(CultureInfo.InvariantCulture, $"The domain was started with room for {ceiling.MiB} MiB; {memory.MiB} MiB hold from the next start."));
        }

        var wanted = DataSize.FromMiB(memory.MiB);
        if (memory > current && await environment.Xl.GetInfoAsync(cancellationToken).ConfigureAwait(false) is { } info && info.FreeMemory < memory - current)
        {
            return (false, string.Create(CultureInfo.InvariantCulture, $"The host has {info.FreeMemory.MiB} MiB free; {memory.MiB} MiB hold from the next start."));
        }

        var command = XlCommand.SetMemory(run.Domain, wanted);
        var result = await environment.Xl.TryAsync(command, cancellationToken).ConfigureAwait(false);
        if (result.ExitCode != 0)
        {
            return (false, $"xl mem-set failed: {XlError.Parse(result.Error).Message}; the memory holds from the next start.");
        }

        // What Xen counts for a domain may have more in it than the target (video memory, rings), and an HVM guest that has just begun
        // may not have given back yet what is above its first target.
        var told = await ReadKibibytesAsync(node / "target", cancellationToken).ConfigureAwait(false) ?? target;
        var expected = run.Memory.Bytes + (told.Bytes - target.Bytes);
        bool IsNear(DataSize memory, long bytes) => Math.Abs(memory.Bytes - bytes) <= s_balloonSlack.Bytes;
        return await HasFollowedAsync(now => IsNear(now.Memory, expected) || IsNear(now.Memory, told.Bytes), cancellationToken).ConfigureAwait(false)
            ? (true, null)
            : (false, "The guest's balloon driver has not followed the change of its memory; it holds from the next start.");
    }

    private Task<bool> HasFollowedAsync(Func<XenRun, bool> isFollowed, CancellationToken cancellationToken) =>
        IsReachedAsync(
            async token => await ReadRunAsync(token).ConfigureAwait(false) is { IsAlive: true } now && isFollowed(now),
            environment.Options.ResizeTimeout,
            cancellationToken);

    private async Task<DataSize?> ReadKibibytesAsync(XenstorePath path, CancellationToken cancellationToken) =>
        await environment.Store.FindAsync(path, cancellationToken).ConfigureAwait(false) is { } value && value.TryGetInt64(out var kibibytes) ? new(kibibytes * 1024) : null;
}

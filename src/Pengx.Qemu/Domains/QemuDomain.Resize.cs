using System.Globalization;
using System.Text.Json.Nodes;
using Pengx.Qmp;

namespace Pengx.Qemu;

// Processors and memory of a running domain.
internal sealed partial class QemuDomain
{
    public Task<ResizeOutcome> ResizeAsync(int cpus, DataSize memory, CancellationToken cancellationToken)
    {
        if (cpus < 1)
        {
            throw new InvalidFieldException("cpus", cpus.ToString(CultureInfo.InvariantCulture), "it must be at least 1.");
        }

        if (memory < DataSize.FromMiB(1))
        {
            throw new InvalidFieldException("memory", memory.ToString(), "it must be at least 1 MiB.");
        }

        return RunVerbAsync(
            "resize",
            async token =>
            {
                if (Run is not { } run)
                {
                    return new ResizeOutcome(false, false, "The domain does not run; the change holds from its next start.");
                }

                var client = RequireClient(run);
                var cpuDetail = await ResizeCpusAsync(run, client, cpus, token).ConfigureAwait(false);
                var memoryDetail = await ResizeMemoryAsync(run, client, memory, token).ConfigureAwait(false);
                var details = string.Join(' ', new[] { cpuDetail, memoryDetail }.OfType<string>());
                return new ResizeOutcome(cpuDetail is null, memoryDetail is null, details.Length == 0 ? null : details);
            },
            cancellationToken);
    }

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);

    /// <returns>What waits for the next start; <see langword="null"/> when nothing does.</returns>
    private async Task<string?> ResizeCpusAsync(QemuRun run, IQmpClient client, int wanted, CancellationToken cancellationToken)
    {
        var places = await client.ExecuteAsync(QmpCommands.QueryHotpluggableCpus, cancellationToken).ConfigureAwait(false);
        var ordered = places.OrderBy(place => Place(place, "socket-id")).ThenBy(place => Place(place, "core-id")).ThenBy(place => Place(place, "thread-id")).ToList();
        var now = ordered.Where(place => place.QomPath is not null).Sum(place => place.VcpusCount);
        string? detail = null;
        if (wanted > now)
        {
            detail = await AddCpusAsync(client, ordered, wanted, now, cancellationToken).ConfigureAwait(false);
        }
        else if (wanted < now)
        {
            detail = run.Record.IsEmulated
                ? Text($"Processors cannot be taken from a guest that runs without KVM: it keeps {now}, and has {wanted} from its next start.")
                : await RemoveCpusAsync(client, ordered, wanted, now, cancellationToken).ConfigureAwait(false);
        }

        var running = await client.ExecuteAsync(QmpCommands.QueryCpusFast, cancellationToken).ConfigureAwait(false);
        lock (_gate)
        {
            run.Cpus = running.Count;
        }

        return detail;
    }

    private static long Place(QmpHotpluggableCpu place, string name) => place.Props.TryGetValue(name, out var value) ? value : 0;

    private static async Task<string?> AddCpusAsync(IQmpClient client, List<QmpHotpluggableCpu> places, int wanted, int now, CancellationToken cancellationToken)
    {
        var ceiling = places.Sum(place => place.VcpusCount);
        if (wanted > ceiling)
        {
            return Text($"The domain was started with room for {ceiling} processors: it keeps {now}, and has {wanted} from its next start.");
        }

        foreach (var place in places.Where(place => place.QomPath is null).Take(wanted - now))
        {
            var device = new JsonObject { ["driver"] = place.Type, ["id"] = Text($"cpu-{Place(place, "socket-id")}-{Place(place, "core-id")}-{Place(place, "thread-id")}") };
            foreach (var (name, value) in place.Props)
            {
                device[name] = value;
            }

            await client.ExecuteAsync(QmpCommands.DeviceAdd, QmpArguments.Create(device), cancellationToken).ConfigureAwait(false);
        }

        return null;
    }

    private async Task<string?> RemoveCpusAsync(IQmpClient client, List<QmpHotpluggableCpu> places, int wanted, int now, CancellationToken cancellationToken)
    {
        var left = now;
        foreach (var place in places.Where(place => place.QomPath is not null).Reverse().Take(now - wanted))
        {
            if (!await TryRemoveAsync(client, place.QomPath!, place.QomPath!, environment.Options.ResizeTimeout, cancellationToken).ConfigureAwait(false))
            {
                return Text($"The guest keeps {left} processors; it has {wanted} from its next start.");
            }

            left -= place.VcpusCount;
        }

        return null;
    }

    /// <returns>What waits for the next start; <see langword="null"/> when nothing does.</returns>
    private async Task<string?> ResizeMemoryAsync(QemuRun run, IQmpClient client, DataSize wanted, CancellationToken cancellationToken)
    {
        var summary = await client.ExecuteAsync(QmpCommands.QueryMemorySizeSummary, cancellationToken).ConfigureAwait(false);
        var has = new DataSize(summary.BaseMemory + (summary.PluggedMemory ?? 0));
        string? detail = null;
        var target = wanted;
        if (wanted > has)
        {
            (has, detail) = await AddMemoryAsync(run, client, has, wanted, cancellationToken).ConfigureAwait(false);
            target = has < wanted ? has : wanted;
        }

        var reached = await BalloonAsync(client, target, cancellationToken).ConfigureAwait(false);
        lock (_gate)
        {
            run.Memory = reached;
        }

        return detail ?? (reached == target
            ? null
            : Text($"The guest has {reached} of memory and did not follow to {wanted} in time (it needs a balloon driver, and memory to spare); it has {wanted} from its next start."));
    }

    private async Task<(DataSize Has, string? Detail)> AddMemoryAsync(QemuRun run, IQmpClient client, DataSize has, DataSize wanted, CancellationToken cancellationToken)
    {
        var ceiling = Math.Max(run.Record.MaxMemoryBytes, has.Bytes);
        var missing = wanted.Bytes - has.Bytes;
        var dimm = (missing + QemuCommandLine.DimmBytes - 1) / QemuCommandLine.DimmBytes * QemuCommandLine.DimmBytes;
        if (has.Bytes + dimm > ceiling)
        {
            // A DIMM is a multiple of 128 MiB: the last one may not fit although the wish does.
            dimm = (ceiling - has.Bytes) / QemuCommandLine.DimmBytes * QemuCommandLine.DimmBytes;
        }

        string? detail = has.Bytes + dimm < wanted.Bytes
            ? Text($"The domain was started with room for {new DataSize(ceiling)} of memory, added in steps of 128 MiB: it has {new DataSize(has.Bytes + dimm)} now, and {wanted} from its next start.")
            : null;
        if (dimm == 0)
        {
            return (has, detail);
        }

        var free = environment.ReadFreeMemory();
        if (free.Bytes < dimm)
        {
            return (has, Text($"The host has {free.MiB} MiB of memory free: the domain keeps {has}, and has {wanted} from its next start."));
        }

        var name = Guid.NewGuid().ToString("N")[..8];
        await client.ExecuteAsync(
            QmpCommands.ObjectAdd, QmpArguments.Create(new() { ["qom-type"] = "memory-backend-ram", ["id"] = $"ram-{name}", ["size"] = dimm }), cancellationToken).ConfigureAwait(false);
        try
        {
            await client.ExecuteAsync(
                QmpCommands.DeviceAdd, QmpArguments.Create(new() { ["driver"] = "pc-dimm", ["id"] = $"dimm-{name}", ["memdev"] = $"ram-{name}" }), cancellationToken).ConfigureAwait(false);
        }
        catch (Exception exception) when (exception is QmpException or OperationCanceledException)
        {
            await UndoAsync(token => client.ExecuteAsync(QmpCommands.ObjectDel, new() { Id = $"ram-{name}" }, token)).ConfigureAwait(false);
            if (exception is QmpCommandException refused)
            {
                return (has, Text($"QEMU cannot add memory ({refused.Description.TrimEnd('.')}): the domain keeps {has}, and has {wanted} from its next start."));
            }

            throw;
        }

        return (new(has.Bytes + dimm), detail);
    }

    /// <summary>Sets the guest's balloon and waits until it has followed.</summary>
    /// <returns>The memory that the guest has at the end.</returns>
    private async Task<DataSize> BalloonAsync(IQmpClient client, DataSize target, CancellationToken cancellationToken)
    {
        using var changes = client.Subscribe(QmpEventFilter.Named(QmpEventNames.BalloonChange));
        var balloon = await client.ExecuteAsync(QmpCommands.QueryBalloon, cancellationToken).ConfigureAwait(false);
        if (balloon.Actual == target.Bytes)
        {
            return target;
        }

        await client.ExecuteAsync(QmpCommands.Balloon, new() { Value = target.Bytes }, cancellationToken).ConfigureAwait(false);
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        using var timer = environment.Time.CreateTimer(
            static source => ((CancellationTokenSource)source!).Cancel(), deadline, environment.Options.ResizeTimeout, Timeout.InfiniteTimeSpan);
        try
        {
            await foreach (var _ in changes.WithCancellation(deadline.Token).ConfigureAwait(false))
            {
                // Events come at most once a second and may tell of an older value: what counts is asked.
                balloon = await client.ExecuteAsync(QmpCommands.QueryBalloon, cancellationToken).ConfigureAwait(false);
                if (balloon.Actual == target.Bytes)
                {
                    return target;
                }
            }
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            balloon = await client.ExecuteAsync(QmpCommands.QueryBalloon, cancellationToken).ConfigureAwait(false);
        }

        return new(balloon.Actual);
    }
}

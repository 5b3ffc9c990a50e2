using System.Globalization;
using Pengx.Qmp;
using Pengx.Qmp.Qapi;

namespace Pengx.Qemu;

// A guest's memory, kept with its disks of the same instant. The guest stands still from the first byte to the last; between the memory and
// the state of its devices QEMU stops once more, with the disks still its own, and there the overlays are laid.
internal sealed partial class QemuDomain
{
    private const string SaveVerb = "keeping the guest's memory";
    private const string CannotSave = "cannot have its memory kept";

    // More than any disk writes. And what is left when QEMU stops before the devices' state is written while its monitor waits: nothing.
    private const long Unlimited = 1L << 40;

    // What QEMU has when it starts.
    private const long UsualBandwidth = 128L << 20;
    private const ulong UsualDowntime = 300;

    public Task CheckSaveAsync(CancellationToken cancellationToken) => RunVerbAsync(
        SaveVerb,
        async token =>
        {
            var run = RequireRun();
            _ = await DescribeAsync(run, RequireClient(run), CannotSave, token).ConfigureAwait(false);
        },
        cancellationToken);

    public Task SaveMemoryAsync(DiskLocation memory, IReadOnlyList<DiskReplacement> disks, IProgress<ByteProgress>? progress, CancellationToken cancellationToken)
    {
        ReplacementRules.CheckOverlays(disks);
        return RunVerbAsync(SaveVerb, token => SaveCoreAsync(memory, disks, progress, token), cancellationToken);
    }

    public Task StartAsync(DiskLocation memory, CancellationToken cancellationToken) => RunVerbAsync(
        "start",
        async token =>
        {
            using var volume = await MemoryVolume.OpenAsync(memory, forWriting: false, environment.Time, token).ConfigureAwait(false);
            await StartCoreAsync(volume, token).ConfigureAwait(false);
        },
        cancellationToken);

    private async Task SaveCoreAsync(DiskLocation memory, IReadOnlyList<DiskReplacement> disks, IProgress<ByteProgress>? progress, CancellationToken cancellationToken)
    {
        var run = RequireRun();
        var client = RequireClient(run);
        await RequireLetGoAsync(run, client, cancellationToken).ConfigureAwait(false);
        var real = await ReadRealAsync(run, client, cancellationToken).ConfigureAwait(false);
        var left = LeftOf(disks, real);
        if (real.FirstOrDefault(disk => disks.All(one => one.Before.Vdev != disk.Disk.Vdev)) is { } forgotten)
        {
            throw new InvalidFieldException("disks", forgotten.Disk.Vdev, "memory is kept with all disks of the domain.");
        }

        using var volume = await MemoryVolume.OpenAsync(memory, forWriting: true, environment.Time, cancellationToken).ConfigureAwait(false);
        if (left.Count == 0)
        {
            await StoreAsync(run, [.. disks.Select(disk => disk.After)]).ConfigureAwait(false);
            await FinishAsync(client, volume, cancellationToken).ConfigureAwait(false);
            return;
        }

        var guest = await DescribeAsync(run, client, CannotSave, cancellationToken).ConfigureAwait(false);
        await volume.BeginAsync(guest, cancellationToken).ConfigureAwait(false);
        List<string> added = [];
        var isLaid = false;
        try
        {
            var transaction = await PrepareOverlaysAsync(run, client, real, left, added, cancellationToken).ConfigureAwait(false);
            var stood = environment.Time.GetTimestamp();
            await HoldAsync(run, client).ConfigureAwait(false);
            var isTaken = true;
            try
            {
                var state = await client.ExecuteAsync(QmpCommands.QueryStatus, cancellationToken).ConfigureAwait(false);
                if (state.Status != QmpRunState.Paused)
                {
                    // It stopped by itself meanwhile, and could not be let go on from there.
                    throw new WrongStateException($"Domain {id} {CannotSave}: it is in the state {state.Status}.");
                }

                await SetCapabilitiesAsync(client, [MigrationCapability.Events, MigrationCapability.PauseBeforeSwitchover], cancellationToken).ConfigureAwait(false);
                await client.ExecuteAsync(QapiCommands.MigrateSetParameters, new() { MaxBandwidth = Unlimited, DowntimeLimit = 0 }, cancellationToken).ConfigureAwait(false);
                await environment.OnMove(MoveMoment.Keeping).ConfigureAwait(false);
                isTaken = false;
                await client.GetFdAsync(StateName, volume.Handle, cancellationToken).ConfigureAwait(false);
                using var changes = client.Subscribe(QmpEventFilter.Named(MigrationEventName));
                await client.ExecuteAsync(QapiCommands.Migrate, new() { Uri = $"fd:{StateName}" }, cancellationToken).ConfigureAwait(false);
                isTaken = true;
                await FollowSaveAsync(client, changes, MigrationStatus.PreSwitchover, progress, cancellationToken).ConfigureAwait(false);
                cancellationToken.ThrowIfCancellationRequested();

                // The instant. From here on it is seen through: a guest that goes on writes to the overlays.
                _ = await ChangeOverAsync(run, client, disks, left, transaction, quiesce: false, CancellationToken.None).ConfigureAwait(false);
                isLaid = true;
                await environment.OnMove(MoveMoment.Laid).ConfigureAwait(false);
                await client.ExecuteAsync(QapiCommands.MigrateContinue, new() { State = MigrationStatus.PreSwitchover }, CancellationToken.None).ConfigureAwait(false);
                await FollowSaveAsync(client, changes, MigrationStatus.Completed, progress, CancellationToken.None).ConfigureAwait(false);
            }
            finally
            {
                await GoOnHeldAsync(run, client).ConfigureAwait(false);
                if (!isTaken)
                {
                    // What QEMU has open takes its space until QEMU ends.
                    await UndoAsync(token => client.ExecuteAsync(QmpCommands.CloseFd, new() { Fdname = StateName }, token)).ConfigureAwait(false);
                }
            }

            Log.MemoryKept(environment.Logger, id, volume.Position(), (long)environment.Time.GetElapsedTime(stood).TotalMilliseconds);

            // The guest runs by now; the disk has its time.
            await FinishAsync(client, volume, CancellationToken.None).ConfigureAwait(false);
        }
        catch (Exception exception) when (!isLaid && exception is not QmpDisconnectedException)
        {
            await RemoveOverlaysAsync(client, added).ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>Says of memory whose overlays are laid that it is whole. A service that died after the instant may not have come to it; whether
    /// QEMU wrote all, QEMU knows.</summary>
    private async Task FinishAsync(IQmpClient client, MemoryVolume volume, CancellationToken cancellationToken)
    {
        if (await volume.FindAsync(cancellationToken).ConfigureAwait(false) is not { IsWhole: false } begun)
        {
            _ = await volume.ReadAsync(cancellationToken).ConfigureAwait(false);
            return;
        }

        var written = await client.ExecuteAsync(QapiCommands.QueryMigrate, cancellationToken).ConfigureAwait(false);
        if (written.Status != MigrationStatus.Completed || written.Ram is not { Transferred: > 0 and var bytes })
        {
            throw new HypervisorException($"Domain {id}: its memory was not written to the end.");
        }

        await volume.FinishAsync(begun, bytes, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Waits until QEMU has come to a point of writing the guest's state.</summary>
    private async Task FollowSaveAsync(IQmpClient client, QmpEventSubscription changes, MigrationStatus until, IProgress<ByteProgress>? progress, CancellationToken cancellationToken)
    {
        var moved = environment.Time.GetTimestamp();
        long written = -1;
        while (true)
        {
            var info = await client.ExecuteAsync(QapiCommands.QueryMigrate, cancellationToken).ConfigureAwait(false);
            if (info.Ram is { } ram)
            {
                progress?.Report(new(ram.Total - ram.Remaining, ram.Total));
                if (ram.Transferred != written)
                {
                    written = ram.Transferred;
                    moved = environment.Time.GetTimestamp();
                }
            }

            if (info.Status == until)
            {
                return;
            }

            if (info.Status == MigrationStatus.Failed || info.Status == MigrationStatus.Cancelled)
            {
                throw new HypervisorException($"Domain {id}: its memory could not be written: {info.ErrorDesc ?? "QEMU said no reason"}.");
            }

            if (environment.Time.GetElapsedTime(moved) > environment.Options.MigrationStallTimeout)
            {
                throw new HypervisorException(string.Create(
                    CultureInfo.InvariantCulture, $"Domain {id}: keeping its memory was given up: nothing more was written within {environment.Options.MigrationStallTimeout.TotalSeconds:0.#} s."));
            }

            await AwaitChangeAsync(changes, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Lets the guest go on, however far its memory was written.</summary>
    private async Task GoOnHeldAsync(QemuRun run, IQmpClient client)
    {
        try
        {
            using CancellationTokenSource limit = new(s_goOnTimeout, environment.Time);
            await LetGoAsync(run, client, limit.Token).ConfigureAwait(false);
        }
        catch (Exception exception) when (exception is QmpException or OperationCanceledException or IOException or UnauthorizedAccessException)
        {
            Log.SettleFailed(environment.Logger, id, exception);
            if (run.Record.IsHeld && !run.Ended.IsCompleted)
            {
                _ = SettleInBackgroundAsync(run);
            }
        }
    }

    /// <summary>Demands that nobody has left the guest standing still; if so, it is let go first.</summary>
    private async Task RequireLetGoAsync(QemuRun run, IQmpClient client, CancellationToken cancellationToken)
    {
        if (run.Record.IsHeld && !await TrySettleAsync(run, client, cancellationToken).ConfigureAwait(false))
        {
            throw new UnavailableException($"Domain {id} stands still, and could not be let go on yet; try again.");
        }
    }

    private async Task LetGoAsync(QemuRun run, IQmpClient client, CancellationToken cancellationToken)
    {
        var info = await client.ExecuteAsync(QapiCommands.QueryMigrate, cancellationToken).ConfigureAwait(false);
        if (info.Status == MigrationStatus.PreSwitchover)
        {
            // The little that is left makes the memory whole, should the overlays be laid already.
            try
            {
                using var changes = client.Subscribe(QmpEventFilter.Named(MigrationEventName));
                await client.ExecuteAsync(QapiCommands.MigrateContinue, new() { State = MigrationStatus.PreSwitchover }, cancellationToken).ConfigureAwait(false);
                await FollowSaveAsync(client, changes, MigrationStatus.Completed, null, cancellationToken).ConfigureAwait(false);
            }
            catch (Exception exception) when (exception is HypervisorException or QmpCommandException)
            {
                Log.SettleFailed(environment.Logger, id, exception);
            }
        }

        await GoOnCoreAsync(run, client, cancellationToken).ConfigureAwait(false);
        _ = Release(run);
        await client.ExecuteAsync(QapiCommands.MigrateSetParameters, new() { MaxBandwidth = UsualBandwidth, DowntimeLimit = UsualDowntime }, cancellationToken).ConfigureAwait(false);
        await WriteRecordAsync(run, run.Record with { IsHeld = false }, CancellationToken.None).ConfigureAwait(false);
    }

    /// <summary>Reads whose memory it is, and demands that it fits the domain and the host.</summary>
    private async Task<MovingGuest> ReadMemoryAsync(MemoryVolume memory, DomainDefinition definition, string binary, bool useKvm, CancellationToken cancellationToken)
    {
        var guest = (await memory.ReadAsync(cancellationToken).ConfigureAwait(false)).Guest;
        var version = await environment.ReadVersionAsync(binary, cancellationToken).ConfigureAwait(false);
        var trouble = guest switch
        {
            _ when guest.Version != MovingGuest.CurrentVersion => string.Create(CultureInfo.InvariantCulture, $"it was kept in form {guest.Version}, and this service knows {MovingGuest.CurrentVersion}"),
            _ when guest.Id != id.Value => $"it is domain {guest.Id}'s",
            _ when !Version.TryParse(guest.Qemu, out var then) || !Version.TryParse(version, out var now) || now < then => $"it was kept by QEMU {guest.Qemu}, and this is QEMU {version}",
            { HostProcessor: null } when useKvm => "it was kept without KVM, and guests run with it here",
            { HostProcessor: not null } when !useKvm => "it was kept with KVM, and guests run without it here",
            { HostProcessor: { } processor } when processor != HostProcessor.Read() => $"it was kept on a processor {processor}, and this is {HostProcessor.Read()}",
            _ when definition.PciDevices.Count > 0 => "the domain has devices of this host by now",
            _ when Differ(guest.Disks.Select(disk => disk.Disk.Vdev), definition.Disks.Select(disk => disk.Vdev)) => "the domain has other disks by now",
            _ when definition.Nics.FirstOrDefault(nic => guest.Nics.Any(then => MacAddress.Parse(then.Mac) == nic.Mac && then.Bridge is null) && UseBridge(nic)) is { } joined =>
                $"its network interface {joined.Mac} was in no bridge then",
            _ when Differ(guest.Nics.Select(nic => MacAddress.Parse(nic.Mac).ToString()), definition.Nics.Select(nic => nic.Mac.ToString())) => "the domain has other network interfaces by now",
            _ => null,
        };
        return trouble is null ? guest : throw new WrongStateException($"Domain {id} cannot go on with its memory: {trouble}.");

        static bool Differ(IEnumerable<string> then, IEnumerable<string> now) => !then.ToHashSet(StringComparer.Ordinal).SetEquals(now);
    }

    private async Task LoadMemoryAsync(MemoryVolume memory, QemuProcess process, IQmpClient client, CancellationToken cancellationToken)
    {
        var bytes = (await memory.ReadAsync(cancellationToken).ConfigureAwait(false)).Bytes;
        using var changes = client.Subscribe(QmpEventFilter.Named(MigrationEventName));
        await SetCapabilitiesAsync(client, [MigrationCapability.Events], cancellationToken).ConfigureAwait(false);
        await client.GetFdAsync(StateName, memory.Handle, cancellationToken).ConfigureAwait(false);
        await client.ExecuteAsync(QapiCommands.MigrateIncoming, new() { Uri = $"fd:{StateName}" }, cancellationToken).ConfigureAwait(false);
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        using var timer = environment.Time.CreateTimer(static source => ((CancellationTokenSource)source!).Cancel(), patience, MemoryVolume.PatienceFor(bytes), Timeout.InfiniteTimeSpan);
        try
        {
            await FollowLoadAsync(process, changes, patience.Token, cancellationToken).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            throw new HypervisorException($"Domain {id}: QEMU did not take its memory in in time.");
        }

        var state = await client.ExecuteAsync(QmpCommands.QueryStatus, cancellationToken).ConfigureAwait(false);
        if (state.Status != QmpRunState.Paused)
        {
            throw new HypervisorException($"Domain {id} came out of its memory in the state {state.Status}, and not running.");
        }
    }
}

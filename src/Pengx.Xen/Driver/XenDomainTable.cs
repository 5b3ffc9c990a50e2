using System.Globalization;
using Microsoft.Extensions.Logging;

namespace Pengx.Xen;

/// <summary>What Xen says of its domains: read when xenstore tells that one came or went and when somebody asks, one reading at a time, and told
/// as events where it differs from what was said before. All that the driver knows of running domains is here.</summary>
internal sealed class XenDomainTable : IAsyncDisposable
{
    private static readonly TimeSpan s_settling = TimeSpan.FromMilliseconds(500);
    private static readonly TimeSpan s_watchRetry = TimeSpan.FromSeconds(5);

    private readonly XlTool _xl;
    private readonly IXenstoreClient _store;
    private readonly XenDomainPlaces _places;
    private readonly DomainEventHub _events;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly CancellationTokenSource _detached = new();
    private readonly Lock _gate = new();
    private readonly Dictionary<DomainId, XenRun> _runs = [];
    private readonly Dictionary<DomainId, XlListEntry> _rows = [];
    private readonly Dictionary<DomainId, int> _building = [];
    private readonly Dictionary<DomainId, int> _held = [];

    // What was hidden or held at any time since the present reading began: what it read of that may be from then.
    private readonly HashSet<DomainId> _hiddenMeanwhile = [];
    private readonly Dictionary<DomainId, int> _heldMeanwhile = [];
    private readonly HashSet<Task> _background = [];
    private TaskCompletionSource _changed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private Task _reading = Task.CompletedTask;
    private Task? _nextReading;

    public XenDomainTable(XlTool xl, IXenstoreClient store, XenDomainPlaces places, DomainEventHub events, TimeProvider time, ILogger logger)
    {
        _xl = xl;
        _store = store;
        _places = places;
        _events = events;
        _time = time;
        _logger = logger;
    }

    /// <summary>Builds a guest again whose domain wants it and that no monitor of xl looks after. Set once, before the start.</summary>
    public required Func<DomainId, CancellationToken, Task> Rebuild { get; init; }

    /// <summary>Sets the watches up and reads for the first time.</summary>
    /// <param name="cancellationToken">Ends the start.</param>
    public async Task StartAsync(CancellationToken cancellationToken)
    {
        foreach (var path in new[] { XenstorePath.IntroduceDomain, XenstorePath.ReleaseDomain })
        {
            var watch = await _store.WatchAsync(path, cancellationToken: cancellationToken).ConfigureAwait(false);
            Run(() => WatchAsync(watch));
        }

        await ReadAsync(cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Reads the domains anew: what is known when this returns is no older than the call.</summary>
    /// <param name="cancellationToken">Ends the wait, not the reading.</param>
    /// <exception cref="UnavailableException">Xen does not answer.</exception>
    public Task ReadAsync(CancellationToken cancellationToken)
    {
        lock (_gate)
        {
            _nextReading ??= Task.Run(() => ReadNextAsync(_reading), CancellationToken.None);
            return _nextReading.WaitAsync(cancellationToken);
        }
    }

    /// <summary>The guest's run as last read; <see langword="null"/> when it does not run and has not crashed.</summary>
    /// <param name="id">The domain.</param>
    public XenRun? Find(DomainId id)
    {
        lock (_gate)
        {
            return _runs.GetValueOrDefault(id);
        }
    }

    public IReadOnlyList<XenRun> List()
    {
        lock (_gate)
        {
            return [.. _runs.Values];
        }
    }

    /// <summary>Every domain of this UUID that Xen still has, as last read: dying ones and ones that ended, too.</summary>
    /// <param name="id">The domain.</param>
    public XlListEntry? FindRow(DomainId id)
    {
        lock (_gate)
        {
            return _rows.GetValueOrDefault(id);
        }
    }

    /// <summary>Whether another domain has a name.</summary>
    /// <param name="name">The name.</param>
    /// <param name="id">The domain that wants it.</param>
    public bool IsNameTaken(string name, DomainId id)
    {
        lock (_gate)
        {
            return _rows.Values.Any(row => row.Name == name && row.Id != id);
        }
    }

    /// <summary>Waits until a run is as wanted. Does not read by itself: whoever changes something does.</summary>
    /// <param name="id">The domain.</param>
    /// <param name="isReached">What is wanted; asked under a lock.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    public async Task<XenRun?> WaitAsync(DomainId id, Func<XenRun?, bool> isReached, CancellationToken cancellationToken)
    {
        while (true)
        {
            Task changed;
            lock (_gate)
            {
                var run = _runs.GetValueOrDefault(id);
                if (isReached(run))
                {
                    return run;
                }

                changed = _changed.Task;
            }

            await changed.WaitAsync(cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Says that a domain's processors stand still for a moment of ours: nobody shall see it paused.</summary>
    /// <param name="id">The domain.</param>
    /// <param name="domain">Its number.</param>
    public void Hold(DomainId id, int domain)
    {
        lock (_gate)
        {
            _held[id] = domain;
            _heldMeanwhile[id] = domain;
        }
    }

    /// <summary>Whether <see cref="Hold"/> has not ended.</summary>
    /// <param name="id">The domain.</param>
    public bool IsHeld(DomainId id)
    {
        lock (_gate)
        {
            return _held.ContainsKey(id);
        }
    }

    /// <summary>Ends <see cref="Hold"/>: whatever state it is in by now is seen with the next reading.</summary>
    /// <param name="id">The domain.</param>
    public void Release(DomainId id)
    {
        lock (_gate)
        {
            _held.Remove(id);
        }
    }

    /// <summary>Keeps a domain out of sight while it is being built: a half-built one looks paused.</summary>
    /// <param name="id">The domain.</param>
    /// <returns>Ends it.</returns>
    public IDisposable HideWhileBuilt(DomainId id)
    {
        lock (_gate)
        {
            _building[id] = _building.GetValueOrDefault(id) + 1;
            _hiddenMeanwhile.Add(id);
        }

        return new Hiding(this, id);
    }

    /// <summary>Lets go of everything.</summary>
    public async ValueTask DisposeAsync()
    {
        await _detached.CancelAsync().ConfigureAwait(false);
        Task[] background;
        lock (_gate)
        {
            background = [.. _background, _reading, _nextReading ?? Task.CompletedTask];
        }

        await Task.WhenAll(background).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _detached.Dispose();
    }

    private static VmState? StateOf(XlListEntry? row) => row?.State.Activity switch
    {
        XlDomainActivity.Running => VmState.Running,
        XlDomainActivity.Paused => VmState.Paused,
        XlDomainActivity.Crashed => VmState.Crashed,
        _ => null,
    };

    private async Task WatchAsync(XenstoreWatch watch)
    {
        await using (((IAsyncDisposable)watch).ConfigureAwait(false))
        {
            // A gap is a reason to look, as every change is.
            await foreach (var _ in watch.WithCancellation(_detached.Token).ConfigureAwait(false))
            {
                while (watch.TryRead(out var more) && more.Path == watch.Path)
                {
                }

                while (!await TryReadAsync().ConfigureAwait(false))
                {
                    await Task.Delay(s_watchRetry, _time, _detached.Token).ConfigureAwait(false);
                }
            }
        }
    }

    private async Task<bool> TryReadAsync()
    {
        try
        {
            await ReadAsync(_detached.Token).ConfigureAwait(false);
            return true;
        }
        catch (PengxException exception)
        {
            Log.ReadingFailed(_logger, exception);
            return false;
        }
    }

    private async Task ReadNextAsync(Task before)
    {
        await before.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        lock (_gate)
        {
            // Who asks from here on may know of more than this reading will see.
            _reading = _nextReading!;
            _nextReading = null;
            _hiddenMeanwhile.Clear();
            _hiddenMeanwhile.UnionWith(_building.Keys);
            _heldMeanwhile.Clear();
            foreach (var (id, domain) in _held)
            {
                _heldMeanwhile[id] = domain;
            }
        }

        var rows = await _xl.ListAsync(_detached.Token).ConfigureAwait(false);

        // One UUID may have two domains for a moment: the one that goes and the one that comes.
        var byId = rows.Where(row => row is { Domain: > 0, Id: not null })
            .GroupBy(row => row.Id!.Value)
            .ToDictionary(group => group.Key, group => group.OrderBy(row => row.State.Activity == XlDomainActivity.Dying).ThenByDescending(row => row.Domain).First());
        var starts = await ReadStartsAsync(byId).ConfigureAwait(false);
        lock (_gate)
        {
            _rows.Clear();
            foreach (var (id, row) in byId)
            {
                _rows[id] = row;
            }

            foreach (var id in byId.Keys.Concat(_runs.Keys).Distinct().ToList())
            {
                Apply(id, byId.GetValueOrDefault(id), starts.GetValueOrDefault(id));
            }
        }
    }

    private async Task<Dictionary<DomainId, DateTimeOffset>> ReadStartsAsync(Dictionary<DomainId, XlListEntry> rows)
    {
        Dictionary<DomainId, DateTimeOffset> starts = [];
        foreach (var (id, row) in rows)
        {
            if (Find(id) is { StartedAt: not null } run && run.Domain == row.Domain)
            {
                continue;
            }

            try
            {
                // Seconds since 1970, with a fraction (libxl writes it when it builds the domain).
                var value = await _store.FindAsync($"/vm/{id}/start_time", _detached.Token).ConfigureAwait(false);
                if (value is { } text && double.TryParse(text.ToString(), NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var seconds))
                {
                    starts[id] = DateTimeOffset.UnixEpoch.AddSeconds(seconds);
                }
            }
            catch (XenstoreException exception)
            {
                Log.StartTimeUnknown(_logger, id, exception);
            }
        }

        return starts;
    }

    private void Apply(DomainId id, XlListEntry? row, DateTimeOffset startedAt)
    {
        if (_hiddenMeanwhile.Contains(id))
        {
            return;
        }

        var run = _runs.GetValueOrDefault(id);
        var state = StateOf(row);
        if (run is { IsAlive: true } && row is not null && row.Domain != run.Domain && state == VmState.Paused)
        {
            // xl is still building it, even where the old one's end was not seen.
            Leave(run);
            return;
        }

        if (state == VmState.Paused && _heldMeanwhile.TryGetValue(id, out var held) && held == row!.Domain)
        {
            state = VmState.Running;
        }

        if (state is { } now)
        {
            var next = new XenRun
            {
                Id = id,
                Domain = row!.Domain,
                State = now,
                Cpus = row.Cpus,
                Memory = row.Memory,
                CpuTime = row.CpuTime,
                StartedAt = run?.Domain == row.Domain && run.StartedAt is { } known ? known : startedAt == default ? null : startedAt,
            };
            Set(next);
            if (EventOf(run, next) is { } kind)
            {
                Publish(id, kind, now);
            }

            if (run is null && now == VmState.Paused)
            {
                // Xen tells of a domain when it is half built, and does not tell when its processors are let go.
                Run(() => FollowNewAsync(next));
            }
        }
        else if (run is { State: VmState.Crashed } && row is null or { State.Activity: XlDomainActivity.Dying })
        {
            Remove(id);
        }
        else if (run is { IsAlive: true })
        {
            Leave(run);
        }
        else if (run is null && row is { State: { Activity: XlDomainActivity.Shutdown, Reason: not XlShutdownReason.Suspend } } && _places.IsOurs(id))
        {
            // It ended while nobody looked, and its monitor is gone.
            var found = new XenRun { Id = id, Domain = row.Domain, State = VmState.Running, IsLeaving = true };
            Set(found);
            Run(() => FollowLeavingAsync(found));
        }
    }

    private void Leave(XenRun run)
    {
        if (!run.IsLeaving)
        {
            var leaving = run with { IsLeaving = true };
            Set(leaving);
            Run(() => FollowLeavingAsync(leaving));
        }
    }

    private static DomainEventKind? EventOf(XenRun? before, XenRun now) => (before, now.State) switch
    {
        ({ State: VmState.Crashed } old, VmState.Crashed) when old.Domain == now.Domain => null,
        (_, VmState.Crashed) => DomainEventKind.Crashed,
        (null or { IsAlive: false }, _) => DomainEventKind.Started,
        ({ } old, _) when old.Domain != now.Domain => DomainEventKind.Rebooted,
        ({ State: VmState.Running }, VmState.Paused) => DomainEventKind.Paused,
        ({ State: VmState.Paused }, VmState.Running) => DomainEventKind.Resumed,
        _ => null,
    };

    /// <summary>Follows a domain whose guest has left: its monitor destroys it, or builds it again under another number.</summary>
    private async Task FollowLeavingAsync(XenRun run)
    {
        var places = _places.Of(run.Id);
        var isOrphaned = false;
        using var patience = new CancellationTokenSource(_places.RebuildTimeout, _time);
        using var ends = CancellationTokenSource.CreateLinkedTokenSource(patience.Token, _detached.Token);
        try
        {
            while ((XenProcesses.FindMonitors(places).Count > 0 || IsSuspended(run.Id)) && IsLeaving(run.Id))
            {
                await Task.Delay(s_settling, _time, ends.Token).ConfigureAwait(false);
                _ = await TryReadAsync().ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException) when (!_detached.IsCancellationRequested)
        {
            Log.RebuildTookTooLong(_logger, run.Id);
            if (!IsSuspended(run.Id))
            {
                // It would build the guest when that has counted as stopped, from what it knew at the guest's end.
                foreach (var monitor in XenProcesses.FindMonitors(places))
                {
                    isOrphaned = true;
                    await XenProcesses.EndAsync(monitor, _detached.Token).ConfigureAwait(false);
                }
            }
        }

        while (!await TryReadAsync().ConfigureAwait(false))
        {
            await Task.Delay(s_watchRetry, _time, _detached.Token).ConfigureAwait(false);
        }

        var isRebuilt = false;
        if (IsLeaving(run.Id) && !IsSuspended(run.Id) && FindRow(run.Id) is { } row && _places.IsOurs(run.Id))
        {
            XlShutdownReason? reason = row.State.Activity switch
            {
                XlDomainActivity.Shutdown => row.State.Reason,

                // What the monitor had built when it was ended.
                XlDomainActivity.Paused when isOrphaned && row.Domain != run.Domain => XlShutdownReason.Reboot,
                _ => null,
            };
            isRebuilt = reason is { } why && await ReapAsync(run.Id, row, why).ConfigureAwait(false);
        }

        lock (_gate)
        {
            if (!isRebuilt && _runs.GetValueOrDefault(run.Id) is { IsLeaving: true })
            {
                Remove(run.Id);
            }
        }
    }

    /// <summary>Does what xl's monitor would have done, had it lived.</summary>
    /// <returns>Whether the guest runs again.</returns>
    private async Task<bool> ReapAsync(DomainId id, XlListEntry row, XlShutdownReason reason)
    {
        Log.Reaping(_logger, id, row.Domain, reason);
        try
        {
            await _xl.RunAsync(XlCommand.Destroy(row.Domain), id, _detached.Token).ConfigureAwait(false);
            if (reason is not (XlShutdownReason.Reboot or XlShutdownReason.SoftReset))
            {
                await ReadAsync(_detached.Token).ConfigureAwait(false);
                return false;
            }

            await Rebuild(id, _detached.Token).ConfigureAwait(false);
            await ReadAsync(_detached.Token).ConfigureAwait(false);
            return true;
        }
        catch (PengxException exception)
        {
            Log.ReapingFailed(_logger, id, exception);
            return false;
        }
    }

    private async Task FollowNewAsync(XenRun run)
    {
        using var patience = new CancellationTokenSource(_places.RebuildTimeout, _time);
        using var ends = CancellationTokenSource.CreateLinkedTokenSource(patience.Token, _detached.Token);
        while (Find(run.Id) is { State: VmState.Paused } now && now.Domain == run.Domain && !ends.IsCancellationRequested)
        {
            await Task.Delay(s_settling, _time, ends.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            _ = await TryReadAsync().ConfigureAwait(false);
        }
    }

    private bool IsLeaving(DomainId id) => Find(id) is { IsLeaving: true };

    // Its memory is being moved to another host or saved: whoever does that ends it or lets it go on, nobody else.
    private bool IsSuspended(DomainId id) => FindRow(id) is { State: { Activity: XlDomainActivity.Shutdown, Reason: XlShutdownReason.Suspend } };

    private void Set(XenRun run)
    {
        _runs[run.Id] = run;
        Change();
    }

    private void Remove(DomainId id)
    {
        _runs.Remove(id);
        Publish(id, DomainEventKind.Stopped, VmState.Shutdown);
        Change();
    }

    private void Publish(DomainId id, DomainEventKind kind, VmState state)
    {
        Log.Changed(_logger, id, kind);
        _events.Publish(new(id, kind, state, _time.GetUtcNow()));
    }

    private void Change()
    {
        var changed = _changed;
        _changed = new(TaskCreationOptions.RunContinuationsAsynchronously);
        changed.SetResult();
    }

    private void Run(Func<Task> work)
    {
        // On the pool: this may be called under the lock.
        var task = Task.Run(work);
        lock (_gate)
        {
            _background.Add(task);
        }

        _ = ForgetAsync();

        async Task ForgetAsync()
        {
            await task.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (task.Exception?.InnerException is { } failure && !_detached.IsCancellationRequested)
            {
                Log.FollowingFailed(_logger, failure);
            }

            lock (_gate)
            {
                _background.Remove(task);
            }
        }
    }

    private sealed class Hiding(XenDomainTable table, DomainId id) : IDisposable
    {
        private bool _isOver;

        public void Dispose()
        {
            lock (table._gate)
            {
                if (!_isOver)
                {
                    _isOver = true;
                    if (--table._building[id] == 0)
                    {
                        table._building.Remove(id);
                    }
                }
            }
        }
    }
}

/// <summary>Where the files of domains lie, and which domains are this driver's.</summary>
internal sealed class XenDomainPlaces(XenOptions options)
{
    public TimeSpan RebuildTimeout => options.RebuildTimeout;

    public XenFiles Of(DomainId id) => new(options.StateDirectory, options.RunDirectory, id);

    public bool IsOurs(DomainId id) => Of(id).IsDefined;

    public IEnumerable<DomainId> ListDefined() => Directory.Exists(options.StateDirectory)
        ? Directory.EnumerateDirectories(options.StateDirectory)
            .Select(path => DomainId.TryParse(Path.GetFileName(path), out var id) && Path.GetFileName(path) == id.ToString() ? id : (DomainId?)null)
            .OfType<DomainId>()
            .Where(IsOurs)
        : [];
}

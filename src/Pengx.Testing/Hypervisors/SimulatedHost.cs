using System.Threading.Channels;

namespace Pengx.Testing;

/// <summary>The world behind a <see cref="SimulatedHypervisor"/>: a host with its guests and stored configurations. It outlives
/// the drivers made on it, as guests outlive the service, so a test restarts the service by making another driver.</summary>
/// <param name="timeProvider">The clock; the system's when not given.</param>
public sealed class SimulatedHost(TimeProvider? timeProvider = null)
{
    private const int EventBuffer = 1024;
    private const int FirstVncPort = 5900;

    private readonly Lock _gate = new();
    private readonly Dictionary<DomainId, DomainDefinition> _definitions = [];
    private readonly Dictionary<DomainId, Running> _running = [];
    private readonly Dictionary<DomainId, SimulatedGuest> _guests = [];
    private readonly List<Channel<DomainEvent>> _watchers = [];
    private readonly Dictionary<SimulatedVerb, Func<DomainId?, CancellationToken, Task>> _interceptors = [];
    private readonly List<(SimulatedVerb Verb, Exception Error)> _faults = [];

    /// <summary>The clock.</summary>
    public TimeProvider TimeProvider { get; } = timeProvider ?? TimeProvider.System;

    /// <summary>The host's processors.</summary>
    public int Cpus { get; set; } = 16;

    /// <summary>The host's memory.</summary>
    public DataSize Memory { get; set; } = DataSize.FromGiB(64);

    /// <summary>Whether the hypervisor answers at all; while it does not, every call is an <see cref="UnavailableException"/>.</summary>
    public bool Reachable { get; set; } = true;

    /// <summary>Tells whether an image exists, where starts and plugs shall look; every image does when not set.</summary>
    public Func<DiskLayer, bool>? ImageExists { get; set; }

    /// <summary>Tells the size of an image where <see cref="Storage"/> is not set; nothing is known of it when this is not set either.</summary>
    public Func<DiskLayer, DataSize>? ImageSize { get; set; }

    /// <summary>The storage that holds the images, where guests' writes and live work on disks shall move content in it.</summary>
    public InMemoryStorage? Storage { get; set; }

    /// <summary>Whether the driver notes which blocks guests change.</summary>
    public bool NotesChanges { get; set; } = true;

    /// <summary>Whether the driver keeps the memory of guests.</summary>
    public bool KeepsMemory { get; set; } = true;

    /// <summary>Other hosts that running guests can be moved to, by their names; with none the driver cannot move guests.</summary>
    public IDictionary<string, SimulatedHost> Peers { get; } = new Dictionary<string, SimulatedHost>(StringComparer.Ordinal);

    /// <summary>How a new guest behaves before its test says otherwise.</summary>
    public Action<SimulatedGuest>? NewGuest { get; set; }

    /// <summary>The guest of a domain, whether it runs or not.</summary>
    /// <param name="id">The domain.</param>
    public SimulatedGuest Guest(DomainId id)
    {
        lock (_gate)
        {
            if (!_guests.TryGetValue(id, out var guest))
            {
                guest = new(this, id);
                NewGuest?.Invoke(guest);
                _guests.Add(id, guest);
            }

            return guest;
        }
    }

    /// <summary>Lets the next call of a verb fail before it does anything.</summary>
    /// <param name="verb">The verb.</param>
    /// <param name="error">What it throws.</param>
    /// <param name="times">How many calls fail.</param>
    public void FailNext(SimulatedVerb verb, Exception error, int times = 1)
    {
        ArgumentNullException.ThrowIfNull(error);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(times);
        lock (_gate)
        {
            _faults.AddRange(Enumerable.Repeat((verb, error), times));
        }
    }

    /// <summary>Runs something before every call of a verb: to count, to hold it up, to fail it by its own rule.</summary>
    /// <param name="verb">The verb.</param>
    /// <param name="interceptor">What to run, with the domain where there is one; <see langword="null"/> for nothing any more.</param>
    public void Before(SimulatedVerb verb, Func<DomainId?, CancellationToken, Task>? interceptor)
    {
        lock (_gate)
        {
            if (interceptor is null)
            {
                _interceptors.Remove(verb);
            }
            else
            {
                _interceptors[verb] = interceptor;
            }
        }
    }

    /// <summary>Whether a domain has an image open, in any layer: one that runs or is paused, and one that has crashed and is kept.</summary>
    /// <param name="location">The image.</param>
    public bool IsOpen(DiskLocation location)
    {
        lock (_gate)
        {
            return _running.Values
                .Any(running => running.Disks.Any(disk => disk.Layers.Any(layer => layer.Location == location)));
        }
    }

    internal async Task EnterAsync(SimulatedVerb verb, DomainId? id, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        Func<DomainId?, CancellationToken, Task>? interceptor;
        lock (_gate)
        {
            if (!Reachable)
            {
                throw new UnavailableException("The simulated hypervisor does not answer.");
            }

            interceptor = _interceptors.GetValueOrDefault(verb);
            var fault = _faults.FindIndex(fault => fault.Verb == verb);
            if (fault >= 0)
            {
                var error = _faults[fault].Error;
                _faults.RemoveAt(fault);
                throw error;
            }
        }

        if (interceptor is not null)
        {
            await interceptor(id, cancellationToken);
        }
    }

    internal T WithRunning<T>(DomainId id, Func<Running, T> read, T otherwise)
    {
        lock (_gate)
        {
            return _running.TryGetValue(id, out var running) && running.IsAlive ? read(running) : otherwise;
        }
    }

    internal T Locked<T>(Func<T> read)
    {
        lock (_gate)
        {
            return read();
        }
    }

    internal Dictionary<DomainId, DomainDefinition> Definitions => _definitions;

    internal Dictionary<DomainId, Running> Domains => _running;

    internal DataSize UsedMemory => new(_running.Values.Where(running => running.IsAlive).Sum(running => running.Memory.Bytes));

    /// <summary>What was kept of guests' memory, by where it lies.</summary>
    internal Dictionary<DiskLocation, (DomainId Domain, string? Remembered)> Memories { get; } = [];

    internal void Start(DomainId id)
    {
        lock (_gate)
        {
            if (!_definitions.TryGetValue(id, out var definition))
            {
                throw new NotFoundException("configuration of domain", id.ToString());
            }

            if (_running.TryGetValue(id, out var running) && running.IsAlive)
            {
                return;
            }

            if (definition.Disks.SelectMany(disk => disk.Layers).FirstOrDefault(layer => ImageExists?.Invoke(layer) == false) is { } missing)
            {
                throw new HypervisorException($"Could not open '{missing.Location}': No such file or directory");
            }

            var free = Memory - UsedMemory;
            if (definition.Memory > free)
            {
                throw new InsufficientResourceException($"{definition.Name} needs {definition.Memory.MiBCeiling} MiB of memory; {free.MiB} MiB are free on this host.");
            }

            var ports = _running.Values.Where(other => other.IsAlive).Select(other => other.VncPort).ToHashSet();
            _running[id] = new Running
            {
                Definition = definition,
                Name = definition.Name,
                Cpus = definition.Cpus,
                Memory = definition.Memory,
                StartedAt = TimeProvider.GetUtcNow(),
                VncPort = Enumerable.Range(FirstVncPort, ports.Count + 1).First(port => !ports.Contains(port)),
                Disks = [.. definition.Disks],
                Nics = [.. definition.Nics],
            };
            Guest(id).Starts++;
            Publish(id, DomainEventKind.Started, VmState.Running);
        }
    }

    internal void End(DomainId id, VmState state)
    {
        lock (_gate)
        {
            if (!_running.TryGetValue(id, out var running) || !running.IsAlive)
            {
                if (state == VmState.Shutdown)
                {
                    _running.Remove(id);
                }

                return;
            }

            running.State = state;
            if (state == VmState.Shutdown)
            {
                _running.Remove(id);
            }

            running.Ended.TrySetResult();
            Publish(id, state == VmState.Crashed ? DomainEventKind.Crashed : DomainEventKind.Stopped, state);
        }
    }

    internal bool RebootGuest(DomainId id)
    {
        lock (_gate)
        {
            if (!_running.TryGetValue(id, out var running) || !running.IsAlive)
            {
                return false;
            }

            running.ShutdownRequested = false;
            if (_definitions.TryGetValue(id, out var definition))
            {
                running.Disks = [.. definition.Disks];
            }

            Publish(id, DomainEventKind.Rebooted, VmState.Running);
            return true;
        }
    }

    internal void Write(DomainId id, string vdev, string content)
    {
        lock (_gate)
        {
            var disk = Alive(id).Disks.FirstOrDefault(disk => disk.Vdev == vdev) ?? throw new ArgumentException($"The domain has no disk {vdev}.", nameof(vdev));
            Storage?.Write(disk.Layers[0], content);
        }
    }

    internal void Replace(DomainId id, IReadOnlyList<DomainDisk> disks)
    {
        var running = Alive(id);
        running.Disks = [.. running.Disks.Select(disk => disks.FirstOrDefault(after => after.Vdev == disk.Vdev) ?? disk)];
        if (_definitions.TryGetValue(id, out var definition))
        {
            _definitions[id] = ReplacementRules.Apply(definition, disks);
        }
    }

    internal void SetPaused(DomainId id, bool paused)
    {
        lock (_gate)
        {
            var running = Alive(id);
            var state = paused ? VmState.Paused : VmState.Running;
            if (running.State != state)
            {
                running.State = state;
                Publish(id, paused ? DomainEventKind.Paused : DomainEventKind.Resumed, state);
            }
        }
    }

    internal Running Leave(DomainId id)
    {
        lock (_gate)
        {
            var running = Alive(id);
            _running.Remove(id);
            running.Ended.TrySetResult();
            Publish(id, DomainEventKind.Stopped, VmState.Shutdown);
            return running;
        }
    }

    internal void Arrive(DomainId id, Running running)
    {
        lock (_gate)
        {
            _running[id] = running.Moved();
            Guest(id).Starts++;
            Publish(id, DomainEventKind.Started, running.State);
        }
    }

    internal Running Alive(DomainId id) =>
        _running.TryGetValue(id, out var running) && running.IsAlive ? running : throw new WrongStateException($"Domain {id} does not run.");

    internal (ChannelReader<DomainEvent> Reader, Action Leave) Watch()
    {
        var channel = Channel.CreateBounded<DomainEvent>(new BoundedChannelOptions(EventBuffer) { FullMode = BoundedChannelFullMode.DropOldest });
        lock (_gate)
        {
            _watchers.Add(channel);
        }

        return (channel.Reader, () =>
        {
            lock (_gate)
            {
                _watchers.Remove(channel);
            }

            channel.Writer.TryComplete();
        });
    }

    internal void Publish(DomainId id, DomainEventKind kind, VmState state)
    {
        var happened = new DomainEvent(id, kind, state, TimeProvider.GetUtcNow());
        foreach (var watcher in _watchers)
        {
            watcher.Writer.TryWrite(happened);
        }
    }

    internal sealed class Running
    {
        public required DomainDefinition Definition { get; init; }

        public required string Name { get; set; }

        public required int Cpus { get; set; }

        public required DataSize Memory { get; set; }

        public required DateTimeOffset StartedAt { get; init; }

        public required int VncPort { get; init; }

        public required List<DomainDisk> Disks { get; set; }

        public required List<DomainNic> Nics { get; init; }

        public VmState State { get; set; } = VmState.Running;

        public bool ShutdownRequested { get; set; }

        /// <summary>What the guest remembers, as long as it runs.</summary>
        public string? Remembered { get; set; }

        public TaskCompletionSource Ended { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        /// <summary>What was noted of each layer since a backup: what the layer showed when the note was begun. The notes end with the guest.</summary>
        public Dictionary<(DiskLayer Layer, BackupId Since), SimulatedNote> Notes { get; } = [];

        /// <summary>The same guest on another host.</summary>
        public Running Moved() => new()
        {
            Definition = Definition,
            Name = Name,
            Cpus = Cpus,
            Memory = Memory,
            StartedAt = StartedAt,
            VncPort = VncPort,
            Disks = Disks,
            Nics = Nics,
            State = State,
            Remembered = Remembered,
        };

        public bool IsAlive => State is VmState.Running or VmState.Paused;

        public DomainStatus Status(DomainId id) =>
            new() { Id = id, State = State, Cpus = Cpus, Memory = Memory, StartedAt = StartedAt };
    }

    internal sealed record SimulatedNote(InMemoryStorage.Shown? Before, string? Fault);
}

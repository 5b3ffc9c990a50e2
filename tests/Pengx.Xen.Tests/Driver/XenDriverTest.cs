using System.Globalization;
using Pengx.Testing;

namespace Pengx.Xen.Tests;

/// <summary>A driver on a <see cref="FakeXen"/>.</summary>
public abstract class XenDriverTest : IAsyncDisposable
{
    private readonly CancellationTokenSource _stop = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
    private readonly List<IAsyncDisposable> _open = [];

    /// <summary>Makes the host.</summary>
    /// <param name="speed">How many times as fast as the world the clock of the driver and of the host goes.</param>
    protected XenDriverTest(double speed = 3)
    {
        _stop.CancelAfter(TimeSpan.FromMinutes(2));
        Clock = new(speed);
        Store = FakeXenstoreServer.Listen(Folder.At("xs"));
        Xen = new(Folder, Store, Clock);
    }

    /// <summary>No call of a test waits for ever.</summary>
    protected CancellationToken Stop => _stop.Token;

    private protected TemporaryFolder Folder { get; } = new();

    private protected FastClock Clock { get; }

    private protected FakeXenstoreServer Store { get; }

    private protected FakeXen Xen { get; }

    public async ValueTask DisposeAsync()
    {
        foreach (var open in Enumerable.Reverse(_open))
        {
            await open.DisposeAsync();
        }

        await Xen.DisposeAsync();
        await Store.DisposeAsync();
        Folder.Dispose();
        _stop.Dispose();
        GC.SuppressFinalize(this);
    }

    private protected XenHypervisorDriver CreateDriver(Action<XenOptions>? configure = null)
    {
        XenOptions options = new()
        {
            StateDirectory = Folder.At("state"),
            RunDirectory = Folder.At("run"),
            XenstorePath = Folder.At("xs"),
            RebootInterval = TimeSpan.FromSeconds(1),
        };
        configure?.Invoke(options);
        XenHypervisorDriver driver = new(options, Xen, Clock);
        _open.Add(driver);
        return driver;
    }

    /// <summary>Closes something at the end, after what was opened later.</summary>
    private protected void Open(IAsyncDisposable opened) => _open.Add(opened);

    private protected async Task<XenHypervisorDriver> StartDriverAsync(Action<XenOptions>? configure = null)
    {
        var driver = CreateDriver(configure);
        await driver.StartAsync(Stop);
        return driver;
    }

    /// <summary>A guest that can be started: one disk, one interface, a console.</summary>
    private protected DomainDefinition Define(string name = "web")
    {
        var definition = new DomainDefinition
        {
            Id = DomainId.New(),
            Name = name,
            Cpus = 1,
            MaxCpus = 2,
            Memory = DataSize.FromMiB(64),
            MaxMemory = DataSize.FromMiB(128),
            Disks = [Disk(0)],
            Nics = [new() { Mac = MacAddress.NewXen(), Switch = FakeXen.Bridge }],
            VncPassword = "secret42",
        };
        return definition;
    }

    private protected DomainDisk Disk(int index, DiskFormat format = DiskFormat.Raw)
    {
        var id = DiskId.New();
        var path = Folder.At($"{id}.{(format == DiskFormat.Raw ? "raw" : "qcow2")}");
        File.WriteAllBytes(path, []);
        return new() { Id = id, Layers = [new(new FileLocation(path), format)], Vdev = Vdev.At(index) };
    }

    /// <summary>Defines a guest and starts it.</summary>
    private protected async Task<DomainId> RunAsync(XenHypervisorDriver driver, DomainDefinition definition)
    {
        await driver.Domains.DefineAsync(definition, Stop);
        await driver.Domains.StartAsync(definition.Id, Stop);
        return definition.Id;
    }

    private protected async Task<VmState?> StateAsync(XenHypervisorDriver driver, DomainId id) => (await driver.Domains.FindAsync(id, Stop))?.State;

    private protected string ConfigurationOf(DomainId id) => Path.Combine(Folder.At("state"), id.ToString(), "xl.cfg");

    private protected string SocketOf(DomainId id) => Path.Combine(Folder.At("run"), $"{id}.qmp");

    private protected SeenEvents Watch(XenHypervisorDriver driver, DomainId id) => new(driver, id, Stop);

    /// <summary>Waits for what another thread brings about; bounded.</summary>
    private protected Task EventuallyAsync(Func<bool> condition, string what) => EventuallyAsync(() => Task.FromResult(condition()), what);

    private protected async Task EventuallyAsync(Func<Task<bool>> condition, string what)
    {
        using PeriodicTimer timer = new(TimeSpan.FromMilliseconds(5));
        while (!await condition())
        {
            try
            {
                await timer.WaitForNextTickAsync(Stop);
            }
            catch (OperationCanceledException)
            {
                Assert.Fail($"Not in time: {what}");
            }
        }
    }

    private protected static string Number(int number) => number.ToString(CultureInfo.InvariantCulture);
}

/// <summary>The events of one domain, in order.</summary>
internal sealed class SeenEvents : IAsyncDisposable
{
    private readonly CancellationTokenSource _ends;
    private readonly IAsyncEnumerator<DomainEvent> _events;
    private readonly DomainId _id;

    public SeenEvents(XenHypervisorDriver driver, DomainId id, CancellationToken stop)
    {
        _ends = CancellationTokenSource.CreateLinkedTokenSource(stop);
        _id = id;
        _events = driver.WatchAsync(_ends.Token).GetAsyncEnumerator(_ends.Token);
    }

    /// <summary>The next event must be this one.</summary>
    public async Task ExpectAsync(params IEnumerable<DomainEventKind> kinds)
    {
        foreach (var kind in kinds)
        {
            do
            {
                Assert.True(await _events.MoveNextAsync(), $"The events ended before {kind}.");
            }
            while (_events.Current.Domain != _id);

            Assert.Equal(kind, _events.Current.Kind);
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _ends.CancelAsync();
        try
        {
            await _events.DisposeAsync();
        }
        catch (OperationCanceledException)
        {
            // It ends this way.
        }

        _ends.Dispose();
    }
}

/// <summary>Something that a test holds up: who comes to it is noticed, and waits.</summary>
internal sealed class Gate
{
    private readonly TaskCompletionSource _reached = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _opened = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public bool IsReached => _reached.Task.IsCompleted;

    public Task PassAsync(CancellationToken cancellationToken = default)
    {
        _reached.TrySetResult();
        return _opened.Task.WaitAsync(cancellationToken);
    }

    public Task ReachedAsync(CancellationToken cancellationToken) => _reached.Task.WaitAsync(cancellationToken);

    public void Open() => _opened.TrySetResult();
}

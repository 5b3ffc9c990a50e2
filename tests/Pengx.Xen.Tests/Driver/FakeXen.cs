using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;
using Pengx.Testing;

namespace Pengx.Xen.Tests;

/// <summary>
/// A Xen host in the test's own process: it answers xl's command lines as the real xl 4.17 did (<c>Recorded</c>), keeps in xenstore what libxl
/// keeps there, and has guests that do what the test says. The processes that stand behind a domain, xl's monitor and QEMU, are real ones.
/// </summary>
internal sealed partial class FakeXen : IProcessRunner, IAsyncDisposable
{
    /// <summary>A network device that every host has: the only bridge here.</summary>
    public const string Bridge = "lo";

    private readonly Lock _gate = new();
    private readonly TemporaryFolder _folder;
    private readonly FakeXenstoreServer _store;
    private readonly TimeProvider _clock;
    private readonly List<FakeXenDomain> _domains = [];
    private readonly List<IReadOnlyList<string>> _calls = [];
    private readonly HashSet<Task> _acting = [];
    private readonly CancellationTokenSource _ends = new();
    private readonly List<StandInProcess> _strays = [];
    private int _last;

    public FakeXen(TemporaryFolder folder, FakeXenstoreServer store, TimeProvider clock)
    {
        _folder = folder;
        _store = store;
        _clock = clock;
        store.Changed = Hear;
    }

    public FakeGuest Guests { get; } = new();

    /// <summary>What Xen can: the line of <c>xl info</c>.</summary>
    public string Capabilities { get; set; } = "pv hvm hap gnttab-v1 gnttab-v2";

    /// <summary>MiB of free memory that the next readings tell, before it is what the domains leave.</summary>
    public Queue<long> FreeMemoryTold { get; } = [];

    /// <summary>What a command waits for before it is carried out.</summary>
    public Func<IReadOnlyList<string>, CancellationToken, Task>? Before { get; set; }

    /// <summary>What an answer waits for before it is told.</summary>
    public Func<IReadOnlyList<string>, CancellationToken, Task>? After { get; set; }

    /// <summary>What the making of a domain waits for while it is half done; an exception of it ends xl as a kill would, and leaves the half.</summary>
    public Func<FakeXenDomain, CancellationToken, Task>? WhileBuilt { get; set; }

    /// <summary>What a monitor waits for before it does something about a guest that ended.</summary>
    public Func<Task>? BeforeCleanup { get; set; }

    /// <summary>What a monitor waits for between the end of a rebooting guest's domain and the making of the next: xl waits two seconds.</summary>
    public Func<Task>? WhileGone { get; set; }

    /// <summary>Told of what a guest heard in <c>control/shutdown</c>, before it does it.</summary>
    public Action<string>? Heard { get; set; }

    /// <summary>Answers commands in place of this host where it returns an answer: the exit code and what is said on standard error.</summary>
    public Func<IReadOnlyList<string>, (int ExitCode, string Error)?>? Instead { get; set; }

    /// <summary>All command lines so far.</summary>
    public IReadOnlyList<IReadOnlyList<string>> Calls
    {
        get
        {
            lock (_gate)
            {
                return [.. _calls];
            }
        }
    }

    public IReadOnlyList<FakeXenDomain> Domains
    {
        get
        {
            lock (_gate)
            {
                return [.. _domains];
            }
        }
    }

    public FakeXenDomain? Find(DomainId id) => Domains.LastOrDefault(domain => domain.Id == id);

    public FakeXenDomain Get(DomainId id) => Find(id) ?? throw new InvalidOperationException($"There is no domain {id}.");

    public IReadOnlyList<IReadOnlyList<string>> CallsOf(string verb) => [.. Calls.Where(call => call[0] == verb)];

    public async Task<ProcessResult> RunAsync(ProcessCommand command, CancellationToken cancellationToken = default)
    {
        var arguments = command.Arguments;
        lock (_gate)
        {
            _calls.Add(arguments);
        }

        await Task.Yield();
        cancellationToken.ThrowIfCancellationRequested();
        if (Before is { } before)
        {
            await before(arguments, cancellationToken);
        }

        if (Instead?.Invoke(arguments) is { } answer)
        {
            return new(command, answer.ExitCode, "", answer.Error);
        }

        if (arguments is ["pause" or "unpause", var paused] && Domains.FirstOrDefault(domain => Number(domain.Number) == paused) is { Machine: { } machine })
        {
            await machine.SwitchAsync(arguments[0] == "pause");
        }

        var (code, output, error) = arguments[0] == "create"
            ? await CreateAsync(arguments, cancellationToken)
            : Answer(arguments);
        if (After is { } after)
        {
            await after(arguments, cancellationToken);
        }

        return new(command, code, output, error);
    }

    /// <summary>What a real guest has said, through all its domains.</summary>
    public string SerialOf(DomainId id) => _folder.At($"{id}.serial");

    /// <summary>Lets a guest end, as Xen notices it.</summary>
    /// <param name="number">The domain.</param>
    /// <param name="reason">Why, as xl's letter: <c>-</c> power-off, <c>r</c> reboot, <c>s</c> suspend, <c>c</c> crash, <c>w</c> watchdog.</param>
    public void End(int number, char reason)
    {
        FakeXenDomain? domain;
        lock (_gate)
        {
            domain = _domains.Find(other => other.Number == number && other.Reason is null);
            if (domain is null)
            {
                return;
            }

            domain.Reason = reason;
        }

        TellEnd();
        Act(() => MonitorAsync(domain));
    }

    /// <summary>Ends xl's monitor of a domain, as <c>systemctl stop</c> does without <c>KillMode=process</c>.</summary>
    public void KillMonitor(DomainId id) => Get(id).Monitor!.End();

    /// <summary>Takes a domain away without a word.</summary>
    public void Vanish(DomainId id) => Remove(Get(id));

    /// <summary>Lets the memory go that zombies hold.</summary>
    public void LetZombiesGo()
    {
        lock (_gate)
        {
            _domains.RemoveAll(domain => domain.IsDying);
        }

        TellEnd();
    }

    /// <summary>Makes a domain as somebody else's <c>xl create</c> would.</summary>
    /// <param name="id">Its UUID.</param>
    /// <param name="name">Its name.</param>
    /// <param name="isPaused">Whether its processors stand still.</param>
    public FakeXenDomain AddForeign(DomainId id, string name, bool isPaused = false)
    {
        XlConfigDocument document = new();
        document.Set("name", name);
        document.Set("uuid", id.ToString());
        document.Set("type", "pv");
        document.Set("memory", 32);
        FakeXenDomain domain;
        lock (_gate)
        {
            domain = Make(document, "/etc/xen/foreign.cfg");
            domain.IsPaused = isPaused;
        }

        _store.FireSpecial("@introduceDomain");
        return domain;
    }

    public async ValueTask DisposeAsync()
    {
        _store.Changed = null;
        await _ends.CancelAsync();
        Task[] acting;
        lock (_gate)
        {
            acting = [.. _acting];
        }

        await Task.WhenAll(acting).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        foreach (var domain in Domains)
        {
            domain.Machine?.Dispose();
        }

        foreach (var process in Domains.SelectMany(domain => new[] { domain.Monitor, domain.Qemu }).OfType<StandInProcess>().Concat(_strays))
        {
            process.Dispose();
        }

        _ends.Dispose();
    }

    /// <summary>Throws what a guest or monitor ran into, so that no test passes by it.</summary>
    public async Task QuiesceAsync()
    {
        Task[] acting;
        lock (_gate)
        {
            acting = [.. _acting];
        }

        await Task.WhenAll(acting);
    }

    [GeneratedRegex(@"^/local/domain/(\d+)/control/shutdown$")]
    private static partial Regex ControlNode { get; }

    private static string Number(int number) => number.ToString(CultureInfo.InvariantCulture);

    private void Hear(string path)
    {
        if (ControlNode.Match(path) is { Success: true } match)
        {
            // A guest is another processor's affair.
            Act(() => GuestHearsAsync(int.Parse(match.Groups[1].ValueSpan, CultureInfo.InvariantCulture)));
        }
    }

    private Task GuestHearsAsync(int number)
    {
        var node = $"/local/domain/{Number(number)}/control/shutdown";
        if (!Guests.HasXenDrivers || Domains.All(domain => domain.Number != number || domain.IsPaused || domain.Reason is not null) || _store.Read(node) is not { Length: > 0 } word)
        {
            return Task.CompletedTask;
        }

        _store.Write(node, "");
        Heard?.Invoke(word);
        if (Guests.Obeys)
        {
            End(number, word == "reboot" ? 'r' : '-');
        }

        return Task.CompletedTask;
    }

    private async Task MonitorAsync(FakeXenDomain domain)
    {
        if (BeforeCleanup is { } cleanup)
        {
            await cleanup().WaitAsync(_ends.Token);
        }

        if (domain.Monitor is not { IsAlive: true } monitor || domain.Reason == 's')
        {
            return;
        }

        if (domain.Reason is 'c' or 'w')
        {
            // on_crash=preserve: it has nothing more to do.
            monitor.End();
            return;
        }

        // What Remove ends with a domain is not this one.
        domain.Monitor = null;
        lock (_gate)
        {
            _strays.Add(monitor);
        }

        Remove(domain);
        if (domain.Reason == 'r')
        {
            if (WhileGone is { } gone)
            {
                await gone().WaitAsync(_ends.Token);
            }

            if (monitor.IsAlive)
            {
                var document = domain.Stored is { } text ? XlConfigDocument.Parse(text) : domain.Document;
                var (code, _, _) = await BuildAsync(document, domain.ConfigurationPath, monitor, _ends.Token);
                if (code == 0)
                {
                    return;
                }
            }
        }

        monitor.Dispose();
    }

    private void Act(Func<Task> act)
    {
        lock (_gate)
        {
            _acting.RemoveWhere(task => task.IsCompletedSuccessfully);
            _acting.Add(Task.Run(act));
        }
    }

    private void TellEnd() => _store.FireSpecial("@releaseDomain");

    private long FreeMiB()
    {
        lock (_gate)
        {
            return FreeMemoryTold.TryDequeue(out var told) ? told : 4032 - _domains.Sum(domain => domain.Memory.MiB);
        }
    }

    private string List()
    {
        var heading = Recorded.Read("xl/006").Output.Split('\n')[0];
        StringBuilder output = new($"{heading}\n");
        Row("Domain-0", 0, 2048, 2, "r-----", 53.3, Guid.Empty);
        foreach (var domain in Domains)
        {
            Row(domain.Name ?? "(null)", domain.Number, domain.Memory.MiB, domain.Cpus, domain.State, domain.CpuTime.TotalSeconds, Guid.Parse(domain.Id.ToString()));
        }

        return output.ToString();

        void Row(string name, int number, long memory, int cpus, string state, double seconds, Guid id) => output.Append(
            CultureInfo.InvariantCulture, $"{name,-40} {number,5} {memory,5} {cpus,5}     {state}  {seconds,8:F1} {id} {"-",8} {"-",16}\n");
    }

    private string Info()
    {
        var told = Recorded.Read("xl/002").Output;
        told = Regex.Replace(told, "(?m)^free_memory +:.*$", string.Create(CultureInfo.InvariantCulture, $"free_memory            : {FreeMiB()}"));
        return Regex.Replace(told, "(?m)^virt_caps +:.*$", $"virt_caps              : {Capabilities}");
    }
}

using System.Globalization;

namespace Pengx.Xen.Tests;

// xl's verbs. What they say is what the recorded xl said, with this host's numbers and names in it.
internal sealed partial class FakeXen
{
    /// <summary>Why the hotplug script fails that plugs an interface in while the guest runs: xl says 0 all the same.</summary>
    public string? HotplugError { get; set; }

    /// <summary>Whether an interface that is plugged in is nowhere to be seen afterwards, although xl says 0.</summary>
    public bool DropsNics { get; set; }

    private static (int Code, string Output, string Error) Done => (0, "", "");

    /// <summary>What the real xl said.</summary>
    private static (int Code, string Output, string Error) Say(string recorded, params (string Here, string There)[] names)
    {
        var said = Recorded.Read(recorded);
        var error = said.Error;
        foreach (var (here, there) in names)
        {
            error = error.Replace(here, there, StringComparison.Ordinal);
        }

        return (said.ExitCode, said.Output, error);
    }

    private (int Code, string Output, string Error) Answer(IReadOnlyList<string> arguments)
    {
        switch (arguments.ToArray())
        {
            case ["list", "-v"]:
                return (0, List(), "");
            case ["info"]:
                return (0, Info(), "");
            case ["config-update", var number, "-f", var path]:
                return With(number, domain =>
                {
                    domain.Stored = File.ReadAllText(path);
                    return Say("xl/050", ("dom1", $"dom{number}"));
                });
            case ["destroy", var number]:
                return With(number, domain =>
                {
                    Remove(domain);
                    return Done;
                });
            case ["pause" or "unpause", var number]:
                return With(number, domain =>
                {
                    // Both say 0, whatever came of it.
                    if (Guests.CanBePaused)
                    {
                        domain.IsPaused = arguments[0] == "pause";
                        return Done;
                    }

                    return (0, "", Say("xl/117").Error);
                });
            case ["rename", var number, var name]:
                return With(number, domain =>
                {
                    if (_domains.Exists(other => other != domain && other.Name == name))
                    {
                        return Say("xl/123", ("Domain 1:", $"Domain {number}:"), ("Domain-0", name), ("'pv1'", $"'{number}'"));
                    }

                    domain.Name = name;
                    Write($"{domain.Path}/name", name);
                    return Done;
                });
            case ["vcpu-set", "-i", var number, var cpus]:
                return With(number, domain => SetCpus(domain, int.Parse(cpus, CultureInfo.InvariantCulture)));
            case ["mem-set", var number, [.. var mebibytes, 'm']]:
                return With(number, domain => SetMemory(domain, DataSize.FromMiB(long.Parse(mebibytes, CultureInfo.InvariantCulture))));
            case ["block-attach", var number, var specification]:
                return With(number, domain => AttachDisk(domain, XlDisk.Parse(specification)));
            case ["block-detach", var number, var vdev]:
                return With(number, domain => DetachDisk(domain, vdev, force: false));
            case ["block-detach", "--force", var number, var vdev]:
                return With(number, domain => DetachDisk(domain, vdev, force: true));
            case ["network-attach", var number, .. var keys]:
                return With(number, domain =>
                {
                    if (!DropsNics)
                    {
                        // xl reads a key of each argument, and only one.
                        AddNic(domain, XlVif.Parse(string.Join(',', keys.Select(key => key.Split(',')[0]))), isHotplugged: true);
                    }

                    return Done;
                });
            case ["network-detach", var number, var mac]:
                return With(number, domain => DetachNic(domain, mac));
            case ["trigger", var number, "power" or "reset"]:
                return With(number, domain => Press(domain, arguments[2]));
            case ["migrate", .., "-C", var path, "-s", _, var number, _]:
                return With(number, domain =>
                {
                    domain.Stored = File.ReadAllText(path);
                    Remove(domain);
                    return Say("migrate/03-migrate");
                });
            default:
                return Say("xl/009");
        }
    }

    private (int Code, string Output, string Error) With(string number, Func<FakeXenDomain, (int Code, string Output, string Error)> act)
    {
        lock (_gate)
        {
            return _domains.Find(domain => Number(domain.Number) == number && !domain.IsDying) is { } domain
                ? act(domain)
                : Say("xl/183", ("nosuch", number));
        }
    }

    private (int Code, string Output, string Error) SetCpus(FakeXenDomain domain, int cpus)
    {
        for (var cpu = 0; cpu < domain.Configuration.MaxCpus; cpu++)
        {
            Write($"{domain.Path}/cpu/{Number(cpu)}/availability", cpu < cpus ? "online" : "offline");
        }

        if (Guests.FollowsCpus)
        {
            domain.Cpus = cpus;
        }

        return Done;
    }

    private (int Code, string Output, string Error) SetMemory(FakeXenDomain domain, DataSize memory)
    {
        if (memory > domain.Configuration.MaxMemory)
        {
            return Say("xl/092", ("Domain 1:", $"Domain {domain.Number}:"), ("domid 1 ", $"domid {domain.Number} "), ("4096", Number((int)memory.MiB)));
        }

        var target = memory - domain.VideoMemory;
        Write($"{domain.Path}/memory/target", Kibibytes(target));
        if (Guests.FollowsMemory)
        {
            domain.Memory = target;
        }

        return Done;
    }

    private (int Code, string Output, string Error) AttachDisk(FakeXenDomain domain, XlDisk disk)
    {
        if (_store.Read($"{domain.Record}/device/vbd/{Number(DeviceNumber(disk.Vdev))}/dev") is not null)
        {
            return Say("xl/063", ("Domain 1:", $"Domain {domain.Number}:"));
        }

        if (!File.Exists(disk.Target))
        {
            return Say("xl/067", ("xvde", disk.Vdev), ("/srv/guest/none.qcow2", disk.Target));
        }

        AddDisk(domain, disk);
        return Done;
    }

    private (int Code, string Output, string Error) DetachDisk(FakeXenDomain domain, string vdev, bool force)
    {
        var number = Number(DeviceNumber(vdev));
        if (_store.Read($"{domain.Record}/device/vbd/{number}/dev") is null)
        {
            return Say("xl/072", ("/libxl/1/", $"{domain.Record}/"), ("51728", number), ("xvdb", vdev));
        }

        if (!force && !Guests.LetsDevicesGo)
        {
            return Guests.IsRefusalTold ? (1, "", "libxl_device_disk_safe_remove failed.\n") : Done;
        }

        RemoveDisk(domain, number);
        return Done;
    }

    private (int Code, string Output, string Error) DetachNic(FakeXenDomain domain, string mac)
    {
        for (var index = 0; index < 16; index++)
        {
            if (_store.Read($"{domain.Record}/device/vif/{Number(index)}/mac") == mac)
            {
                if (Guests.LetsDevicesGo)
                {
                    RemoveNic(domain, Number(index));
                }

                return Done;
            }
        }

        return Say("xl/085", ("Unknown device 7", $"Unknown device {mac}"));
    }

    private (int Code, string Output, string Error) Press(FakeXenDomain domain, string button)
    {
        if (domain.Configuration.Kind != XlGuestKind.Hvm)
        {
            return Say("xl/131", ("Domain 1:", $"Domain {domain.Number}:"), ("'power'", $"'{button}'"));
        }

        // The power button is the guest's affair, the reset button is not.
        if (button == "reset" || Guests.Obeys)
        {
            var number = domain.Number;
            Act(() =>
            {
                End(number, button == "reset" ? 'r' : '-');
                return Task.CompletedTask;
            });
        }

        return Done;
    }
}

using System.Globalization;

namespace Pengx.Xen.Tests;

// How domains come and go, and what libxl writes into xenstore of them and their devices.
internal sealed partial class FakeXen
{
    private async Task<(int Code, string Output, string Error)> CreateAsync(IReadOnlyList<string> arguments, CancellationToken cancellationToken)
    {
        var path = arguments[^1];
        if (!File.Exists(path))
        {
            return Say("xl/039", ("/nonexistent.cfg", path));
        }

        XlConfigDocument document;
        try
        {
            document = XlConfigDocument.Parse(await File.ReadAllTextAsync(path, CancellationToken.None));
        }
        catch (XlConfigException)
        {
            return Say("xl/040", ("bad.cfg", path));
        }

        return await BuildAsync(document, path, null, cancellationToken);
    }

    private async Task<(int Code, string Output, string Error)> BuildAsync(XlConfigDocument document, string path, StandInProcess? monitor, CancellationToken cancellationToken)
    {
        var configuration = XlDomainConfig.Read(document);
        FakeXenDomain domain;
        lock (_gate)
        {
            if (_domains.Exists(other => other.Name == configuration.Name))
            {
                return Say("xl/038", ("\"pv1\"", $"\"{configuration.Name}\""), ("Domain 2:", $"Domain {++_last}:"));
            }

            if (configuration.Disks.FirstOrDefault(disk => disk.Target.Length > 0 && !File.Exists(disk.Target)) is { } missing)
            {
                return Say("xl/044", ("/srv/guest/missing.qcow2", missing.Target), ("Domain 5:", $"Domain {++_last}:"));
            }

            if (configuration.Memory!.Value.MiB > 4032 - _domains.Sum(other => other.Memory.MiB))
            {
                return Say("xl/042", ("Domain 3:", $"Domain {++_last}:"));
            }

            domain = Make(document, path);
        }

        if (Guests.HasQemu)
        {
            // libxl starts it before the domain runs; it makes its own sockets.
            var arguments = document.FindTexts("device_model_args");
            domain.Qemu = StandInProcess.Start(_folder, "qemu-system-i386", ["-xen-domid", Number(domain.Number), .. arguments]);
            var monitorSocket = arguments[1]["unix:".Length..].Split(',')[0];
            if (Guests.Blocks is { } blocks)
            {
                blocks.Listen(monitorSocket, () => domain.IsPaused);
            }
            else
            {
                await File.WriteAllTextAsync(monitorSocket, "", CancellationToken.None);
            }
        }

        if (Guests.RunsMachines)
        {
            var socket = document.FindTexts("device_model_args")[1]["unix:".Length..].Split(',')[0];
            domain.Machine = await FakeMachine.StartAsync(configuration, socket, SerialOf(domain.Id), Guests.EmulatesDrives);
        }

        _store.FireSpecial("@introduceDomain");
        if (WhileBuilt is { } building)
        {
            try
            {
                await building(domain, cancellationToken);
            }
            catch (XlFailure failure)
            {
                return (failure.ExitCode, "", failure.Message);
            }
        }

        if (configuration.Vifs.FirstOrDefault(vif => vif.Bridge is { } bridge && bridge != Bridge) is { Bridge: var wrong })
        {
            Remove(domain);
            return Say("xl/043", ("nobridge9", wrong!), ("Domain 4:", $"Domain {domain.Number}:"));
        }

        lock (_gate)
        {
            foreach (var disk in configuration.Disks)
            {
                AddDisk(domain, disk);
            }

            foreach (var vif in configuration.Vifs)
            {
                AddNic(domain, vif, isHotplugged: false);
            }

            domain.Monitor = monitor ?? StandInProcess.Start(_folder, "xl", "create", "-q", "-f", path);
            domain.IsPaused = false;
        }

        return (0, "", "");
    }

    /// <summary>A domain whose processors stand still and that has no device yet.</summary>
    private FakeXenDomain Make(XlConfigDocument document, string path)
    {
        FakeXenDomain domain = new(++_last, document, path) { IsPaused = true };
        var configuration = domain.Configuration;
        domain.Name = configuration.Name;
        domain.Cpus = configuration.Cpus;
        domain.Memory = configuration.Memory!.Value;
        _domains.Add(domain);
        var started = (_clock.GetUtcNow() - DateTimeOffset.UnixEpoch).TotalSeconds;
        Write($"/vm/{domain.Id}/name", configuration.Name!);
        Write($"/vm/{domain.Id}/uuid", domain.Id.ToString());
        Write($"/vm/{domain.Id}/start_time", started.ToString("F2", CultureInfo.InvariantCulture));
        Write($"{domain.Record}/type", configuration.Kind.ToString().ToLowerInvariant());
        Write($"{domain.Path}/vm", $"/vm/{domain.Id}");
        Write($"{domain.Path}/name", configuration.Name!);
        Write($"{domain.Path}/domid", Number(domain.Number));
        Write($"{domain.Path}/memory/static-max", Kibibytes(configuration.MaxMemory!.Value));
        Write($"{domain.Path}/memory/target", Kibibytes(configuration.Memory.Value - domain.VideoMemory));
        Write($"{domain.Path}/memory/videoram", Kibibytes(domain.VideoMemory));
        for (var cpu = 0; cpu < configuration.MaxCpus; cpu++)
        {
            Write($"{domain.Path}/cpu/{Number(cpu)}/availability", cpu < configuration.Cpus ? "online" : "offline");
        }

        Write($"{domain.Path}/control/shutdown", "");
        if (Guests.HasXenDrivers)
        {
            Write($"{domain.Path}/control/feature-poweroff", "1");
            Write($"{domain.Path}/control/feature-reboot", "1");
        }

        if (document.FindNumber("vnc") == 1)
        {
            Write($"{domain.Path}/console/vnc-listen", document.FindText("vnclisten")!);
            Write($"{domain.Path}/console/vnc-port", Number(5900 + domain.Number));
        }

        return domain;
    }

    /// <summary>Ends a domain, with its monitor and QEMU.</summary>
    private void Remove(FakeXenDomain domain)
    {
        lock (_gate)
        {
            if (!_domains.Contains(domain))
            {
                return;
            }

            Forget(domain.Path);
            Forget(domain.Record);
            foreach (var kind in (string[])["vbd", "qdisk", "vif"])
            {
                Forget($"/local/domain/0/backend/{kind}/{Number(domain.Number)}");
            }

            if (!_domains.Exists(other => other != domain && other.Id == domain.Id))
            {
                Forget($"/vm/{domain.Id}");
            }

            domain.Monitor?.Dispose();
            domain.Monitor = null;
            domain.Machine?.Dispose();
            domain.Machine = null;
            if (domain.Qemu is { } qemu)
            {
                domain.Qemu = null;
                if (Guests.DoesQemuOutlive)
                {
                    _strays.Add(qemu);
                }
                else
                {
                    qemu.Dispose();
                }
            }

            if (Guests.LeavesZombie)
            {
                domain.Name = null;
                domain.IsDying = true;
            }
            else
            {
                _domains.Remove(domain);
            }
        }

        TellEnd();
    }

    private void AddDisk(FakeXenDomain domain, XlDisk disk)
    {
        var number = Number(DeviceNumber(disk.Vdev));
        var kind = disk.BackendType == "phy" ? "vbd" : "qdisk";
        var backend = $"/local/domain/0/backend/{kind}/{Number(domain.Number)}/{number}";
        foreach (var place in (string[])[$"{domain.Record}/device/vbd/{number}", backend])
        {
            Write($"{place}/frontend", $"{domain.Path}/device/vbd/{number}");
            Write($"{place}/params", kind == "vbd" ? disk.Target : $"{(disk.Format == "qcow2" ? "qcow2" : "aio")}:{disk.Target}");
            Write($"{place}/dev", disk.Vdev);
            Write($"{place}/type", kind == "vbd" ? "phy" : "qdisk");
            Write($"{place}/mode", disk.ReadOnly ? "r" : "w");
            Write($"{place}/device-type", disk.IsCdrom ? "cdrom" : "disk");
            Write($"{place}/discard-enable", disk.ReadOnly ? "0" : "1");
        }

        Write($"{domain.Record}/device/vbd/{number}/backend", backend);
        Write($"{domain.Record}/device/vbd/{number}/state", "1");
        Write($"{backend}/hotplug-status", "connected");
        Write($"{backend}/state", Guests.ConnectsDevices ? "4" : "2");
    }

    private void RemoveDisk(FakeXenDomain domain, string number)
    {
        Forget(_store.Read($"{domain.Record}/device/vbd/{number}/backend")!);
        Forget($"{domain.Record}/device/vbd/{number}");
    }

    private void AddNic(FakeXenDomain domain, XlVif vif, bool isHotplugged)
    {
        var index = 0;
        while (_store.Read($"{domain.Record}/device/vif/{Number(index)}/mac") is not null)
        {
            index++;
        }

        var backend = $"/local/domain/0/backend/vif/{Number(domain.Number)}/{Number(index)}";
        foreach (var place in (string[])[$"{domain.Record}/device/vif/{Number(index)}", backend])
        {
            Write($"{place}/frontend", $"{domain.Path}/device/vif/{Number(index)}");
            Write($"{place}/handle", Number(index));
            Write($"{place}/mac", vif.Mac!.Value.ToString());
            Write($"{place}/bridge", vif.Bridge ?? "xenbr0");
        }

        Write($"{domain.Record}/device/vif/{Number(index)}/backend", backend);
        if (isHotplugged && HotplugError is { } error)
        {
            Write($"{backend}/hotplug-error", error);
            Write($"{backend}/hotplug-status", "error");
        }
        else
        {
            Write($"{backend}/hotplug-status", "connected");
        }

        Write($"{backend}/state", Guests.ConnectsDevices && HotplugError is null ? "4" : "2");
    }

    private void RemoveNic(FakeXenDomain domain, string index)
    {
        Forget($"/local/domain/0/backend/vif/{Number(domain.Number)}/{index}");
        Forget($"{domain.Record}/device/vif/{index}");
    }

    // xen-vbd-interface(7): xvda to xvdp in major 202, the others above; IDE in 3 and 22.
    private static int DeviceNumber(string vdev) => vdev switch
    {
        ['x', 'v', 'd', <= 'p' and var letter] => (202 << 8) | ((letter - 'a') << 4),
        ['x', 'v', 'd', var letter] => (1 << 28) | ((letter - 'a') << 8),
        ['h', 'd', >= 'c' and var letter] => (22 << 8) | ((letter - 'c') << 6),
        ['h', 'd', var letter] => (3 << 8) | ((letter - 'a') << 6),
        _ => throw new ArgumentOutOfRangeException(nameof(vdev), vdev, "No such device."),
    };

    private static string Kibibytes(DataSize size) => (size.Bytes / 1024).ToString(CultureInfo.InvariantCulture);

    private void Write(string path, string value) => _store.Write(path, value);

    private void Forget(string path)
    {
        if (_store.Read(path) is not null)
        {
            _store.Remove(path);
        }
    }
}

/// <summary>Ends a command of a <see cref="FakeXen"/> halfway.</summary>
internal sealed class XlFailure(int exitCode, string error) : Exception(error)
{
    public int ExitCode { get; } = exitCode;
}

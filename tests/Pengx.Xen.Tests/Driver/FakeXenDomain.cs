using System.Globalization;

namespace Pengx.Xen.Tests;

/// <summary>What the guests of a <see cref="FakeXen"/> do.</summary>
internal sealed class FakeGuest
{
    /// <summary>Whether they have Xen's drivers: they say so in xenstore, and hear what is asked there.</summary>
    public bool HasXenDrivers { get; set; } = true;

    /// <summary>Whether they do what they are asked: shut down, reboot.</summary>
    public bool Obeys { get; set; } = true;

    /// <summary>Whether they take up devices.</summary>
    public bool ConnectsDevices { get; set; } = true;

    /// <summary>Whether they let devices go.</summary>
    public bool LetsDevicesGo { get; set; } = true;

    /// <summary>Whether xl says that a guest has not let a disk go; otherwise it says nothing.</summary>
    public bool IsRefusalTold { get; set; } = true;

    public bool FollowsCpus { get; set; } = true;

    public bool FollowsMemory { get; set; } = true;

    /// <summary>Whether their processors can be stopped and let go; xl says nothing when they cannot.</summary>
    public bool CanBePaused { get; set; } = true;

    /// <summary>Whether something on the host keeps their memory when they are destroyed.</summary>
    public bool LeavesZombie { get; set; }

    /// <summary>Whether they have a QEMU (a process), and whether that outlives its domain.</summary>
    public bool HasQemu { get; set; }

    public bool DoesQemuOutlive { get; set; }

    /// <summary>What the monitor of their QEMU says of their disks; nobody answers there where it is not set.</summary>
    public FakeBlocks? Blocks { get; set; }

    /// <summary>Whether they are real guests, each in a QEMU of its own.</summary>
    public bool RunsMachines { get; set; }

    /// <summary>Whether a real guest's first disk is behind an emulated drive, too, as before an HVM guest's own driver takes over.</summary>
    public bool EmulatesDrives { get; set; }
}

/// <summary>A domain of a <see cref="FakeXen"/>.</summary>
internal sealed class FakeXenDomain(int number, XlConfigDocument document, string configurationPath)
{
    public int Number { get; } = number;

    public XlConfigDocument Document { get; } = document;

    public XlDomainConfig Configuration { get; } = XlDomainConfig.Read(document);

    public string ConfigurationPath { get; } = configurationPath;

    public DomainId Id => Configuration.Id!.Value;

    public string? Name { get; set; }

    public int Cpus { get; set; }

    public DataSize Memory { get; set; }

    /// <summary>What an HVM guest's memory has in it that its balloon never moves.</summary>
    public DataSize VideoMemory => Configuration.Kind == XlGuestKind.Hvm ? DataSize.FromMiB(8) : default;

    public TimeSpan CpuTime { get; set; } = TimeSpan.FromSeconds(1.5);

    public bool IsPaused { get; set; }

    /// <summary>Why its guest ended, as xl's letter for it; null while it has not.</summary>
    public char? Reason { get; set; }

    public bool IsDying { get; set; }

    /// <summary>What <c>xl config-update</c> stored.</summary>
    public string? Stored { get; set; }

    public StandInProcess? Monitor { get; set; }

    public StandInProcess? Qemu { get; set; }

    public FakeMachine? Machine { get; set; }

    public string Path => string.Create(CultureInfo.InvariantCulture, $"/local/domain/{Number}");

    public string Record => string.Create(CultureInfo.InvariantCulture, $"/libxl/{Number}");

    public string State => string.Concat(
        IsPaused || IsDying || Reason is not null ? "--" : "-b",
        IsPaused || IsDying ? "p" : "-",
        Reason is null ? "--" : $"s{Reason}",
        IsDying ? "d" : "-");
}

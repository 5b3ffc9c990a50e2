using System.Globalization;
using System.Xml;
using System.Xml.Linq;
using System.Xml.Serialization;
using Pengx.Client;

namespace Pengx.Benchmarks.Xml;

/// <summary>The list of 10 000 machines, written and read by this project's codec, by XmlSerializer and by XLinq.</summary>
internal static class XmlListComparison
{
    private const int Machines = 10_000;
    private const int Rounds = 15;

    public static async Task RunAsync()
    {
        var machines = Enumerable.Range(0, Machines).Select(Machine).ToList();
        var document = new MemoryStream();
        await PengxXml.WriteListAsync(document, PengxShapes.Machine, machines.ToAsyncEnumerable());
        var bytes = document.ToArray();
        var serializer = new XmlSerializer(typeof(VmList));
        var list = (VmList)serializer.Deserialize(XmlReader.Create(new MemoryStream(bytes)))!;
        Console.WriteLine($"{Machines} machines, {bytes.Length / 1024} KiB of XML; median processor time of {Rounds} rounds, allocated per round");

        await MeasureAsync("write, Pengx", () => PengxXml.WriteListAsync(Stream.Null, PengxShapes.Machine, machines.ToAsyncEnumerable()));
        await MeasureAsync("write, XmlSerializer", () => Done(() =>
        {
            using var writer = XmlWriter.Create(Stream.Null);
            serializer.Serialize(writer, list);
        }));
        await MeasureAsync("write, XLinq", () => Done(() => Element(machines).Save(Stream.Null, SaveOptions.DisableFormatting)));

        await MeasureAsync("read, Pengx, item by item", async () =>
        {
            var count = 0;
            await foreach (var machine in PengxXml.ReadListAsync(new MemoryStream(bytes), PengxShapes.Machine))
            {
                count += machine.Nics.Count;
            }

            Check(count);
        });
        await MeasureAsync("read, Pengx, whole list", async () => Check((await PengxXml.ReadListAsync(new MemoryStream(bytes), PengxShapes.Machine).ToListAsync()).Sum(machine => machine.Nics.Count)));
        await MeasureAsync("read, XmlSerializer", () => Done(() => Check(((VmList)serializer.Deserialize(XmlReader.Create(new MemoryStream(bytes)))!).Items.Sum(vm => vm.Nics.Count))));
        await MeasureAsync("read, XLinq", () => Done(() => Check(XElement.Load(new MemoryStream(bytes)).Elements("vm").Select(Resource).Sum(vm => vm.Nics.Count))));

        // What any reader must allocate that gives out these objects.
        await HeldAsync("the result itself, Pengx", async () => await PengxXml.ReadListAsync(new MemoryStream(bytes), PengxShapes.Machine).ToListAsync());
        await HeldAsync("the result itself, XmlSerializer", () => Task.FromResult(serializer.Deserialize(XmlReader.Create(new MemoryStream(bytes)))!));
    }

    /// <summary>How much more is held with a result than without.</summary>
    private static async Task HeldAsync(string name, Func<Task<object>> read)
    {
        var without = GC.GetTotalMemory(forceFullCollection: true);
        var result = await read();
        var held = GC.GetTotalMemory(forceFullCollection: true) - without;
        GC.KeepAlive(result);
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{name,-31}          {held / 1024.0,13:#,0} KiB"));
    }

    private static MachineResource Machine(int number) => new()
    {
        Id = Guid.NewGuid(),
        Name = $"machine {number}",
        Status = number % 3 == 0 ? "RUNNING" : "SHUTDOWN",
        CpuCores = 2,
        Memory = 2048,
        MaxMemory = 4096,
        DiskSize = 10_240 + number,
        Pm = Guid.NewGuid(),
        Nics = [new() { Name = "eth0", Mac = $"00:16:3e:00:{number >> 8 & 255:x2}:{number & 255:x2}", Network = "xenbr0" }],
        Os = "DEBIAN",
        OsArch = "X64",
        Created = DateTimeOffset.UnixEpoch.AddMinutes(number),
        LastBootTime = DateTimeOffset.UnixEpoch.AddHours(number),
    };

    private static XElement Element(IEnumerable<MachineResource> machines) => new("vms", machines.Select(machine => new XElement(
        "vm",
        new XAttribute("id", machine.Id),
        new XElement("name", machine.Name),
        new XElement("status", machine.Status),
        new XElement("cpu_core", machine.CpuCores),
        new XElement("memory", machine.Memory),
        new XElement("maxmem", machine.MaxMemory),
        new XElement("disk_size", machine.DiskSize),
        new XElement("pm", new XAttribute("id", machine.Pm!)),
        new XElement("nics", machine.Nics.Select(nic => new XElement("nic", new XElement("name", nic.Name), new XElement("mac", nic.Mac), new XElement("network", nic.Network)))),
        new XElement("os", machine.Os),
        new XElement("os_arch", machine.OsArch),
        new XElement("os_type", machine.OsArch),
        new XElement("create_date", machine.Created),
        new XElement("last_boot_time", machine.LastBootTime))));

    private static MachineResource Resource(XElement element) => new()
    {
        Id = (Guid)element.Attribute("id")!,
        Name = (string)element.Element("name")!,
        Status = (string?)element.Element("status"),
        CpuCores = (int)element.Element("cpu_core")!,
        Memory = (long)element.Element("memory")!,
        MaxMemory = (long)element.Element("maxmem")!,
        DiskSize = (long)element.Element("disk_size")!,
        Pm = (Guid?)element.Element("pm")?.Attribute("id"),
        Nics = [.. element.Element("nics")!.Elements("nic").Select(nic => new MachineNicResource { Name = (string?)nic.Element("name"), Mac = (string?)nic.Element("mac"), Network = (string?)nic.Element("network") })],
        Os = (string?)element.Element("os"),
        OsArch = (string?)element.Element("os_arch"),
        Created = DateTimeOffset.Parse(element.Element("create_date")!.Value, CultureInfo.InvariantCulture),
        LastBootTime = DateTimeOffset.Parse(element.Element("last_boot_time")!.Value, CultureInfo.InvariantCulture),
    };

    private static void Check(int count)
    {
        if (count != Machines)
        {
            throw new InvalidOperationException($"{count} of {Machines} machines were read.");
        }
    }

    private static Task Done(Action work)
    {
        work();
        return Task.CompletedTask;
    }

    private static async Task MeasureAsync(string name, Func<Task> work)
    {
        for (var round = 0; round < 40; round++)
        {
            await work();
        }

        var times = new List<double>();
        var allocated = 0L;
        for (var round = 0; round < Rounds; round++)
        {
            GC.Collect();
            var before = GC.GetTotalAllocatedBytes(precise: true);
            var begun = Environment.CpuUsage.TotalTime;
            await work();
            times.Add((Environment.CpuUsage.TotalTime - begun).TotalMilliseconds);
            allocated = GC.GetTotalAllocatedBytes(precise: true) - before;
        }

        times.Sort();
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{name,-28} {times[Rounds / 2],8:0.0} ms {allocated / 1024.0,12:#,0} KiB"));
    }
}

/// <summary>The list as XmlSerializer wants it.</summary>
[XmlRoot("vms")]
public sealed class VmList
{
    /// <summary>The machines.</summary>
    [XmlElement("vm")]
    public List<Vm> Items { get; set; } = [];
}

/// <summary>A machine as XmlSerializer wants it.</summary>
public sealed class Vm
{
    [XmlAttribute("id")]
    public Guid Id { get; set; }

    [XmlElement("name")]
    public string Name { get; set; } = "";

    [XmlElement("status")]
    public string? Status { get; set; }

    [XmlElement("cpu_core")]
    public int CpuCores { get; set; }

    [XmlElement("memory")]
    public long Memory { get; set; }

    [XmlElement("maxmem")]
    public long MaxMemory { get; set; }

    [XmlElement("disk_size")]
    public long DiskSize { get; set; }

    [XmlElement("pm")]
    public VmPm? Pm { get; set; }

    [XmlArray("nics")]
    [XmlArrayItem("nic")]
    public List<VmNic> Nics { get; set; } = [];

    [XmlElement("os")]
    public string? Os { get; set; }

    [XmlElement("os_arch")]
    public string? OsArch { get; set; }

    [XmlElement("os_type")]
    public string? OsType { get; set; }

    [XmlElement("create_date")]
    public DateTime Created { get; set; }

    [XmlElement("last_boot_time")]
    public DateTime LastBootTime { get; set; }
}

/// <summary>The reference to a host as XmlSerializer wants it.</summary>
public sealed class VmPm
{
    [XmlAttribute("id")]
    public Guid Id { get; set; }
}

/// <summary>An interface as XmlSerializer wants it.</summary>
public sealed class VmNic
{
    [XmlElement("name")]
    public string? Name { get; set; }

    [XmlElement("mac")]
    public string? Mac { get; set; }

    [XmlElement("network")]
    public string? Network { get; set; }
}

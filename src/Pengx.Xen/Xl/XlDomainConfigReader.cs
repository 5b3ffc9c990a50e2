namespace Pengx.Xen;

/// <summary>Reads what an <c>xl.cfg</c> says of a domain.</summary>
internal static class XlDomainConfigReader
{
    public static XlDomainConfig Read(XlConfigDocument document)
    {
        ArgumentNullException.ThrowIfNull(document);
        var memory = Size(document, "memory");
        var cpus = Number(document, "vcpus");
        var id = document.FindText("uuid") is not { } uuid ? (DomainId?)null
            : DomainId.TryParse(uuid, out var parsed) ? parsed
            : throw Error(document, "uuid", "it must be a UUID.");
        return new()
        {
            Name = document.FindText("name"),
            Id = id,
            Kind = Kind(document),
            Memory = memory,
            MaxMemory = Size(document, "maxmem") ?? memory,
            Cpus = cpus ?? 1,
            MaxCpus = Number(document, "maxvcpus") ?? cpus ?? 1,
            Disks = [.. document.FindTexts("disk").Select(XlDisk.Parse)],
            Vifs = [.. document.FindTexts("vif").Select(XlVif.Parse)],
            PciDevices = document.FindTexts("pci"),
        };
    }

    private static XlGuestKind Kind(XlConfigDocument document)
    {
        // xl takes the beginning of a word for the word, and a missing type for PV.
        var type = document.FindText("type");
        var builder = document.FindText("builder");
        return (type, builder) switch
        {
            ("hvm", _) or (null, "hvm") => XlGuestKind.Hvm,
            ("pvh", _) => XlGuestKind.Pvh,
            ("pv", _) or (null, null or "generic" or "linux") => XlGuestKind.Pv,
            (null, _) => throw Error(document, "builder", "it must be hvm or generic."),
            _ => throw Error(document, "type", "it must be hvm, pv or pvh."),
        };
    }

    private static DataSize? Size(XlConfigDocument document, string key)
    {
        if (document.Find(key) is null)
        {
            return null;
        }

        return document.FindNumber(key) is { } number and >= 0 and <= long.MaxValue >> 20
            ? DataSize.FromMiB(number)
            : throw Error(document, key, "it must be a number of MiB.");
    }

    private static int? Number(XlConfigDocument document, string key)
    {
        if (document.Find(key) is null)
        {
            return null;
        }

        return document.FindNumber(key) is { } number and >= 1 and <= int.MaxValue ? (int)number : throw Error(document, key, "it must be a number from 1.");
    }

    private static XlConfigException Error(XlConfigDocument document, string key, string rule) =>
        new(document.Settings.LastOrDefault(setting => setting.Key == key)?.Line ?? 0, $"{key}: {rule}");
}

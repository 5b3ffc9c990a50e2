using Pengx.Xen;

namespace Pengx.Host;

/// <summary>The section <c>Pengx:Xen</c>: how guests are run on Xen. See <see cref="XlGuestProfile"/> for what each means.</summary>
internal sealed class XenHostOptions
{
    public string Kind { get; set; } = "hvm";

    public string? Kernel { get; set; }

    public string? Ramdisk { get; set; }

    public string? CommandLine { get; set; }

    public string? Bootloader { get; set; }

    public bool PopulateOnDemand { get; set; }

    public bool KernelBlockBackend { get; set; } = true;

    public XlVncConsole Vnc { get; set; }

    public string? VifScript { get; set; }

    public IDictionary<string, string> Settings { get; init; } = new Dictionary<string, string>();

    public IList<string> SshOptions { get; init; } = [];

    /// <exception cref="InvalidOperationException">A setting is none.</exception>
    public XlGuestProfile ToProfile() => new()
    {
        Kind = Enum.TryParse<XlGuestKind>(Kind, ignoreCase: true, out var kind) && Enum.IsDefined(kind) && !char.IsAsciiDigit(Kind[0])
            ? kind
            : throw new InvalidOperationException($"Pengx:Xen:Kind '{Kind}' is refused: use hvm, pv or pvh."),
        Kernel = Kernel,
        Ramdisk = Ramdisk,
        CommandLine = CommandLine,
        Bootloader = Bootloader,
        PopulateOnDemand = PopulateOnDemand,
        KernelBlockBackend = KernelBlockBackend,
        Vnc = Vnc,
        VifScript = VifScript,
        ExtraSettings = Settings.ToDictionary(setting => setting.Key, setting => ParseValue(setting.Key, setting.Value)),
    };

    private static XlConfigValue ParseValue(string key, string value)
    {
        try
        {
            return XlConfigValue.Parse(value);
        }
        catch (XlConfigException exception)
        {
            throw new InvalidOperationException($"Pengx:Xen:Settings:{key} '{value}' is refused: it must be a value as xl.cfg writes it, such as 1, \"ahci\" or [\"a\", \"b\"]. {exception.Message}");
        }
    }
}

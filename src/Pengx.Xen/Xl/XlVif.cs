using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Text;

namespace Pengx.Xen;

/// <summary>A network interface as xl specifies it, in <c>vif=[…]</c> and on the command line of <c>xl network-attach</c>.</summary>
/// <remarks>Source: <c>xl-network-configuration(5)</c>.</remarks>
public sealed record XlVif
{
    /// <summary>Its hardware address; xl makes one up without.</summary>
    public MacAddress? Mac { get; init; }

    /// <summary>The bridge of the host; xl's default without.</summary>
    public string? Bridge { get; init; }

    /// <summary>The card that an HVM guest sees before its Xen driver takes over: <c>e1000</c>, <c>rtl8139</c>.</summary>
    public string? Model { get; init; }

    /// <summary>The hotplug script.</summary>
    public string? Script { get; init; }

    /// <summary>Everything else that was said of it, such as <c>ip=10.0.0.1</c> or <c>rate=10Mb/s</c>, in order.</summary>
    public IReadOnlyList<string> Others { get; init; } = [];

    /// <summary>Whether another interface is specified alike.</summary>
    /// <param name="other">The other interface.</param>
    public bool Equals(XlVif? other) => other is not null
        && Mac == other.Mac && Bridge == other.Bridge && Model == other.Model && Script == other.Script && Others.SequenceEqual(other.Others);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(Mac, Bridge, Model, Script, Others.Count);

    /// <summary>Reads a specification: <c>mac=00:16:3e:12:34:56,bridge=xenbr0</c>.</summary>
    /// <param name="specification">The specification.</param>
    /// <exception cref="XlConfigException">The hardware address is none.</exception>
    public static XlVif Parse(string specification)
    {
        ArgumentNullException.ThrowIfNull(specification);
        var vif = new XlVif();
        List<string> others = [];
        foreach (var untrimmed in specification.Split(',', StringSplitOptions.RemoveEmptyEntries))
        {
            var part = untrimmed.TrimStart(' ');
            if (part.Length == 0)
            {
                continue;
            }

            var equals = part.IndexOf('=', StringComparison.Ordinal);
            var value = part[(equals + 1)..];
            switch (equals < 0 ? part : part[..equals])
            {
                case "mac":
                    // Without an address of its own, as with one of zeros, xl makes one up.
                    vif = vif with { Mac = ParseMac(value) };
                    break;
                case "bridge":
                    vif = vif with { Bridge = value };
                    break;
                case "model":
                    vif = vif with { Model = value };
                    break;
                case "script":
                    vif = vif with { Script = value };
                    break;
                default:
                    others.Add(part);
                    break;
            }
        }

        return vif with { Others = others };
    }

    /// <summary>The specification, its keys separated by commas as <c>vif=[…]</c> wants them.</summary>
    /// <exception cref="InvalidFieldException">A value would be read as something else, such as a bridge with a comma in it.</exception>
    public string ToSpecification() => string.Join(',', ToArguments());

    /// <summary>The specification for a command line: one argument for each key, since xl would read anything behind a comma as part of the
    /// value before it, or drop it.</summary>
    internal IReadOnlyList<string> ToArguments()
    {
        List<string> parts = [];
        Add("mac", Mac?.ToString());
        Add("bridge", Bridge);
        Add("model", Model);
        Add("script", Script);
        parts.AddRange(Others);
        var specification = string.Join(',', parts);
        if (specification.Any(char.IsControl) || !TryParse(specification, out var read) || !read.Equals(this))
        {
            throw new InvalidFieldException("vif", specification, "one of its values would be read as something else by xl.");
        }

        return parts;

        void Add(string key, string? value)
        {
            if (value is not null)
            {
                parts.Add($"{key}={value}");
            }
        }
    }

    private static bool TryParse(string specification, [NotNullWhen(true)] out XlVif? vif)
    {
        try
        {
            vif = Parse(specification);
            return true;
        }
        catch (XlConfigException)
        {
            vif = null;
            return false;
        }
    }

    /// <summary>An interface of a definition as xl is told of it.</summary>
    /// <param name="nic">The interface.</param>
    /// <param name="isWindows">Whether the guest is Windows.</param>
    /// <param name="profile">The guest's profile.</param>
    internal static XlVif From(DomainNic nic, bool isWindows, XlGuestProfile profile)
    {
        ArgumentNullException.ThrowIfNull(nic);
        XlRules.CheckMac(nic.Mac);
        XlRules.CheckBridge(nic.Switch);
        if (profile.VifScript is { } script)
        {
            XlRules.CheckScript(script);
        }

        return new()
        {
            Mac = nic.Mac,
            Bridge = nic.Switch,
            Script = profile.VifScript,

            // Windows has a driver for it from the start; the Xen driver takes over where there is one.
            Model = isWindows && profile.Kind == XlGuestKind.Hvm ? "e1000" : null,
        };
    }

    // xl takes any single character between the octets, and one or two digits for each.
    private static MacAddress? ParseMac(string text)
    {
        var canonical = new StringBuilder(17);
        var position = 0;
        for (var octet = 0; octet < 6; octet++)
        {
            var start = position;
            while (position < text.Length && char.IsAsciiHexDigit(text[position]))
            {
                position++;
            }

            if (!byte.TryParse(text.AsSpan(start, position - start), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out var value)
                || (octet < 5 && position == text.Length))
            {
                throw new XlConfigException("a network interface's mac must be six octets.");
            }

            canonical.Append(CultureInfo.InvariantCulture, $"{(octet == 0 ? "" : ":")}{value:x2}");
            position++;
        }

        var address = canonical.ToString();
        return MacAddress.TryParse(address, out var mac) ? mac
            : address.All(character => character is '0' or ':') ? null
            : throw new XlConfigException("a network interface's mac must be the address of one interface, no group.");
    }
}

using System.Security.Cryptography;
using System.Text;

namespace Pengx.Qemu;

/// <summary>The processor that guests with KVM see: its model, and a digest of everything it can do.</summary>
internal static class HostProcessor
{
    public static string Read()
    {
        string model = "unknown", flags = "";
        foreach (var line in File.ReadLines("/proc/cpuinfo").TakeWhile(static line => line.Length > 0))
        {
            var colon = line.IndexOf(':', StringComparison.Ordinal);
            var (name, value) = colon < 0 ? (line, "") : (line[..colon].Trim(), line[(colon + 1)..].Trim());
            (model, flags) = name switch
            {
                "model name" => (value, flags),
                "flags" => (model, string.Join(' ', value.Split(' ').Order(StringComparer.Ordinal))),
                _ => (model, flags),
            };
        }

        return $"{model} ({Convert.ToHexStringLower(SHA256.HashData(Encoding.ASCII.GetBytes(flags)))[..8]})";
    }
}

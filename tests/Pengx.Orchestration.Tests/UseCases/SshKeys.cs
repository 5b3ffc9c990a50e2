using System.Buffers.Binary;
using System.Text;

namespace Pengx.Orchestration.Tests;

/// <summary>Public keys that are well formed and open nothing.</summary>
internal static class SshKeys
{
    public static string Ed25519 => Make("ssh-ed25519", "root@pm2");

    public static string Make(string type, string? comment = null, string? inner = null, byte fill = 7)
    {
        var name = Encoding.ASCII.GetBytes(inner ?? type);
        var key = new byte[4 + name.Length + 4 + 32];
        BinaryPrimitives.WriteUInt32BigEndian(key, (uint)name.Length);
        name.CopyTo(key, 4);
        BinaryPrimitives.WriteUInt32BigEndian(key.AsSpan(4 + name.Length), 32);
        key.AsSpan(8 + name.Length).Fill(fill);
        return $"{type} {Convert.ToBase64String(key)}{(comment is null ? "" : $" {comment}")}";
    }
}

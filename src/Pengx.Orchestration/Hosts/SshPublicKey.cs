using System.Buffers.Binary;
using System.Text;

namespace Pengx.Orchestration;

/// <summary>Public SSH keys as one line: type, base64, comment.</summary>
/// <remarks>Source: OpenBSD <c>sshd(8)</c>, "AUTHORIZED_KEYS FILE FORMAT"; RFC 4253, section 6.6, for what the base64 holds.</remarks>
internal static class SshPublicKey
{
    private const int MaxLength = 16 * 1024;

    private static readonly string[] s_types =
    [
        "ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521",
        "sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com",
    ];

    private static readonly string[] s_files = ["id_ed25519.pub", "id_ecdsa.pub", "id_rsa.pub"];

    /// <summary>The first valid key among the usual files of a directory; <see langword="null"/> when there is none.</summary>
    public static string? Find(string? directory)
    {
        foreach (var name in directory is null ? [] : s_files)
        {
            try
            {
                // The length keeps from waiting for what is no file.
                var file = new FileInfo(Path.Combine(directory!, name));
                if (file is { Exists: true, Length: > 0 and <= MaxLength } && Check(File.ReadAllText(file.FullName).TrimEnd('\r', '\n'), out var key) is null)
                {
                    return key;
                }
            }
            catch (Exception error) when (error is IOException or UnauthorizedAccessException)
            {
                // As good as absent: the next one may do.
            }
        }

        return null;
    }

    /// <summary>Checks a key, so that it can be trusted to be one line that grants one key and nothing else.</summary>
    /// <param name="text">The line.</param>
    /// <param name="key">The key as it is written into a file.</param>
    /// <returns>What is wrong with it; <see langword="null"/> for a good one.</returns>
    public static string? Check(string text, out string key)
    {
        key = "";
        if (text.Length > MaxLength)
        {
            return "it is too long";
        }

        if (text.Any(char.IsControl))
        {
            return "it holds a control character";
        }

        var parts = text.Trim(' ').Split(' ', 3, StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
        if (parts.Length < 2)
        {
            return "it is not a type and a key";
        }

        if (!s_types.Contains(parts[0], StringComparer.Ordinal))
        {
            return "it carries options, or is of a type that is not known";
        }

        var bytes = new byte[parts[1].Length];
        if (!Convert.TryFromBase64String(parts[1], bytes, out var length) || !Holds(bytes.AsSpan(0, length), parts[0]))
        {
            return "its base64 is not a key of its type";
        }

        key = string.Join(' ', parts);
        return null;
    }

    /// <summary>The key holds its type's name once more, counted, and something after it.</summary>
    private static bool Holds(ReadOnlySpan<byte> key, string type) =>
        key.Length > 4 + type.Length
        && BinaryPrimitives.ReadUInt32BigEndian(key) == (uint)type.Length
        && key.Slice(4, type.Length).SequenceEqual(Encoding.ASCII.GetBytes(type));
}

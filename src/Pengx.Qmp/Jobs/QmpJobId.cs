using System.Security.Cryptography;
using System.Text;

namespace Pengx.Qmp;

/// <summary>Makes job ids from what the job is about: the same operation has the same id after a restart, so that its job is found again.</summary>
public static class QmpJobId
{
    private const int MaxLength = 64;

    /// <summary>The id of an operation on a subject.</summary>
    /// <param name="operation">The operation, such as <c>backup</c>; it has to begin with a letter.</param>
    /// <param name="subject">What it is about, such as a node's name. Text that an id cannot hold is replaced, with a digest that keeps different subjects apart.</param>
    /// <exception cref="ArgumentException">The operation does not begin with an ASCII letter.</exception>
    public static string Create(string operation, string subject)
    {
        ArgumentException.ThrowIfNullOrEmpty(operation);
        ArgumentException.ThrowIfNullOrEmpty(subject);
        if (!char.IsAsciiLetter(operation[0]))
        {
            throw new ArgumentException("A job id begins with an ASCII letter, so the operation does.", nameof(operation));
        }

        string plain = $"{operation}-{subject}";
        if (plain.Length <= MaxLength && plain.All(IsAllowed))
        {
            return plain;
        }

        string digest = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(plain)))[..16];
        string readable = string.Concat(plain.Select(character => IsAllowed(character) ? character : '_'));
        return $"{readable[..Math.Min(readable.Length, MaxLength - digest.Length - 1)]}.{digest}";
    }

    internal static void Require(string jobId, string name)
    {
        ArgumentException.ThrowIfNullOrEmpty(jobId, name);
        if (!char.IsAsciiLetter(jobId[0]) || !jobId.All(IsAllowed))
        {
            throw new ArgumentException($"The job id '{jobId}' must begin with an ASCII letter and hold only letters, digits, '-', '.' and '_'.", name);
        }
    }

    private static bool IsAllowed(char character) => char.IsAsciiLetterOrDigit(character) || character is '-' or '.' or '_';
}

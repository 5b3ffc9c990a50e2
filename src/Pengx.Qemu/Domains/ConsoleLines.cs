using System.Text;

namespace Pengx.Qemu;

/// <summary>Cuts a console's bytes into lines.</summary>
internal sealed class ConsoleLines(int maxBytes)
{
    private readonly List<byte> _pending = [];

    /// <summary>The lines that some more bytes complete.</summary>
    /// <param name="bytes">The bytes.</param>
    public IReadOnlyList<string> Take(ReadOnlySpan<byte> bytes)
    {
        List<string> lines = [];
        foreach (var value in bytes)
        {
            if (value == (byte)'\n')
            {
                lines.Add(Flush());
            }
            else
            {
                if (_pending.Count == maxBytes)
                {
                    lines.Add(Flush());
                }

                _pending.Add(value);
            }
        }

        return lines;
    }

    /// <summary>The last line where its end never came; <see langword="null"/> when there is none.</summary>
    public string? TakeRest() => _pending.Count > 0 ? Flush() : null;

    private string Flush()
    {
        var line = Encoding.UTF8.GetString([.. _pending]).TrimEnd('\r');
        _pending.Clear();
        return line;
    }
}

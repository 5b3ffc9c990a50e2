namespace Pengx.Qmp;

/// <summary>No arguments, or a result without content.</summary>
public sealed record QmpEmpty
{
    private QmpEmpty()
    {
    }

    /// <summary>The only value.</summary>
    public static QmpEmpty Instance { get; } = new();
}

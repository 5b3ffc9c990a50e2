namespace Pengx.Storage;

/// <summary>How <see cref="ImageTool"/> runs <c>qemu-img</c>.</summary>
public sealed class ImageToolOptions
{
    /// <summary>The program: a name looked up in PATH, or an absolute path.</summary>
    public string QemuImg { get; set; } = "qemu-img";

    /// <summary>How long one call may take that does not copy; 2 minutes by default.</summary>
    public TimeSpan Timeout { get; set; } = TimeSpan.FromMinutes(2);

    /// <summary>How long a copy may stand still, neither reading nor writing; 30 minutes by default.</summary>
    public TimeSpan StallTimeout { get; set; } = TimeSpan.FromMinutes(30);
}

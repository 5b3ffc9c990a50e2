namespace Pengx.Client;

/// <summary>One <c>&lt;disk&gt;</c> of <c>POST /templates/add_new/</c>: an empty image to create.</summary>
public sealed record NewTemplateDisk
{
    /// <summary>The storlink on which the image is created.</summary>
    public required int Storlink { get; init; }

    /// <summary>Its size in MiB.</summary>
    public required long Size { get; init; }

    /// <summary><c>raw</c> or <c>qcow2</c>.</summary>
    public required string Format { get; init; }
}

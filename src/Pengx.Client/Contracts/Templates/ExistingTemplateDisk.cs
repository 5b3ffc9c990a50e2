namespace Pengx.Client;

/// <summary>One <c>&lt;disk&gt;</c> of <c>POST /templates/add/</c>: an image that already lies on its storlink.</summary>
public sealed record ExistingTemplateDisk
{
    /// <summary>The storlink on which the image lies.</summary>
    public required int Storlink { get; init; }

    /// <summary>The image's id: its file is <c>{uuid}.{format}</c> or <c>{uuid}</c>.</summary>
    public required Guid Id { get; init; }

    /// <summary><c>raw</c> or <c>qcow2</c>.</summary>
    public required string Format { get; init; }
}

namespace Pengx;

/// <summary>An ISO image in one of the host's configured directories (reference, chapter 9: <c>ISO</c>; it has no table).</summary>
/// <param name="Name">The file's name.</param>
/// <param name="Path">Where it lies.</param>
/// <param name="Size">Its size.</param>
public sealed record IsoImage(string Name, string Path, DataSize Size);

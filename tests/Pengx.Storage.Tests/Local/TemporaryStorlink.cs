namespace Pengx.Storage.Tests;

/// <summary>A storage link on a directory of its own, removed with everything in it.</summary>
public sealed class TemporaryStorlink : IDisposable
{
    public TemporaryStorlink(string? parent = null)
    {
        Directory = parent is null
            ? System.IO.Directory.CreateTempSubdirectory("pengx-storage-").FullName
            : System.IO.Directory.CreateDirectory(Path.Combine(parent, $"pengx-storage-{Guid.NewGuid():N}")).FullName;
        Storlink = For(Directory);
    }

    public string Directory { get; }

    public Storlink Storlink { get; }

    public static Storlink For(string link, StorlinkType type = StorlinkType.Local, StorlinkLevel level = StorlinkLevel.File) =>
        new() { Id = new(3), Pm = PmId.New(), Name = "; $(reboot) ../x", Link = link, Type = type, Level = level };

    public string[] Names() => [.. System.IO.Directory.GetFileSystemEntries(Directory).Select(path => Path.GetFileName(path))];

    public string PathOf(string name) => Path.Combine(Directory, name);

    public void Dispose() => System.IO.Directory.Delete(Directory, recursive: true);
}

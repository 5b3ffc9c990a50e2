using Microsoft.Extensions.Options;

namespace Pengx.Orchestration;

/// <summary>The ISO images in the host's configured directories. A name is looked up among the files that are there; no path is
/// ever made from it.</summary>
/// <param name="options">Where the directories are configured.</param>
public sealed class IsoLibrary(IOptions<MachineOptions> options)
{
    /// <summary>All images, by name. Directories that cannot be read are left out; links are not followed.</summary>
    public IReadOnlyList<IsoImage> List()
    {
        var search = new EnumerationOptions { IgnoreInaccessible = true, MatchCasing = MatchCasing.CaseInsensitive, AttributesToSkip = FileAttributes.ReparsePoint | FileAttributes.Directory };
        return
        [
            .. options.Value.IsoDirectories.Where(Directory.Exists)
                .SelectMany(directory => new DirectoryInfo(directory).EnumerateFiles("*.iso", search))
                .Select(file => new IsoImage(file.Name, file.FullName, new DataSize(file.Length)))
                .OrderBy(image => image.Name, StringComparer.Ordinal),
        ];
    }

    /// <summary>The image of a name.</summary>
    /// <param name="name">The file's name.</param>
    /// <exception cref="InvalidFieldException">It cannot be a file's name.</exception>
    /// <exception cref="NotFoundException">There is no such image.</exception>
    public IsoImage Get(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        var wanted = FieldRules.IsoName(name);
        return List().FirstOrDefault(image => image.Name == wanted) ?? throw new NotFoundException("ISO image", wanted);
    }
}

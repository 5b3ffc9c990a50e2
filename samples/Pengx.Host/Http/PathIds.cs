namespace Pengx.Host;

/// <summary>Reads the identifiers in a path; a malformed one is an object that does not exist.</summary>
internal static class PathIds
{
    public static VmId Vm(string text) => VmId.TryParse(text, out var id) ? id : throw Missing("VM", text);

    public static TemplateId Template(string text) => TemplateId.TryParse(text, out var id) ? id : throw Missing("template", text);

    public static BackupId Backup(string text) => BackupId.TryParse(text, out var id) ? id : throw Missing("backup", text);

    public static PmId Pm(string text) => PmId.TryParse(text, out var id) ? id : throw Missing("PM", text);

    public static DiskId Disk(string text) => DiskId.TryParse(text, out var id) ? id : throw Missing("disk", text);

    public static SnapshotId Snapshot(string text) => SnapshotId.TryParse(text, out var id) ? id : throw Missing("snapshot", text);

    public static StorlinkId Storlink(string text) => StorlinkId.TryParse(text, out var id) ? id : throw Missing("storlink", text);

    public static VmInterfaceId Interface(string text) => VmInterfaceId.TryParse(text, out var id) ? id : throw Missing("interface", text);

    public static int Number(string kind, string text) =>
        int.TryParse(text, System.Globalization.NumberStyles.None, System.Globalization.CultureInfo.InvariantCulture, out var id) && id > 0 ? id : throw Missing(kind, text);

    private static NotFoundException Missing(string kind, string text) => new(kind, ErrorResponse.Shown(text));
}

using System.Collections.Frozen;

namespace Pengx.Host.Tests;

/// <summary>
/// Operations of the reference that are not served yet. A row stands here only while the router itself answers that there is no such
/// method and path: the tests fail for a row that is missing and not listed, and for one that is listed and served. Taking a row off
/// this list means giving it its <see cref="ConformanceRow.Client"/> too.
/// </summary>
internal static class PendingRows
{
    public static FrozenSet<string> Keys { get; } = FrozenSet.Create(
        StringComparer.Ordinal,
        "POST /vms/{vm_uuid}/copy/ (v1)",
        "POST /vms/{vm_uuid}/smigrate/ (v1)",
        "POST /vms/{vm_uuid}/migrate/ (v1)",
        "POST /vms/{vm_uuid}/start/snapshots/{snapshot_uuid}/ (v1)",
        "POST /vms/{vm_uuid}/snapshots/ (v1)",
        "DELETE /vms/{vm_uuid}/snapshots/{snapshot_uuid}/ (v1)",
        "GET /vms/{vm_uuid}/snapshots/ (v1)",
        "POST /vms/{vm_uuid}/snapshots/{snapshot_uuid}/ (v1)",
        "POST /vms/{vm_uuid}/backups/ (v1)",
        "DELETE /vms/{vm_uuid}/backups/{backup_uuid}/ (v1)",
        "GET /vms/{vm_uuid}/backups/ (v1)",
        "POST /vms/{vm_uuid}/backups/{backup_uuid}/ (v1)",
        "GET /vms/{vm_uuid}/disks/snapshots/{snapshot_uuid}/ (v1)",
        "GET /vms/{vm_uuid}/disks/backups/{backup_uuid}/ (v1)");
}

namespace Pengx.Host;

/// <summary>Where the objects that operations name are found: <c>vm/U/disk/D</c> is <c>/vms/U/disks/D/</c>.</summary>
internal static class ResourcePath
{
    public static string? Of(string target) => target.Split('/') switch
    {
        ["vm", var vm] => $"/vms/{vm}/",
        ["vm", var vm, "disk", var disk] => $"/vms/{vm}/disks/{disk}/",
        ["vm", var vm, "interface", var nic] => $"/vms/{vm}/interface/{nic}/",
        ["vm", var vm, "backup", var backup] => $"/vms/{vm}/backups/{backup}/",
        ["vm", var vm, "snapshot", var snapshot] => $"/vms/{vm}/snapshots/{snapshot}/",
        ["template", var template] => $"/templates/{template}/",
        ["storlink", var storlink] => $"/storlinks/{storlink}/",
        ["network", var network] => $"/networks/{network}/",
        ["dns", var dns] => $"/dns/{dns}/",
        ["sriov", var card] => $"/sriov/{card}/",
        ["storage", var storage] => $"/storages/{storage}/",
        _ => null,
    };
}

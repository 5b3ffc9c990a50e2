using System.Text.Json;

namespace Pengx.Qmp;

public static partial class QmpCommands
{
    /// <summary>Plugs a device in. Open-ended: <c>driver</c>, <c>id</c>, <c>bus</c> and the driver's own properties (see <see cref="QmpArguments"/>).</summary>
    public static QmpCommand<JsonElement, QmpEmpty> DeviceAdd { get; } =
        new("device_add", QmpJsonContext.Default.JsonElement, QmpJsonContext.Default.QmpEmpty);

    /// <summary>Asks the guest to let a device go. The device is gone only with its <c>DEVICE_DELETED</c> event.</summary>
    public static QmpCommand<QmpDeviceId, QmpEmpty> DeviceDel { get; } =
        new("device_del", QmpJsonContext.Default.QmpDeviceId, QmpJsonContext.Default.QmpEmpty);

    /// <summary>Adds a network backend. Open-ended: <c>type</c>, <c>id</c> and the type's own properties.</summary>
    public static QmpCommand<JsonElement, QmpEmpty> NetdevAdd { get; } =
        new("netdev_add", QmpJsonContext.Default.JsonElement, QmpJsonContext.Default.QmpEmpty);

    /// <summary>Removes a network backend.</summary>
    public static QmpCommand<QmpDeviceId, QmpEmpty> NetdevDel { get; } =
        new("netdev_del", QmpJsonContext.Default.QmpDeviceId, QmpJsonContext.Default.QmpEmpty);

    /// <summary>Adds an object. Open-ended: <c>qom-type</c>, <c>id</c> and the type's own properties.</summary>
    public static QmpCommand<JsonElement, QmpEmpty> ObjectAdd { get; } =
        new("object-add", QmpJsonContext.Default.JsonElement, QmpJsonContext.Default.QmpEmpty);

    /// <summary>Removes an object.</summary>
    public static QmpCommand<QmpDeviceId, QmpEmpty> ObjectDel { get; } =
        new("object-del", QmpJsonContext.Default.QmpDeviceId, QmpJsonContext.Default.QmpEmpty);

    /// <summary>Reads a property of an object.</summary>
    public static QmpCommand<QmpObjectProperty, JsonElement> QomGet { get; } =
        new("qom-get", QmpJsonContext.Default.QmpObjectProperty, QmpJsonContext.Default.JsonElement);

    /// <summary>Changes a property of an object.</summary>
    public static QmpCommand<QmpObjectPropertyValue, QmpEmpty> QomSet { get; } =
        new("qom-set", QmpJsonContext.Default.QmpObjectPropertyValue, QmpJsonContext.Default.QmpEmpty);

    /// <summary>The properties of an object.</summary>
    public static QmpCommand<QmpObjectPath, IReadOnlyList<QmpObjectPropertyInfo>> QomList { get; } =
        new("qom-list", QmpJsonContext.Default.QmpObjectPath, QmpJsonContext.Default.IReadOnlyListQmpObjectPropertyInfo);

    /// <summary>The VNC server, its real port and its viewers.</summary>
    public static QmpCommand<QmpEmpty, QmpVnc> QueryVnc { get; } =
        new("query-vnc", QmpJsonContext.Default.QmpEmpty, QmpJsonContext.Default.QmpVnc);

    /// <summary>Sets a display's password. QEMU refuses it where the display was started without passwords.</summary>
    public static QmpCommand<QmpPassword, QmpEmpty> SetPassword { get; } =
        new("set_password", QmpJsonContext.Default.QmpPassword, QmpJsonContext.Default.QmpEmpty);

    /// <summary>Sets when a display's password expires.</summary>
    public static QmpCommand<QmpPasswordExpiry, QmpEmpty> ExpirePassword { get; } =
        new("expire_password", QmpJsonContext.Default.QmpPasswordExpiry, QmpJsonContext.Default.QmpEmpty);
}

namespace Pengx.Xen;

/// <summary>The protocol's own limits (Xen's <c>io/xs_wire.h</c>), in bytes. A daemon closes the connection of a client that exceeds them, so they are checked before anything is sent.</summary>
public static class XenstoreLimits
{
    /// <summary>The longest payload of a message in either direction, its NUL bytes included.</summary>
    public const int Payload = 4096;

    /// <summary>The longest payload that Linux' device <c>/dev/xen/xenbus</c> takes: its buffer is for a whole message, the header of 16 bytes included.</summary>
    public const int DevicePayload = 4080;

    /// <summary>The longest absolute path.</summary>
    public const int AbsolutePath = 3072;

    /// <summary>The longest relative path.</summary>
    public const int RelativePath = 2048;
}

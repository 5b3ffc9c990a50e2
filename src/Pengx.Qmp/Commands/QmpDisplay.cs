using System.Text;

namespace Pengx.Qmp;

/// <summary>The VNC server (<c>VncInfo</c> in <c>qapi/ui.json</c>).</summary>
public sealed record QmpVnc
{
    /// <summary>Whether it runs.</summary>
    public required bool Enabled { get; init; }

    /// <summary>The address it listens on.</summary>
    public string? Host { get; init; }

    /// <summary>The address family: <c>ipv4</c>, <c>ipv6</c>, <c>unix</c> …</summary>
    public string? Family { get; init; }

    /// <summary>The port, as text; a path for a unix socket.</summary>
    public string? Service { get; init; }

    /// <summary>How viewers log in, such as <c>none</c> or <c>vnc</c>.</summary>
    public string? Auth { get; init; }

    /// <summary>The viewers.</summary>
    public IReadOnlyList<QmpVncClient>? Clients { get; init; }
}

/// <summary>A connected viewer.</summary>
public sealed record QmpVncClient
{
    /// <summary>Its address.</summary>
    public required string Host { get; init; }

    /// <summary>The address family.</summary>
    public required string Family { get; init; }

    /// <summary>Its port, as text.</summary>
    public required string Service { get; init; }

    /// <summary>Whether it came through a web socket.</summary>
    public required bool Websocket { get; init; }
}

/// <summary>A display's password (<c>set_password</c>). VNC uses the first 8 characters only.</summary>
public sealed record QmpPassword
{
    /// <summary>The display's protocol: <c>vnc</c> or <c>spice</c>.</summary>
    public required string Protocol { get; init; }

    /// <summary>The password. It appears in no text that this type makes.</summary>
    public required string Password { get; init; }

    /// <summary>What happens to connected viewers; <c>keep</c> is all that VNC knows.</summary>
    public string? Connected { get; init; }

    /// <summary>The VNC display's id, if there are several.</summary>
    public string? Display { get; init; }

    private bool PrintMembers(StringBuilder builder)
    {
        builder.Append($"Protocol = {Protocol}, Password = ***");
        return true;
    }
}

/// <summary>When a display's password expires (<c>expire_password</c>).</summary>
public sealed record QmpPasswordExpiry
{
    /// <summary>The display's protocol: <c>vnc</c> or <c>spice</c>.</summary>
    public required string Protocol { get; init; }

    /// <summary><c>now</c>, <c>never</c>, <c>+</c> and seconds from now, or seconds since 1970.</summary>
    public required string Time { get; init; }

    /// <summary>The VNC display's id, if there are several.</summary>
    public string? Display { get; init; }
}

namespace Pengx;

/// <summary>The operating systems that a template can name (reference: template field <c>os</c>).</summary>
public enum GuestOs
{
    /// <summary>Any other system, <c>OTHER</c>.</summary>
    Other,

    /// <summary>Arch Linux, <c>ARCH</c>.</summary>
    Arch,

    /// <summary>CentOS, <c>CENTOS</c>.</summary>
    CentOs,

    /// <summary>CoreOS, <c>COREOS</c>.</summary>
    CoreOs,

    /// <summary>Debian GNU/Linux, <c>DEBIAN</c>.</summary>
    Debian,

    /// <summary>Fedora, <c>FEDORA</c>.</summary>
    Fedora,

    /// <summary>Gentoo Linux, <c>GENTOO</c>.</summary>
    Gentoo,

    /// <summary>Red Hat Enterprise Linux, <c>RHEL</c>.</summary>
    Rhel,

    /// <summary>Ubuntu, <c>UBUNTU</c>.</summary>
    Ubuntu,

    /// <summary>Windows, <c>WINDOWS</c>.</summary>
    Windows,
}

/// <summary>The processor architectures that a template can name (reference: template field <c>os_arch</c>).</summary>
public enum OsArchitecture
{
    /// <summary>64-bit x86-64, <c>X64</c>.</summary>
    X64,

    /// <summary>32-bit x86, <c>X86</c>.</summary>
    X86,
}

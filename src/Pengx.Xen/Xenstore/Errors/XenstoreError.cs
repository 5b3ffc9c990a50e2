namespace Pengx.Xen;

/// <summary>The errno names that a daemon answers (Xen's <c>io/xs_wire.h</c>). Programs tell errors apart by these, never by the text.</summary>
public static class XenstoreError
{
    /// <summary>Something in the request is invalid.</summary>
    public const string EINVAL = nameof(EINVAL);

    /// <summary>The permissions do not allow it.</summary>
    public const string EACCES = nameof(EACCES);

    /// <summary>It exists already.</summary>
    public const string EEXIST = nameof(EEXIST);

    /// <summary>It is a directory.</summary>
    public const string EISDIR = nameof(EISDIR);

    /// <summary>There is no such node.</summary>
    public const string ENOENT = nameof(ENOENT);

    /// <summary>The daemon has no memory left, or the memory quota is exhausted.</summary>
    public const string ENOMEM = nameof(ENOMEM);

    /// <summary>A quota is exhausted.</summary>
    public const string ENOSPC = nameof(ENOSPC);

    /// <summary>The store is damaged.</summary>
    public const string EIO = nameof(EIO);

    /// <summary>The directory is not empty.</summary>
    public const string ENOTEMPTY = nameof(ENOTEMPTY);

    /// <summary>This daemon does not know the request.</summary>
    public const string ENOSYS = nameof(ENOSYS);

    /// <summary>The store cannot be written.</summary>
    public const string EROFS = nameof(EROFS);

    /// <summary>It is in use, or too much is outstanding.</summary>
    public const string EBUSY = nameof(EBUSY);

    /// <summary>A transaction met a conflicting change.</summary>
    public const string EAGAIN = nameof(EAGAIN);

    /// <summary>The domain is introduced already.</summary>
    public const string EISCONN = nameof(EISCONN);

    /// <summary>The answer does not fit into one message, or the request is too large.</summary>
    public const string E2BIG = nameof(E2BIG);

    /// <summary>Only another domain may do that.</summary>
    public const string EPERM = nameof(EPERM);

    internal static string Explain(string error) => error switch
    {
        EINVAL => " (something in the request is invalid, or this daemon does not know it)",
        EACCES => " (the permissions do not allow it)",
        EEXIST => " (it exists already)",
        ENOENT => " (there is no such node)",
        ENOMEM => " (the daemon has no memory left, or the memory quota is exhausted)",
        ENOSPC => " (a quota is exhausted)",
        EIO => " (the store is damaged)",
        ENOSYS => " (this daemon does not know the request)",
        EROFS => " (the store cannot be written)",
        EBUSY => " (it is in use, or too much is outstanding)",
        EAGAIN => " (it met a conflicting change)",
        EISCONN => " (the domain is introduced already)",
        E2BIG => " (it does not fit into one message)",
        EPERM => " (only another domain may do that)",
        _ => string.Empty,
    };
}

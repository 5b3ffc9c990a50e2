namespace Pengx.Client;

/// <summary>Why a document was refused before anything in it was looked at.</summary>
public enum XmlRefusal
{
    /// <summary>It is not well-formed XML 1.0, or not in the encoding it names.</summary>
    Malformed,

    /// <summary>It carries a document type declaration: refused unread, so that no entity is ever expanded.</summary>
    DtdForbidden,

    /// <summary>Its elements nest deeper than <see cref="XmlLimits.MaxDepth"/>.</summary>
    TooDeep,

    /// <summary>It has more elements than <see cref="XmlLimits.MaxElements"/>.</summary>
    TooManyElements,

    /// <summary>It is longer than <see cref="XmlLimits.MaxBytes"/>: HTTP's 413, where every other refusal is a 400.</summary>
    TooLarge,

    /// <summary>Its root element is not one that the operation takes.</summary>
    WrongRoot,
}

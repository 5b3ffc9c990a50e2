namespace Pengx.Data;

/// <summary>What every table's rows have. Rows are mapped by hand to and from the domain's records.</summary>
internal abstract class Row
{
    /// <summary>Counts the row's changes; the concurrency token.</summary>
    public int Revision { get; set; }

    /// <summary>The primary key's value.</summary>
    public abstract object Key { get; }

    /// <summary>The object as a user calls it: <c>VM web1</c>.</summary>
    public abstract string Title { get; }

    /// <summary>What to say when the row's unique index refuses it; <see langword="null"/> for a table without one.</summary>
    public virtual InvalidFieldException? Taken() => null;
}

namespace Pengx.Data;

/// <summary>The last number given for a table whose rows are numbered. It only ever grows, so a number is never given twice.</summary>
internal sealed class NumberRow
{
    public required string Name { get; set; }
    public int Last { get; set; }
}

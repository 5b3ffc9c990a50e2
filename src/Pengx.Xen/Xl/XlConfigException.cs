namespace Pengx.Xen;

/// <summary>A text is no <c>xl.cfg</c> that xl would read, or no specification of a device in one. The message names the place and the rule,
/// never the text itself: a configuration holds passwords.</summary>
public sealed class XlConfigException : PengxException
{
    internal XlConfigException(int line, string rule)
        : base(PengxErrorCode.InvalidField, $"xl.cfg, line {line}: {rule}") => Line = line;

    internal XlConfigException(string rule)
        : base(PengxErrorCode.InvalidField, $"xl.cfg: {rule}")
    {
    }

    /// <summary>The line, counted from 1; 0 where the error is not at one.</summary>
    public int Line { get; }
}

namespace Pengx.Storage;

/// <summary>Tells the share of an image that a tool is done with in bytes.</summary>
internal sealed class ByteShare : IProgress<double>
{
    private readonly IProgress<ByteProgress> _progress;
    private readonly long _total;

    private ByteShare(IProgress<ByteProgress> progress, long total) => (_progress, _total) = (progress, total);

    public static ByteShare? Of(IProgress<ByteProgress>? progress, DataSize total) => progress is null ? null : new(progress, total.Bytes);

    public void Report(double value) => _progress.Report(new((long)(value * _total), _total));
}

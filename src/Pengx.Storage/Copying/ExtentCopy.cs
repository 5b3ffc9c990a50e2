using System.Buffers;
using System.Globalization;
using Microsoft.Win32.SafeHandles;

namespace Pengx.Storage;

/// <summary>Copies the parts of a file or device that hold data, with a few threads: while one waits for the disk, another works.</summary>
/// <remarks>One reads at a time and in order, of what the kernel was asked for before. One writes at a time, since the kernel lets only one
/// into a file and the others would spin for it. Pieces are small enough to be still in the processor's cache when they are written. A
/// thread asks the kernel to begin writing what it wrote, so that reading and writing overlap, and now and then waits for what it wrote
/// a while ago, so that a copy never fills the memory with what is still to be written. Where nobody has to look for zeros, the kernel copies
/// what it was asked to read ahead, which spares it one of two ways through the memory.</remarks>
#pragma warning disable CA1001 // A thread that hangs in the kernel may still hold the lock, and one that nobody waits for has nothing to free.
internal sealed class ExtentCopy
#pragma warning restore CA1001
{
    /// <summary>The usual <see cref="JournalStep"/>.</summary>
    public const long UsualJournalStep = 2L * 1024 * 1024 * 1024;

    private const int Unit = 256 * 1024;
    private const int SmallUnit = 64 * 1024;

    // What the kernel copies does not pass through the processor's cache twice; larger pieces cost fewer calls and fewer, longer writes.
    private const int KernelUnit = 1024 * 1024;

    // One reads, one writes, and one looks for zeros or waits for the disk.
    private const int Threads = 3;

    // Zeros are left out in pieces of this size: smaller holes would cost more extents than they save space.
    private const int ZeroBlock = 64 * 1024;
    private const long LongestZeroing = 64 * 1024 * 1024;

    // By one thread.
    private const long MostUnwritten = 32 * 1024 * 1024;
    private const long ProgressStep = 16 * 1024 * 1024;

    // A thread that does not come back within this time after it was told to stop hangs in the kernel, and is left there.
    private static readonly TimeSpan s_stopGrace = TimeSpan.FromSeconds(5);

    private readonly Lock _gate = new();
    private readonly Lock _reading = new();
    private readonly Lock _writing = new();

    // Many may wait for their pieces at once; nobody does while it is written down how far all is durable.
    private readonly ReaderWriterLockSlim _durability = new();
    private readonly long[] _underWay = new long[Threads];
    private ReadAhead? _readAhead;
    private long _position;
    private long _dataEnd;
    private long _done;
    private long _reported;
    private long _recordedAt;
    private bool _recording;
    private bool _lost;
    private volatile bool _inKernel;

    public required SafeFileHandle Source { get; init; }

    public required string SourcePath { get; init; }

    /// <summary>The length of the source in bytes.</summary>
    public required long Length { get; init; }

    public required SafeFileHandle Target { get; init; }

    public required string TargetPath { get; init; }

    /// <summary>What is to be written: the source's length, or more of a device whose rest becomes zeros.</summary>
    public required long TargetLength { get; init; }

    /// <summary>Whether the target may hold anything, so that zeros are written, too.</summary>
    public bool WriteZeros { get; init; }

    /// <summary>Whether the kernel copies from file to file, where it can. Then no zeros are left out but the source's holes.</summary>
    public bool InKernel { get; init; }

    public RateLimiter? Rate { get; init; }

    /// <summary>Everything before this offset is in the target already.</summary>
    public long From { get; init; }

    /// <summary>Told how far everything is copied and durable.</summary>
    public CopyJournal? Journal { get; init; }

    /// <summary>How many bytes lie between two records in the journal at least. Each waits until all is durable that was written.</summary>
    public long JournalStep { get; init; } = UsualJournalStep;

    /// <summary>Whether to record how far the copy is when it is cancelled or fails.</summary>
    public bool RecordWhenStopped { get; init; }

    public required TimeProvider Time { get; init; }

    /// <summary>How long the copy may stand still.</summary>
    public required TimeSpan StallTimeout { get; init; }

    public IProgress<ByteProgress>? Progress { get; init; }

    /// <summary>Copies. What was written is not durable yet.</summary>
    /// <exception cref="StorageException">Something cannot be read or written.</exception>
    /// <exception cref="UnavailableException">The copy stood still.</exception>
    /// <exception cref="InsufficientResourceException">There is no space left.</exception>
    public async Task RunAsync(CancellationToken cancellationToken)
    {
        _position = _done = _reported = _recordedAt = From;
        _inKernel = InKernel && !WriteZeros;
        _underWay.AsSpan().Fill(long.MaxValue);
        _readAhead = new(Source, SourcePath, Length);
        using CancellationTokenSource stall = new(StallTimeout, Time);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(stall.Token, cancellationToken);
        var token = stop.Token;
        TaskCompletionSource stopped = new(TaskCreationOptions.RunContinuationsAsynchronously);
        using var registration = token.Register(stopped.SetResult);
        Task[] workers =
        [
            .. Enumerable.Range(0, Threads).Select(worker => Task.Factory.StartNew(
                () => Work(worker, stall, stop), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default)),
        ];
        var all = Task.WhenAll(workers);
        await Task.WhenAny(all, stopped.Task).ConfigureAwait(false);
        if (!all.IsCompleted)
        {
            await Task.WhenAny(all, Task.Delay(s_stopGrace, TimeProvider.System, CancellationToken.None)).ConfigureAwait(false);
        }

        // After a failure nothing is recorded: a flush that follows one that failed says that all is well.
        if (RecordWhenStopped && all.IsCompletedSuccessfully && token.IsCancellationRequested)
        {
            await RecordRestAsync().ConfigureAwait(false);
        }

        cancellationToken.ThrowIfCancellationRequested();
        if (Array.Find(workers, worker => worker.IsFaulted) is { } failed)
        {
            // One that hangs is not waited for.
            await failed.ConfigureAwait(false);
        }

        if (stall.IsCancellationRequested)
        {
            throw new UnavailableException(string.Create(CultureInfo.InvariantCulture, $"The copy of {SourcePath} stood still for {StallTimeout.TotalMinutes:0.#} minutes and was stopped."));
        }
    }

    private void Work(int worker, CancellationTokenSource stall, CancellationTokenSource stop)
    {
        var buffer = ArrayPool<byte>.Shared.Rent(InKernel ? KernelUnit : Unit);
        List<(int Start, int End)> runs = new((Unit / ZeroBlock / 2) + 1);
        Queue<(long Offset, long Length)> unwritten = new((int)(MostUnwritten / Unit));
        long waiting = 0;
        try
        {
            while (Read(worker, buffer, stop.Token, out var offset, out var length, out var isZero, out var isRead))
            {
                if (isZero)
                {
                    Posix.Zero(Target, TargetPath, offset, length);
                }
                else
                {
                    Rate?.TakeAsync(length, stop.Token).GetAwaiter().GetResult();
                    var piece = buffer.AsSpan(0, (int)length);
                    if (!isRead && !TryCopy(offset, length, stop.Token))
                    {
                        _inKernel = false;
                        Fill(piece, offset);
                        isRead = true;
                    }

                    if (isRead)
                    {
                        Write(piece, offset, runs, stop.Token);
                    }

                    Posix.BeginWriting(Target, offset, length);
                    unwritten.Enqueue((offset, length));
                    waiting += length;
                    if (waiting >= MostUnwritten)
                    {
                        waiting -= FinishOldest(unwritten);
                    }
                }

                stall.CancelAfter(StallTimeout);
                Finish(worker, length);
            }
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            // Whoever stopped it tells why.
        }
        catch
        {
            stop.Cancel();
            throw;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    /// <summary>Waits for what a thread wrote first.</summary>
    /// <returns>How many bytes that are.</returns>
    private long FinishOldest(Queue<(long Offset, long Length)> unwritten)
    {
        // Half of it at once: most has long been written, and only the last pieces are waited for.
        long finished = 0;
        while (finished < MostUnwritten / 2)
        {
            var (offset, length) = unwritten.Dequeue();
            FinishWriting(offset, length);
            finished += length;
        }

        return finished;
    }

    private void FinishWriting(long offset, long length)
    {
        _durability.EnterReadLock();
        try
        {
            Posix.FinishWriting(Target, TargetPath, offset, length);
        }
        catch
        {
            // The kernel tells of a loss once: whoever flushes after this is told that all is well.
            Volatile.Write(ref _lost, true);
            throw;
        }
        finally
        {
            _durability.ExitReadLock();
        }
    }

    /// <summary>Takes the next piece of work and reads it, unless it is to be zeroed or to be copied by the kernel.</summary>
    private bool Read(int worker, byte[] buffer, CancellationToken stop, out long offset, out long length, out bool isZero, out bool isRead)
    {
        lock (_reading)
        {
            isRead = false;

            // Whoever has given the copy up may have waited long for the one that hangs.
            stop.ThrowIfCancellationRequested();
            if (!Take(worker, out offset, out length, out isZero))
            {
                return false;
            }

            if (!isZero)
            {
                _readAhead!.Reading(offset, length);
                if (!_inKernel)
                {
                    Fill(buffer.AsSpan(0, (int)length), offset);
                    isRead = true;
                }
            }

            return true;
        }
    }

    private void Fill(Span<byte> buffer, long offset)
    {
        var available = (int)Math.Clamp(Length - offset, 0, buffer.Length);
        var count = available == 0 ? 0 : Posix.Read(Source, SourcePath, buffer[..available], offset);
        DemandWhole(offset, count, available);
        buffer[available..].Clear();
    }

    /// <summary>Has the kernel copy a piece.</summary>
    /// <returns><see langword="false"/> where it does not do it for these two files.</returns>
    private bool TryCopy(long offset, long length, CancellationToken stop)
    {
        lock (_writing)
        {
            stop.ThrowIfCancellationRequested();
            if (Posix.CopyRange(Source, SourcePath, Target, TargetPath, offset, length) is not { } count)
            {
                return false;
            }

            DemandWhole(offset, count, length);
            return true;
        }
    }

    private void DemandWhole(long offset, long count, long wanted)
    {
        if (count < wanted)
        {
            throw new StorageException($"{SourcePath} ends at byte {offset + count} and had {Length}: it was cut off while it was copied.");
        }
    }

    private void Write(ReadOnlySpan<byte> buffer, long offset, List<(int Start, int End)> runs, CancellationToken stop)
    {
        runs.Clear();
        if (WriteZeros)
        {
            runs.Add((0, buffer.Length));
        }
        else
        {
            FindData(buffer, offset, runs);
        }

        lock (_writing)
        {
            // Nothing is written behind the back of whoever has given the copy up.
            stop.ThrowIfCancellationRequested();
            foreach (var (start, end) in runs)
            {
                Posix.Write(Target, TargetPath, buffer[start..end], offset + start);
            }
        }
    }

    /// <summary>Finds the runs of blocks that are not all zeros.</summary>
    private static void FindData(ReadOnlySpan<byte> buffer, long offset, List<(int Start, int End)> runs)
    {
        for (var at = 0; at < buffer.Length;)
        {
            var end = Math.Min(buffer.Length, at + ZeroBlock - (int)((offset + at) % ZeroBlock));
            if (buffer[at..end].ContainsAnyExcept((byte)0))
            {
                if (runs is [.., var last] && last.End == at)
                {
                    runs[^1] = (last.Start, end);
                }
                else
                {
                    runs.Add((at, end));
                }
            }

            at = end;
        }
    }

    /// <summary>Takes the next piece of work; holes are passed on the way.</summary>
    private bool Take(int worker, out long offset, out long length, out bool isZero)
    {
        lock (_gate)
        {
            isZero = false;
            _underWay[worker] = long.MaxValue;
            while (_position < TargetLength)
            {
                if (_position >= _dataEnd)
                {
                    var data = _position < Length ? Posix.NextData(Source, SourcePath, _position, Length) : Length;
                    data = data >= Length ? TargetLength : data;
                    if (WriteZeros)
                    {
                        var whole = data / Unit * Unit;
                        if (_position % Unit == 0 && whole > _position)
                        {
                            (offset, length, isZero) = (_position, Math.Min(whole - _position, LongestZeroing), true);
                            Begin(worker, length);
                            return true;
                        }

                        // Whole units, the holes in them included.
                        _dataEnd = Math.Min(TargetLength, (_position / Unit * Unit) + Unit);
                    }
                    else if (data > _position)
                    {
                        _done += data - _position;
                        _position = data;
                        continue;
                    }
                    else
                    {
                        _dataEnd = Posix.NextHole(Source, SourcePath, _position, Length);
                    }
                }

                var unit = Rate switch
                {
                    { Rate: < Unit } => SmallUnit,
                    null when _inKernel => KernelUnit,
                    _ => Unit,
                };
                offset = _position;
                length = Math.Min(_dataEnd, (_position / unit * unit) + unit) - _position;
                Begin(worker, length);
                return true;
            }

            offset = length = 0;
            return false;
        }
    }

    private void Begin(int worker, long length)
    {
        _underWay[worker] = _position;
        _position += length;
    }

    private void Finish(int worker, long length)
    {
        long record = 0;
        lock (_gate)
        {
            _done += length;
            _underWay[worker] = long.MaxValue;
            var done = Math.Min(_done, Length);
            if (Progress is not null && done - _reported >= ProgressStep)
            {
                _reported = done;
                Progress.Report(new(done, Length));
            }

            var whole = Whole();
            if (Journal is not null && !_recording && whole - _recordedAt >= JournalStep)
            {
                (_recording, _recordedAt, record) = (true, whole, whole);
            }
        }

        if (record > 0)
        {
            Record(record);
            lock (_gate)
            {
                _recording = false;
            }
        }
    }

    private void Record(long done)
    {
        _durability.EnterWriteLock();
        try
        {
            if (!Volatile.Read(ref _lost))
            {
                Posix.SyncData(Target, TargetPath);
                Journal!.Record(done);
            }
        }
        finally
        {
            _durability.ExitWriteLock();
        }
    }

    /// <summary>Where the first piece begins that is not copied.</summary>
    private long Whole() => Math.Min(_position, _underWay.Min());

    /// <summary>Writes down how far the copy is, unless that takes too long.</summary>
    private async Task RecordRestAsync()
    {
        if (Journal is not null && Whole() is > 0 and var whole)
        {
            var flushing = Task.Run(() => Posix.SyncData(Target, TargetPath));
            await Task.WhenAny(flushing, Task.Delay(s_stopGrace, TimeProvider.System, CancellationToken.None)).ConfigureAwait(false);
            if (flushing.IsCompletedSuccessfully)
            {
                Journal.Record(whole);
            }
        }
    }
}

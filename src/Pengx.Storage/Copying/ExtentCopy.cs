using System.Buffers;
using System.Globalization;
using Microsoft.Win32.SafeHandles;

namespace Pengx.Storage;

/// <summary>Copies the parts of a file or device that hold data, with several threads: while some wait for the disk, others
/// work. On a busy host it is the waking up that takes the time, so pieces are large and waits are few.</summary>
/// <remarks>Many read at once, which keeps the disk's queue full; one writes at a time, since the kernel lets only one into a file
/// and the others would spin for it. A thread asks the kernel to begin writing what it wrote, so that reading and writing overlap, and
/// now and then waits for what it wrote a while ago, so that a copy never fills the memory with what is still to be written.</remarks>
internal sealed class ExtentCopy
{
    private const int Unit = 2 * 1024 * 1024;
    private const int SmallUnit = 64 * 1024;
    private const int Threads = 8;

    // Zeros are left out in pieces of this size: smaller holes would cost more extents than they save space.
    private const int ZeroBlock = 64 * 1024;
    private const long LongestZeroing = 64 * 1024 * 1024;
    private const int UnitsUnwritten = 16;
    private const long ProgressStep = 16 * 1024 * 1024;

    // A thread that does not come back within this time after it was told to stop hangs in the kernel, and is left there.
    private static readonly TimeSpan s_stopGrace = TimeSpan.FromSeconds(5);

    private readonly Lock _gate = new();
    private readonly Lock _writing = new();
    private readonly long[] _underWay = new long[Threads];
    private long _position;
    private long _dataEnd;
    private long _done;
    private long _reported;
    private long _recordedAt;
    private bool _recording;

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

    public RateLimiter? Rate { get; init; }

    /// <summary>Everything before this offset is in the target already.</summary>
    public long From { get; init; }

    /// <summary>Told how far everything is copied and durable.</summary>
    public CopyJournal? Journal { get; init; }

    /// <summary>How many bytes lie between two records in the journal at least.</summary>
    public long JournalStep { get; init; } = 512L * 1024 * 1024;

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
        _underWay.AsSpan().Fill(long.MaxValue);
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

        if (RecordWhenStopped && all.IsCompleted && token.IsCancellationRequested)
        {
            await Task.Run(RecordRest, CancellationToken.None).ConfigureAwait(false);
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
        var buffer = ArrayPool<byte>.Shared.Rent(Unit);
        Queue<(long Offset, int Length)> unwritten = new(UnitsUnwritten);
        try
        {
            while (!stop.IsCancellationRequested && Take(worker, out var offset, out var length, out var isZero))
            {
                if (isZero)
                {
                    Posix.Zero(Target, TargetPath, offset, length);
                }
                else
                {
                    Rate?.TakeAsync(length, stop.Token).GetAwaiter().GetResult();
                    Copy(buffer.AsSpan(0, (int)length), offset, stop.Token);
                    Posix.BeginWriting(Target, offset, length);
                    unwritten.Enqueue((offset, (int)length));
                    if (unwritten.Count == UnitsUnwritten)
                    {
                        FinishOldest(unwritten);
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

    private void FinishOldest(Queue<(long Offset, int Length)> unwritten)
    {
        // Half of them at once: most have long been written, and only the last ones are waited for.
        while (unwritten.Count > UnitsUnwritten / 2)
        {
            var (offset, length) = unwritten.Dequeue();
            Posix.FinishWriting(Target, offset, length);
        }
    }

    private void Copy(Span<byte> buffer, long offset, CancellationToken stop)
    {
        var available = (int)Math.Clamp(Length - offset, 0, buffer.Length);
        var count = available == 0 ? 0 : Posix.Read(Source, SourcePath, buffer[..available], offset);
        if (count < available)
        {
            throw new StorageException($"{SourcePath} ends at byte {offset + count} and had {Length}: it was cut off while it was copied.");
        }

        buffer[available..].Clear();
        lock (_writing)
        {
            // Whoever has given the copy up may have waited long for the one that hangs; nothing is written behind its back.
            stop.ThrowIfCancellationRequested();
            Write(buffer, offset);
        }
    }

    private void Write(ReadOnlySpan<byte> buffer, long offset)
    {
        if (WriteZeros)
        {
            Posix.Write(Target, TargetPath, buffer, offset);
            return;
        }

        // Runs of blocks that are not all zeros.
        var start = -1;
        for (var at = 0; at < buffer.Length;)
        {
            var end = Math.Min(buffer.Length, at + ZeroBlock - (int)((offset + at) % ZeroBlock));
            if (buffer[at..end].ContainsAnyExcept((byte)0))
            {
                start = start < 0 ? at : start;
            }
            else if (start >= 0)
            {
                Posix.Write(Target, TargetPath, buffer[start..at], offset + start);
                start = -1;
            }

            at = end;
        }

        if (start >= 0)
        {
            Posix.Write(Target, TargetPath, buffer[start..], offset + start);
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

                var unit = Rate is { Rate: < Unit } ? SmallUnit : Unit;
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
            Posix.SyncData(Target, TargetPath);
            Journal!.Record(record);
            lock (_gate)
            {
                _recording = false;
            }
        }
    }

    /// <summary>Where the first piece begins that is not copied.</summary>
    private long Whole() => Math.Min(_position, _underWay.Min());

    private void RecordRest()
    {
        if (Journal is not null && Whole() is > 0 and var whole)
        {
            Posix.SyncData(Target, TargetPath);
            Journal.Record(whole);
        }
    }
}

using System.Globalization;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Win32.SafeHandles;

namespace Pengx.Storage;

/// <summary>Copies disk images in the fastest safe way that a pair of source and target has, and says which and why.</summary>
/// <remarks>
/// A copy into a file grows under a hidden name beside its place (<c>.{name}.part</c>), is made durable, and only then gets its
/// name: what has the name is whole. A failed or cancelled copy leaves nothing; a killed one leaves the hidden file, which
/// the next attempt goes on with or replaces. The bytes of a device or an RBD image are written where they belong, and after
/// a failure are of no use. Safe to use from many threads and from several processes.
/// </remarks>
/// <param name="runner">Runs <c>qemu-img</c>.</param>
/// <param name="options">How it is run; the defaults when not given.</param>
/// <param name="timeProvider">The clock; the system's when not given.</param>
/// <param name="logger">Told of copies and how they were made.</param>
public sealed class ImageCopier(
    IProcessRunner runner,
    ImageToolOptions? options = null,
    TimeProvider? timeProvider = null,
    ILogger<ImageCopier>? logger = null)
{
    private const int OwnerAttempts = 25;

    private readonly ImageToolOptions _options = options ?? new();
    private readonly ImageTool _images = new(runner, options);
    private readonly TimeProvider _time = timeProvider ?? TimeProvider.System;
    private readonly ILogger _logger = logger ?? NullLogger<ImageCopier>.Instance;

    /// <summary>Whether blocks may be shared; tests take the slow ways.</summary>
    internal bool MayShare { get; init; } = true;

    /// <summary>How many bytes lie between two records of how far a copy is.</summary>
    internal long JournalStep { get; init; } = ExtentCopy.UsualJournalStep;

    /// <summary>Says how an image would be copied, and why so. Changes nothing.</summary>
    /// <param name="request">The copy.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    /// <exception cref="ArgumentException">The request is not one that can be carried out; the message says what is wrong.</exception>
    /// <exception cref="InUseException">Something writes to the source, and that was not allowed.</exception>
    /// <exception cref="StorageException">The source cannot be read, or the target not be used.</exception>
    public async Task<CopyPlan> PlanAsync(CopyRequest request, CancellationToken cancellationToken = default)
    {
        Validate(request);
        var native = request.Native is { } clone && await clone.Storage.CanCloneAsync(clone.Storlink, clone.Disk, cancellationToken).ConfigureAwait(false);
        return WithCommand(CopyPlanner.Plan(request, await FactsAsync(request, native, cancellationToken).ConfigureAwait(false)));
    }

    /// <summary>Copies an image; durable when this returns.</summary>
    /// <param name="request">The copy.</param>
    /// <param name="progress">Told of the bytes of the source that are done; jumps where blocks are shared.</param>
    /// <param name="cancellationToken">Stops the work at once and removes what was half made.</param>
    /// <exception cref="ArgumentException">The request is not one that can be carried out; the message says what is wrong.</exception>
    /// <exception cref="InUseException">Something writes to the source, has the target open, or is making the same copy.</exception>
    /// <exception cref="InsufficientResourceException">There is not enough space, with the figures.</exception>
    /// <exception cref="StorageException">Something cannot be read or written, or the source changed meanwhile.</exception>
    /// <exception cref="UnavailableException">The copy stood still for longer than <see cref="ImageToolOptions.StallTimeout"/>.</exception>
    /// <exception cref="ProcessFailedException">The tool failed; the message has its words.</exception>
    public async Task<CopyResult> CopyAsync(CopyRequest request, IProgress<ByteProgress>? progress = null, CancellationToken cancellationToken = default)
    {
        var plan = await PlanAsync(request, cancellationToken).ConfigureAwait(false);
        return await ExecuteAsync(plan, progress, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Carries out a plan that was made a moment ago; durable when this returns.</summary>
    /// <param name="plan">The plan.</param>
    /// <param name="progress">Told of the bytes of the source that are done; jumps where blocks are shared.</param>
    /// <param name="cancellationToken">Stops the work at once and removes what was half made.</param>
    /// <exception cref="InUseException">Something writes to the source, has the target open, or is making the same copy.</exception>
    /// <exception cref="InsufficientResourceException">There is not enough space, with the figures.</exception>
    /// <exception cref="StorageException">Something cannot be read or written, or the source changed meanwhile.</exception>
    /// <exception cref="UnavailableException">The copy stood still for longer than <see cref="ImageToolOptions.StallTimeout"/>.</exception>
    /// <exception cref="ProcessFailedException">The tool failed; the message has its words.</exception>
    public async Task<CopyResult> ExecuteAsync(CopyPlan plan, IProgress<ByteProgress>? progress = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(plan);
        var started = _time.GetTimestamp();
        var resumed = DataSize.Zero;
        try
        {
            resumed = await CarryOutAsync(plan, progress, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new StorageException($"{plan.Request.Source.Location} could not be copied to {plan.Request.Target.Location}: {exception.Message}", exception);
        }

        progress?.Report(new(plan.Size.Bytes, plan.Size.Bytes));
        CopyResult result = new(plan, _time.GetElapsedTime(started), resumed);
        _logger.ImageCopied(plan.Request.Source.Location, plan.Request.Target.Location, plan.Method, result.Elapsed, plan.Reason);
        return result;
    }

    private async Task<DataSize> CarryOutAsync(CopyPlan plan, IProgress<ByteProgress>? progress, CancellationToken cancellationToken)
    {
        if (plan.Method == CopyMethod.NativeClone)
        {
            var native = plan.Request.Native!;
            await native.Storage.CloneAsync(native.Storlink, native.Disk, native.Volume, cancellationToken).ConfigureAwait(false);
        }
        else if (plan.Request.Target.Location is FileLocation target)
        {
            return await IntoFileAsync(plan, target.Path, progress, cancellationToken).ConfigureAwait(false);
        }
        else if (plan.Request.Target.Location is BlockLocation block)
        {
            await IntoBlockAsync(plan, block.Path, progress, cancellationToken).ConfigureAwait(false);
        }
        else
        {
            await _images.ConvertAsync(plan.Request.Source, plan.Request.Target, plan.Conversion!, ByteShare.Of(progress, plan.Size), cancellationToken).ConfigureAwait(false);
        }

        return DataSize.Zero;
    }

    /// <summary>Fills a hidden file with a copy, of the size that was asked for, and makes its content durable.</summary>
    /// <param name="plan">The plan.</param>
    /// <param name="part">The file.</param>
    /// <param name="handle">The file, open, and owned by the caller. Empty, or what an earlier attempt left.</param>
    /// <param name="progress">Told of the bytes of the source that are done.</param>
    /// <param name="cancellationToken">Stops the work at once; the file is the caller's to remove.</param>
    /// <returns>How many bytes of the source an earlier attempt had copied.</returns>
    internal async Task<DataSize> FillAsync(CopyPlan plan, string part, SafeFileHandle handle, IProgress<ByteProgress>? progress, CancellationToken cancellationToken)
    {
        var request = plan.Request;
        var resumed = DataSize.Zero;
        if (plan.Method != CopyMethod.Extents)
        {
            ForgetJournal(part);
        }

        if (plan.Method is CopyMethod.Clone or CopyMethod.Extents)
        {
            resumed = await InProcessAsync(plan, part, handle, progress, cancellationToken).ConfigureAwait(false);
        }
        else
        {
            RandomAccess.SetLength(handle, 0);
            await _images.ConvertAsync(request.Source, new(new FileLocation(part), request.Target.Format), plan.Conversion!, ByteShare.Of(progress, plan.Size), cancellationToken)
                .ConfigureAwait(false);
        }

        await FlushAsync(handle, part, cancellationToken).ConfigureAwait(false);
        var made = ImageChain.SizeOf(part, request.Target.Format);

        // A raw image that the tool makes ends at a whole sector.
        if (made < plan.Size)
        {
            throw new StorageException($"The copy of {request.Source.Location} has {made} instead of {plan.Size}, and was not kept.");
        }

        if (request.Size is { } size && made < size)
        {
            if (request.Target.Format == DiskFormat.Raw)
            {
                RandomAccess.SetLength(handle, size.Bytes);
            }
            else
            {
                // It is no longer what was copied from here on, and nobody may go on as if it were.
                ForgetJournal(part);
                Posix.SyncDirectory(Path.GetDirectoryName(part)!);
                await _images.ResizeAsync(new(new FileLocation(part), request.Target.Format), size, cancellationToken).ConfigureAwait(false);
            }

            await FlushAsync(handle, part, cancellationToken).ConfigureAwait(false);
        }

        return resumed;
    }

    private CopyPlan WithCommand(CopyPlan plan)
    {
        if (plan.Conversion is null)
        {
            return plan;
        }

        var target = plan.Request.Target;
        target = target.Location is FileLocation file ? target with { Location = new FileLocation(CopyPart.PathOf(file.Path)) } : target;
        var command = $"{_options.QemuImg} {string.Join(' ', ImageTool.ConversionArguments(plan.Request.Source, target, plan.Conversion))}";
        return plan with { Steps = [.. plan.Steps.Select(step => step == CopyPlanner.Conversion ? command : step)] };
    }

    private static void Validate(CopyRequest request)
    {
        ArgumentNullException.ThrowIfNull(request);
        ArgumentNullException.ThrowIfNull(request.Source);
        ArgumentNullException.ThrowIfNull(request.Target);
        if (request.RateLimit.Bytes < 0)
        {
            throw new ArgumentException($"The rate limit of {request.RateLimit.Bytes} bytes a second is below 0.", nameof(request));
        }

        if (request.Native is { } native && (native.Volume is not { Source: null, Backing: null } || native.Volume.Format != request.Target.Format || native.Volume.Format != request.Source.Format))
        {
            throw new ArgumentException("A clone has the format of its source, and what it is made from is told beside its volume.", nameof(request));
        }

        if (request.Size is not null && request.Target.Location is not FileLocation)
        {
            throw new ArgumentException("Only a copy into a file can be given a size: a device has the size that it has.", nameof(request));
        }

        if (request.Size is { } size && (size.Bytes <= 0 || size.Bytes % 512 != 0))
        {
            throw new ArgumentException($"The size of a disk is a multiple of 512 bytes above zero; {size.Bytes} is not.", nameof(request));
        }

        foreach (var layer in new[] { request.Source, request.Target })
        {
            if (layer.Location is not RbdLocation)
            {
                var path = ImageTool.PathOf(layer);
                if (path.Contains('\0', StringComparison.Ordinal) || path.Split('/').Any(part => part is "." or ".."))
                {
                    throw new ArgumentException($"'{path}' is not an absolute path without '.' and '..'.", nameof(request));
                }
            }
        }

        if (request.Source.Location == request.Target.Location)
        {
            throw new ArgumentException($"{request.Source.Location} cannot be copied onto itself.", nameof(request));
        }
    }

    private async Task<CopyFacts> FactsAsync(CopyRequest request, bool native, CancellationToken cancellationToken)
    {
        var chain = await ImageChain.ReadAsync(request.Source, _images, request.Roots, cancellationToken).ConfigureAwait(false);
        var facts = request.Source.Location is RbdLocation
            ? RemoteFacts(request, chain)
            : await Task.Run(() => LocalFacts(request, chain, native), cancellationToken).ConfigureAwait(false);
        facts = facts with { CanCloneNatively = native };
        if ((native ? request.Native?.Volume.Size : request.Size) is { } size && size < facts.Size)
        {
            throw new StorageException($"A disk of {size} cannot hold the image {request.Source.Location}, which has {facts.Size}.");
        }

        return facts;
    }

    // Whether something writes to an RBD image is not asked by locks; the plan says what was allowed.
    private static CopyFacts RemoteFacts(CopyRequest request, ImageChain chain) =>
        new() { Size = chain.Size, Allocated = chain.Allocated, Layers = chain.Layers.Count, IsInUse = request.WhileInUse };

    private CopyFacts LocalFacts(CopyRequest request, ImageChain chain, bool native)
    {
        if (!native && request.Target.Location is BlockLocation target)
        {
            using var device = Posix.OpenBlockRead(target.Path);
            var length = Posix.LengthOf(device, target.Path);
            if (request.Target.Format == DiskFormat.Raw && length < chain.Size.Bytes)
            {
                throw new StorageException($"The device {target.Path} of {new DataSize(length)} cannot hold the image {request.Source.Location}, which has {chain.Size}.");
            }
        }

        using var handle = OpenSource(request.Source);
        return new()
        {
            Size = chain.Size,
            Allocated = chain.Allocated,
            Layers = chain.Layers.Count,
            HasExtras = chain.Layers[0].Header is { } header && (header.SnapshotCount > 0 || header.BitmapCount > 0),
            IsInUse = ImageLock.ForReading(handle, ImageTool.PathOf(request.Source), request.WhileInUse),
            Sharing = SharingOf(chain, request.Target.Location),
        };
    }

    private Sharing SharingOf(ImageChain chain, DiskLocation target)
    {
        if (!MayShare || target is not FileLocation { Path: var path } || chain.Layers.Any(layer => layer.Image.Location is RbdLocation))
        {
            return Sharing.None;
        }

        var directory = Path.GetDirectoryName(path) ?? "/";
        var able = chain.Layers.Count(layer => layer.Image.Location is FileLocation file && Posix.CanClone(file.Path, directory));
        return able == chain.Layers.Count ? Sharing.All : able > 0 ? Sharing.Some : Sharing.None;
    }

    private static SafeFileHandle OpenSource(DiskLayer source) =>
        source.Location is BlockLocation block ? Posix.OpenBlockRead(block.Path) : Posix.OpenRead(ImageTool.PathOf(source));

    private static void DemandFree(CopyPlan plan, string directory, long done)
    {
        DataSize free = new(new DriveInfo(directory).AvailableFreeSpace);
        var needed = new DataSize(Math.Max(0, plan.ExpectedBytes.Bytes - done));
        if (needed > free)
        {
            throw new InsufficientResourceException($"{directory} has {free.MiB} MiB free, and {needed.MiBCeiling} MiB are needed for the copy of {plan.Request.Source.Location}.");
        }
    }

    private async Task<DataSize> IntoFileAsync(CopyPlan plan, string target, IProgress<ByteProgress>? progress, CancellationToken cancellationToken)
    {
        var directory = Path.GetDirectoryName(target)!;
        if (!Directory.Exists(directory))
        {
            throw new StorageException($"The directory {directory} does not exist.");
        }

        if (Posix.Status(target) is not null)
        {
            throw new StorageException($"{target} is there already, and is not written over.");
        }

        var part = CopyPart.PathOf(target);
        using var handle = await OwnPartAsync(part, cancellationToken).ConfigureAwait(false);
        var keep = false;
        try
        {
            DemandFree(plan, directory, Posix.Status(part)?.Allocated ?? 0);
            keep = plan is { Method: CopyMethod.Extents, Request.KeepWhenInterrupted: true };
            var resumed = await FillAsync(plan, part, handle, progress, cancellationToken).ConfigureAwait(false);
            cancellationToken.ThrowIfCancellationRequested();
            keep = false;
            File.Delete(CopyPart.JournalOf(part));
            if (!Posix.TryRename(part, target))
            {
                throw new StorageException($"{target} appeared while it was copied, and is not written over.");
            }

            Posix.SyncDirectory(directory);
            return resumed;
        }
        catch
        {
            if (!keep)
            {
                await Leftovers.TryRemoveAsync(_logger, CopyPart.JournalOf(part), part).ConfigureAwait(false);
            }

            throw;
        }
    }

    private static async Task<SafeFileHandle> OwnPartAsync(string part, CancellationToken cancellationToken)
    {
        while (true)
        {
            var status = Posix.Status(part);
            if (status is { IsRegular: false })
            {
                throw new StorageException($"{part} is not a plain file, and is in the way of a copy.");
            }

            var handle = status is null ? Posix.CreateNew(part) : Posix.OpenWrite(part);
            try
            {
                if (!await Posix.TryOwnAsync(handle, part, OwnerAttempts, cancellationToken).ConfigureAwait(false))
                {
                    throw new InUseException($"The same copy is being made by another: {part} is its.");
                }

                // The other may have finished in between: then what is open here has the copy's own name.
                if (Posix.IsStill(part, Posix.IdentityOf(handle, part)))
                {
                    return handle;
                }
            }
            catch
            {
                handle.Dispose();
                throw;
            }

            handle.Dispose();
        }
    }

    private async Task<DataSize> InProcessAsync(CopyPlan plan, string part, SafeFileHandle target, IProgress<ByteProgress>? progress, CancellationToken cancellationToken)
    {
        var request = plan.Request;
        var path = ImageTool.PathOf(request.Source);
        using var source = OpenSource(request.Source);
        ImageLock.ForReading(source, path, request.WhileInUse);
        var before = IdentityOf(request.Source, source, path);
        if (plan.Method == CopyMethod.Clone)
        {
            // What an earlier attempt left beyond the source's end would stay.
            RandomAccess.SetLength(target, 0);
            if (!await Task.Run(() => Posix.TryClone(source, target), cancellationToken).ConfigureAwait(false))
            {
                throw new StorageException($"The file system does not let {part} share the blocks of {path}, though it did a moment ago.");
            }
        }

        var done = plan.Method == CopyMethod.Clone ? before.Length : await ExtentsAsync(plan, part, target, source, before, progress, cancellationToken).ConfigureAwait(false);
        DemandUnchanged(request, source, path, before);
        return plan.Method == CopyMethod.Clone ? DataSize.Zero : new(done);
    }

    private async Task<long> ExtentsAsync(
        CopyPlan plan, string part, SafeFileHandle target, SafeFileHandle source, FileIdentity identity, IProgress<ByteProgress>? progress, CancellationToken cancellationToken)
    {
        var path = ImageTool.PathOf(plan.Request.Source);
        long done = 0;
        using var journal = !plan.Request.WhileInUse && (plan.Request.Source.Location is FileLocation || plan.Request.SourceIsFrozen)
            ? CopyJournal.Open(part, target, identity, out done)
            : null;
        if (journal is null)
        {
            ForgetJournal(part);
        }

        // What lies beyond was never flushed for certain: it is made again.
        RandomAccess.SetLength(target, done);
        RandomAccess.SetLength(target, identity.Length);
        await new ExtentCopy
        {
            Source = source,
            SourcePath = path,
            Length = identity.Length,
            Target = target,
            TargetPath = part,
            TargetLength = identity.Length,
            From = done,

            // A qcow2 image holds no zeros that could be left out: those are marked as such.
            InKernel = plan.Request.Source.Format == DiskFormat.Qcow2,
            Journal = journal,
            JournalStep = JournalStep,
            Rate = plan.Request.RateLimit.Bytes > 0 ? new(plan.Request.RateLimit.Bytes, _time) : null,
            Time = _time,
            StallTimeout = _options.StallTimeout,
            Progress = progress,
            RecordWhenStopped = plan.Request.KeepWhenInterrupted,
        }.RunAsync(cancellationToken).ConfigureAwait(false);
        return done;
    }

    private async Task IntoBlockAsync(CopyPlan plan, string device, IProgress<ByteProgress>? progress, CancellationToken cancellationToken)
    {
        var request = plan.Request;
        using var target = Posix.OpenBlockWrite(device);
        ImageLock.ForWriting(target, device);
        var length = Posix.LengthOf(target, device);
        var zeros = request.TargetContent == CopyTargetContent.Unknown;
        if (plan.Method == CopyMethod.Extents)
        {
            var path = ImageTool.PathOf(request.Source);
            using var source = OpenSource(request.Source);
            ImageLock.ForReading(source, path, request.WhileInUse);
            var before = IdentityOf(request.Source, source, path);
            if (before.Length > length)
            {
                throw new StorageException($"The device {device} of {new DataSize(length)} cannot hold the image {path}, which has {new DataSize(before.Length)}.");
            }

            await new ExtentCopy
            {
                Source = source,
                SourcePath = path,
                Length = before.Length,
                Target = target,
                TargetPath = device,
                TargetLength = zeros ? length : before.Length,
                WriteZeros = zeros,
                Rate = request.RateLimit.Bytes > 0 ? new(request.RateLimit.Bytes, _time) : null,
                Time = _time,
                StallTimeout = _options.StallTimeout,
                Progress = progress,
            }.RunAsync(cancellationToken).ConfigureAwait(false);
            DemandUnchanged(request, source, path, before);
        }
        else
        {
            if (zeros && request.Target.Format == DiskFormat.Raw)
            {
                await ZeroAsync(target, device, plan.Size.Bytes, length, cancellationToken).ConfigureAwait(false);
            }

            // The tool takes the image's locks itself; the device stays reserved.
            ImageLock.Release(target, device);
            await _images.ConvertAsync(request.Source, request.Target, plan.Conversion!, ByteShare.Of(progress, plan.Size), cancellationToken).ConfigureAwait(false);
        }

        await FlushAsync(target, device, cancellationToken).ConfigureAwait(false);
    }

    private async Task ZeroAsync(SafeFileHandle device, string path, long from, long end, CancellationToken cancellationToken)
    {
        const long piece = 64 * 1024 * 1024;
        const int sector = 4096;
        var aligned = Math.Min(end, (from + sector - 1) / sector * sector);
        if (aligned > from)
        {
            await PieceAsync(() => Posix.Write(device, path, new byte[aligned - from], from)).ConfigureAwait(false);
        }

        for (var at = aligned; at < end; at += piece)
        {
            var (offset, count) = (at, Math.Min(piece, end - at));
            await PieceAsync(() => Posix.Zero(device, path, offset, count)).ConfigureAwait(false);
        }

        // A piece is waited for when the work is cancelled, too: nothing is written behind the back of whoever gave it up. A device whose
        // paths are gone lets the thread hang in the kernel; whoever waits for it is let go.
        async Task PieceAsync(Action work)
        {
            cancellationToken.ThrowIfCancellationRequested();
            try
            {
                await Task.Run(work, CancellationToken.None).WaitAsync(_options.StallTimeout, _time, CancellationToken.None).ConfigureAwait(false);
            }
            catch (TimeoutException)
            {
                throw new UnavailableException(string.Create(CultureInfo.InvariantCulture, $"{path} took no zeros for {_options.StallTimeout.TotalMinutes:0.#} minutes."));
            }
        }
    }

    private static FileIdentity IdentityOf(DiskLayer source, SafeFileHandle handle, string path)
    {
        var identity = Posix.IdentityOf(handle, path);

        // The node of a device says nothing of when somebody wrote to it.
        return source.Location is BlockLocation ? identity with { Length = Posix.LengthOf(handle, path), ModifiedAt = 0, ChangedAt = 0 } : identity;
    }

    private static void DemandUnchanged(CopyRequest request, SafeFileHandle source, string path, FileIdentity before)
    {
        var after = IdentityOf(request.Source, source, path);
        if (!request.WhileInUse && (after.Length, after.ModifiedAt) != (before.Length, before.ModifiedAt))
        {
            throw new StorageException($"{path} was written while it was copied, by a program that takes no locks; the copy was not kept.");
        }
    }

    private Task FlushAsync(SafeFileHandle handle, string path, CancellationToken cancellationToken) =>
        WriteBack.FlushAsync(handle, path, _options.StallTimeout, _time, cancellationToken);

    /// <summary>Lets nobody believe what was written down of an earlier content.</summary>
    private static void ForgetJournal(string part) => File.Delete(CopyPart.JournalOf(part));
}

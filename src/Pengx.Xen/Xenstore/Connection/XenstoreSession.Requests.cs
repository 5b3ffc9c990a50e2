using System.Buffers;
using System.Globalization;
using System.Text;

namespace Pengx.Xen;

// What each request carries and what its answer means. The transaction is 0 outside of any.
internal sealed partial class XenstoreSession
{
    /// <summary>How often a directory that changes while it is read in parts is begun again.</summary>
    private const int MaxRestarts = 16;

    internal ValueTask<XenstoreValue?> FindAsync(uint transaction, XenstorePath path, CancellationToken cancellationToken)
    {
        var request = OfNode(XenstoreOperation.Read, transaction, XenstoreAnswer.PayloadOrMissing, path, default, cancellationToken);
        return new ValueTask<XenstoreValue?>(request, request.Version);
    }

    internal ValueTask<XenstoreValue> ReadAsync(uint transaction, XenstorePath path, CancellationToken cancellationToken)
    {
        var request = OfNode(XenstoreOperation.Read, transaction, XenstoreAnswer.Payload, path, default, cancellationToken);
        return new ValueTask<XenstoreValue>(request, request.Version);
    }

    internal ValueTask WriteAsync(uint transaction, XenstorePath path, XenstoreValue value, CancellationToken cancellationToken) =>
        Done(OfNode(XenstoreOperation.Write, transaction, XenstoreAnswer.Done, path, value.Bytes.Span, cancellationToken));

    internal ValueTask MakeDirectoryAsync(uint transaction, XenstorePath path, CancellationToken cancellationToken) =>
        Done(OfNode(XenstoreOperation.MakeDirectory, transaction, XenstoreAnswer.Done, path, default, cancellationToken));

    internal ValueTask RemoveAsync(uint transaction, XenstorePath path, CancellationToken cancellationToken) =>
        Done(OfNode(XenstoreOperation.Remove, transaction, XenstoreAnswer.DoneOrMissing, path, default, cancellationToken));

    internal async ValueTask<IReadOnlyList<string>?> FindChildrenAsync(uint transaction, XenstorePath path, bool isMissingFine, CancellationToken cancellationToken)
    {
        var request = OfNode(
            XenstoreOperation.Directory, transaction, isMissingFine ? XenstoreAnswer.PayloadOrMissing : XenstoreAnswer.Payload, path, default, cancellationToken);
        try
        {
            return await Payload(request).ConfigureAwait(false) is { } names ? Decode(XenstoreOperation.Directory, names, XenstorePayload.ReadNames) : null;
        }
        catch (XenstoreRefusedException exception) when (exception.Error == XenstoreError.E2BIG)
        {
            return await FindChildrenByPartsAsync(transaction, path, isMissingFine, exception, cancellationToken).ConfigureAwait(false);
        }
    }

    internal async ValueTask<XenstorePermissions> GetPermissionsAsync(uint transaction, XenstorePath path, CancellationToken cancellationToken)
    {
        var payload = await Payload(Send(XenstoreOperation.GetPermissions, transaction, XenstoreAnswer.Payload, path.Value, path.Value, default, cancellationToken)).ConfigureAwait(false);
        return Decode(XenstoreOperation.GetPermissions, payload!, XenstorePayload.ReadPermissions);
    }

    internal ValueTask SetPermissionsAsync(uint transaction, XenstorePath path, XenstorePermissions permissions, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(permissions);
        ArgumentNullException.ThrowIfNull(permissions.Domains, nameof(permissions));
        foreach (var domainId in permissions.Domains.Select(grant => grant.DomainId).Prepend(permissions.Owner))
        {
            RequireDomain(domainId, nameof(permissions));
        }

        var texts = Encoding.ASCII.GetBytes(string.Concat(XenstorePayload.PermissionTexts(permissions).Select(text => text + '\0')));
        return Done(Send(XenstoreOperation.SetPermissions, transaction, XenstoreAnswer.Done, path.Value, path.Value, texts, cancellationToken));
    }

    /// <summary>Not cancelled: one that was given up is ended when its answer comes.</summary>
    internal async ValueTask<uint> StartTransactionAsync(CancellationToken cancellationToken)
    {
        var payload = await Payload(Send(XenstoreOperation.TransactionStart, 0, XenstoreAnswer.Payload, null, null, "\0"u8, cancellationToken)).ConfigureAwait(false);
        return Decode(XenstoreOperation.TransactionStart, payload!, XenstorePayload.ReadTransactionId);
    }

    internal ValueTask EndTransactionAsync(uint transaction, bool commit, CancellationToken cancellationToken) =>
        Done(Send(XenstoreOperation.TransactionEnd, transaction, XenstoreAnswer.Done, null, null, commit ? "T\0"u8 : "F\0"u8, cancellationToken));

    internal ValueTask WatchAsync(XenstoreWatch watch, CancellationToken cancellationToken)
    {
        var rest = watch.Depth is { } depth ? string.Create(CultureInfo.InvariantCulture, $"{watch.Token}\0{depth}\0") : $"{watch.Token}\0";
        return Done(Send(XenstoreOperation.Watch, 0, XenstoreAnswer.Done, watch.Path.Value, watch.Path.Value, Encoding.ASCII.GetBytes(rest), cancellationToken, watch));
    }

    internal ValueTask UnwatchAsync(XenstoreWatch watch, CancellationToken cancellationToken) =>
        Done(Send(XenstoreOperation.Unwatch, 0, XenstoreAnswer.DoneOrMissing, watch.Path.Value, watch.Path.Value, Encoding.ASCII.GetBytes($"{watch.Token}\0"), cancellationToken));

    /// <summary>A request of texts that is answered by OK.</summary>
    internal ValueTask DoAsync(XenstoreOperation operation, string? subject, ReadOnlySpan<byte> payload, CancellationToken cancellationToken) =>
        Done(Send(operation, 0, XenstoreAnswer.Done, subject, null, payload, cancellationToken));

    /// <summary>A request of texts whose answer means something.</summary>
    internal async ValueTask<TResult> AskAsync<TResult>(
        XenstoreOperation operation, string? subject, ReadOnlyMemory<byte> payload, PayloadReader<TResult> read, CancellationToken cancellationToken)
    {
        var answer = await Payload(Send(operation, 0, XenstoreAnswer.Payload, subject, null, payload.Span, cancellationToken)).ConfigureAwait(false);
        return Decode(operation, answer!, read);
    }

    internal static void RequireDomain(int domainId, string name)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(domainId, name);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(domainId, ushort.MaxValue, name);
    }

    /// <summary>A directory whose names do not fit into one message.</summary>
    internal async ValueTask<IReadOnlyList<string>?> FindChildrenByPartsAsync(
        uint transaction, XenstorePath path, bool isMissingFine, XenstoreRefusedException tooBig, CancellationToken cancellationToken)
    {
        ArrayBufferWriter<byte> names = new();
        for (var restarts = 0; ; restarts++)
        {
            names.ResetWrittenCount();
            byte[]? generation = null;
            var isChanged = false;
            while (!IsWhole(names.WrittenSpan, generation is not null))
            {
                var offset = Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{names.WrittenCount}\0"));
                byte[]? part;
                try
                {
                    part = await Payload(OfNode(
                        XenstoreOperation.DirectoryPart, transaction, isMissingFine ? XenstoreAnswer.PayloadOrMissing : XenstoreAnswer.Payload, path, offset, cancellationToken)).ConfigureAwait(false);
                }
                catch (XenstoreRefusedException exception) when (exception.Error == XenstoreError.ENOSYS)
                {
                    // A daemon that cannot list it in parts cannot list it at all.
                    throw tooBig;
                }

                if (part is null)
                {
                    return null;
                }

                var end = part.AsSpan().IndexOf((byte)0);
                if (end <= 0 || end == part.Length - 1)
                {
                    throw Distrust(XenstoreOperation.DirectoryPart, new FormatException("a generation and names were expected"));
                }

                if (generation is not null && !part.AsSpan(0, end).SequenceEqual(generation))
                {
                    isChanged = true;
                    break;
                }

                generation ??= part[..end];
                names.Write(part.AsSpan(end + 1));
            }

            if (!isChanged)
            {
                return Decode(XenstoreOperation.DirectoryPart, names.WrittenMemory[..^1].ToArray(), XenstorePayload.ReadNames);
            }

            if (restarts == MaxRestarts)
            {
                throw new XenstoreRefusedException(XenstoreOperation.DirectoryPart.Name(), path.Value, XenstoreError.EAGAIN);
            }
        }
    }

    /// <summary>The end is an empty name. Parts may end in the middle of one.</summary>
    private static bool IsWhole(ReadOnlySpan<byte> names, bool hasBegun) =>
        hasBegun && names is [0] or [.., 0, 0];

    private static ValueTask Done(XenstoreRequest request) => new(request, request.Version);

    private static ValueTask<byte[]?> Payload(XenstoreRequest request) => new(request, request.Version);

    private XenstoreRequest OfNode(
        XenstoreOperation operation, uint transaction, XenstoreAnswer answer, XenstorePath path, ReadOnlySpan<byte> rest, CancellationToken cancellationToken)
    {
        if (path.IsSpecial)
        {
            throw new ArgumentException($"'{path}' is a name to be watched, not a node: {operation.Name()} has no meaning for it.", nameof(path));
        }

        return Send(operation, transaction, answer, path.Value, path.Value, rest, cancellationToken);
    }

    private TResult Decode<TResult>(XenstoreOperation operation, byte[] payload, PayloadReader<TResult> read)
    {
        try
        {
            return read(payload);
        }
        catch (FormatException exception)
        {
            throw Distrust(operation, exception);
        }
    }
}

internal delegate TResult PayloadReader<out TResult>(ReadOnlySpan<byte> payload);

using System.Globalization;
using System.Text;

namespace Pengx.Xen;

public sealed partial class XenstoreClient
{
    /// <summary>Texts, each with a NUL byte behind it.</summary>
    private static byte[] Texts(params ReadOnlySpan<string> texts)
    {
        StringBuilder joined = new();
        foreach (var text in texts)
        {
            joined.Append(text).Append('\0');
        }

        return Encoding.UTF8.GetBytes(joined.ToString());
    }

    private static string Number(long number) => number.ToString(CultureInfo.InvariantCulture);

    /// <summary>A text of the caller that becomes a part of a message.</summary>
    private static string Checked(string text, string name)
    {
        ArgumentException.ThrowIfNullOrEmpty(text, name);
        return text.Contains('\0', StringComparison.Ordinal)
            ? throw new ArgumentException("It holds a NUL character, which the protocol does not allow in a text.", name)
            : text;
    }

    private static string Domain(int domainId, string name = "domainId")
    {
        XenstoreSession.RequireDomain(domainId, name);
        return Number(domainId);
    }

    private sealed class DomainRequests(XenstoreClient client) : IXenstoreDomains
    {
        public ValueTask IntroduceAsync(int domainId, long frame, uint eventChannel, CancellationToken cancellationToken = default) =>
            Do(XenstoreOperation.Introduce, Domain(domainId), Texts(Domain(domainId), Number(frame), Number(eventChannel)), cancellationToken);

        public ValueTask ReleaseAsync(int domainId, CancellationToken cancellationToken = default) =>
            Do(XenstoreOperation.Release, Domain(domainId), Texts(Domain(domainId)), cancellationToken);

        public ValueTask<bool> IsIntroducedAsync(int domainId, CancellationToken cancellationToken = default) =>
            client._session.AskAsync(XenstoreOperation.IsDomainIntroduced, Domain(domainId), Texts(Domain(domainId)), XenstorePayload.ReadTruth, cancellationToken);

        public ValueTask<XenstorePath> GetPathAsync(int domainId, CancellationToken cancellationToken = default) =>
            client._session.AskAsync(XenstoreOperation.GetDomainPath, Domain(domainId), Texts(Domain(domainId)), ReadPath, cancellationToken);

        public ValueTask ResumeAsync(int domainId, CancellationToken cancellationToken = default) =>
            Do(XenstoreOperation.Resume, Domain(domainId), Texts(Domain(domainId)), cancellationToken);

        public ValueTask SetTargetAsync(int domainId, int targetId, CancellationToken cancellationToken = default) =>
            Do(XenstoreOperation.SetTarget, Domain(domainId), Texts(Domain(domainId), Domain(targetId, nameof(targetId))), cancellationToken);

        private static XenstorePath ReadPath(ReadOnlySpan<byte> payload) =>
            XenstorePath.TryParse(XenstorePayload.ReadText(payload), out var path) ? path : throw new FormatException("a path was expected");

        private ValueTask Do(XenstoreOperation operation, string domain, byte[] payload, CancellationToken cancellationToken) =>
            client._session.DoAsync(operation, $"domain {domain}", payload, cancellationToken);
    }

    private sealed class DaemonRequests(XenstoreClient client) : IXenstoreDaemon
    {
        public ValueTask<string> ControlAsync(string command, IReadOnlyList<string>? arguments = null, CancellationToken cancellationToken = default)
        {
            string[] texts = [Checked(command, nameof(command)), .. (arguments ?? []).Select(argument => Checked(argument, nameof(arguments)))];
            return client._session.AskAsync(XenstoreOperation.Control, command, Texts(texts), XenstorePayload.ReadText, cancellationToken);
        }

        public async ValueTask ResetWatchesAsync(CancellationToken cancellationToken = default)
        {
            if (client._session.IsOfKernel)
            {
                throw new InvalidOperationException("The watches of a device's connection are not reset: it is the kernel's own, whose drivers would never hear of anything again.");
            }

            KeyValuePair<long, XenstoreWatch>[] watches = [.. client._watches];
            await client._session.DoAsync(XenstoreOperation.ResetWatches, null, "\0"u8, cancellationToken).ConfigureAwait(false);
            client.ForgetWatches(watches);
        }

        public ValueTask<XenstoreFeatures> GetFeaturesAsync(CancellationToken cancellationToken = default) =>
            client._session.AskAsync(XenstoreOperation.GetFeature, null, default, ReadFeatures, cancellationToken);

        public ValueTask<XenstoreFeatures> GetFeaturesAsync(int domainId, CancellationToken cancellationToken = default) =>
            client._session.AskAsync(XenstoreOperation.GetFeature, Domain(domainId), Texts(Domain(domainId)), ReadFeatures, cancellationToken);

        public ValueTask SetFeaturesAsync(int domainId, XenstoreFeatures features, CancellationToken cancellationToken = default) =>
            client._session.DoAsync(XenstoreOperation.SetFeature, Domain(domainId), Texts(Domain(domainId), Number((long)features)), cancellationToken);

        public ValueTask<IReadOnlyList<string>> ListQuotasAsync(CancellationToken cancellationToken = default) =>
            client._session.AskAsync(XenstoreOperation.GetQuota, null, default, ReadWords, cancellationToken);

        public ValueTask<long> GetQuotaAsync(string quota, int? domainId = null, CancellationToken cancellationToken = default) =>
            client._session.AskAsync(
                XenstoreOperation.GetQuota,
                quota,
                domainId is { } domain ? Texts(Domain(domain), Checked(quota, nameof(quota))) : Texts(Checked(quota, nameof(quota))),
                XenstorePayload.ReadNumber,
                cancellationToken);

        public ValueTask SetQuotaAsync(string quota, long value, int? domainId = null, CancellationToken cancellationToken = default)
        {
            ArgumentOutOfRangeException.ThrowIfNegative(value);
            return client._session.DoAsync(
                XenstoreOperation.SetQuota,
                quota,
                domainId is { } domain ? Texts(Domain(domain), Checked(quota, nameof(quota)), Number(value)) : Texts(Checked(quota, nameof(quota)), Number(value)),
                cancellationToken);
        }

        private static XenstoreFeatures ReadFeatures(ReadOnlySpan<byte> payload) => (XenstoreFeatures)XenstorePayload.ReadNumber(payload);

        private static IReadOnlyList<string> ReadWords(ReadOnlySpan<byte> payload) => XenstorePayload.ReadText(payload).Split(' ', StringSplitOptions.RemoveEmptyEntries);
    }
}

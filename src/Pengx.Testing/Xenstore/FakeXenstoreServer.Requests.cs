using System.Globalization;
using System.Text;

namespace Pengx.Testing;

// What each request does. Everything here runs under the gate.
public sealed partial class FakeXenstoreServer
{
    private static readonly string[] s_quotas = ["nodes", "watches", "transactions"];
    private readonly Dictionary<string, long> _quotas = s_quotas.ToDictionary(name => name, _ => 1000L);
    private readonly Dictionary<string, string[]> _specialPermissions = new() { ["@introduceDomain"] = ["n0"], ["@releaseDomain"] = ["n0"] };
    private readonly SortedSet<int> _domains = [0];
    private FakeXenstoreTree _tree = new(new FakeXenstoreNode(), 0);
    private uint _lastTransaction;

    /// <summary>The answer, and what is sent after it.</summary>
    private (byte[] Answer, byte[]? After) CarryOut(FakeXenstoreConnection connection, FakeXenstoreRequest request)
    {
        try
        {
            byte[]? after = null;
            var tree = _tree;
            if (request.TransactionId != 0)
            {
                if (!connection.Transactions.TryGetValue(request.TransactionId, out var transaction))
                {
                    return (request.Refusal("ENOENT"), null);
                }

                tree = transaction.Tree;
            }

            var answer = request.Type switch
            {
                FakeXenstoreType.Read => Node(tree, request).Value,
                FakeXenstoreType.Write => Write(tree, request),
                FakeXenstoreType.MakeDirectory => MakeDirectory(tree, request),
                FakeXenstoreType.Remove => Remove(tree, request),
                FakeXenstoreType.Directory => Directory(tree, request),
                FakeXenstoreType.DirectoryPart => DirectoryPart(tree, request),
                FakeXenstoreType.GetPermissions => Joined(_specialPermissions.GetValueOrDefault(request.Path) ?? Node(tree, request).Permissions),
                FakeXenstoreType.SetPermissions => SetPermissions(tree, request),
                FakeXenstoreType.TransactionStart => StartTransaction(connection, request),
                FakeXenstoreType.TransactionEnd => EndTransaction(connection, request),
                FakeXenstoreType.Watch => Watch(connection, request, out after),
                FakeXenstoreType.Unwatch => Unwatch(connection, request),
                FakeXenstoreType.ResetWatches => Reset(connection),
                FakeXenstoreType.Introduce => Introduce(request),
                FakeXenstoreType.Release => Release(request),
                FakeXenstoreType.IsDomainIntroduced => Joined(_domains.Contains(Domain(request)) ? "T" : "F"),
                FakeXenstoreType.GetDomainPath => Joined($"/local/domain/{Domain(request)}"),
                FakeXenstoreType.Resume => OfDomain(request),
                FakeXenstoreType.SetTarget => OfDomain(request),
                FakeXenstoreType.Control => Control(request),
                FakeXenstoreType.GetFeature when !IsOld => Joined("14"),
                FakeXenstoreType.SetFeature when !IsOld => Done(),
                FakeXenstoreType.GetQuota when !IsOld => GetQuota(request),
                FakeXenstoreType.SetQuota when !IsOld => SetQuota(request),
                _ => throw new Refusal("ENOSYS"),
            };
            if (request.TransactionId == 0)
            {
                Fire();
            }

            return answer.Length > MaxPayload ? (request.Refusal("E2BIG"), null) : (request.Answer(answer), after);
        }
        catch (Refusal refusal)
        {
            return (request.Refusal(refusal.Error), null);
        }
    }

    private static byte[] Done() => "OK\0"u8.ToArray();

    private static byte[] Joined(params string[] texts) => Encoding.UTF8.GetBytes(string.Concat(texts.Select(text => text + '\0')));

    private static string Absolute(string path) =>
        !FakeXenstoreTree.IsValid(path) ? throw new Refusal("EINVAL") : path[0] == '/' ? path : $"/local/domain/0/{path}";

    private static FakeXenstoreNode Node(FakeXenstoreTree tree, FakeXenstoreRequest request) =>
        tree.Find(Absolute(request.Path)) ?? throw new Refusal("ENOENT");

    private static byte[] Write(FakeXenstoreTree tree, FakeXenstoreRequest request)
    {
        var end = request.Payload.Span.IndexOf((byte)0);
        tree.Write(Absolute(request.Path), end < 0 ? throw new Refusal("EINVAL") : request.Payload[(end + 1)..].ToArray());
        return Done();
    }

    private static byte[] MakeDirectory(FakeXenstoreTree tree, FakeXenstoreRequest request)
    {
        var path = Absolute(request.Path);
        if (tree.Find(path) is null)
        {
            tree.Write(path, []);
        }

        return Done();
    }

    private static byte[] Remove(FakeXenstoreTree tree, FakeXenstoreRequest request)
    {
        var path = Absolute(request.Path);
        return path == "/" ? throw new Refusal("EINVAL") : tree.Remove(path) is { } error ? throw new Refusal(error) : Done();
    }

    private static byte[] Directory(FakeXenstoreTree tree, FakeXenstoreRequest request) =>
        Joined([.. Node(tree, request).Children.Select(child => child.Name)]);

    private static byte[] DirectoryPart(FakeXenstoreTree tree, FakeXenstoreRequest request)
    {
        var node = Node(tree, request);
        byte[] names = [.. Joined([.. node.Children.Select(child => child.Name)]), 0];
        var generation = Joined(FakeXenstoreTree.Text(node.Generation));
        var offset = Math.Min(Number(request.Texts.ElementAtOrDefault(1)), names.Length - 1);

        // In the middle of a name, which the protocol allows and the C daemon never does.
        var length = Math.Min(names.Length - offset, MaxPayload - generation.Length);
        return [.. generation, .. names.AsSpan(offset, length)];
    }

    private byte[] SetPermissions(FakeXenstoreTree tree, FakeXenstoreRequest request)
    {
        string[] permissions = [.. request.Texts.Skip(1)];
        if (permissions.Length == 0 || permissions.Any(text => text.Length < 2 || !"nrwb".Contains(text[0], StringComparison.Ordinal)))
        {
            throw new Refusal("EINVAL");
        }

        if (_specialPermissions.ContainsKey(request.Path))
        {
            _specialPermissions[request.Path] = permissions;
            return Done();
        }

        var node = Node(tree, request);
        node.Permissions = permissions;
        tree.Touch(node, Absolute(request.Path));
        return Done();
    }

    private byte[] StartTransaction(FakeXenstoreConnection connection, FakeXenstoreRequest request)
    {
        if (request.TransactionId != 0)
        {
            throw new Refusal("EBUSY");
        }

        connection.Transactions.Add(++_lastTransaction, (_tree.Copy(), _tree.Generation));
        return Joined(FakeXenstoreTree.Text(_lastTransaction));
    }

    private byte[] EndTransaction(FakeXenstoreConnection connection, FakeXenstoreRequest request)
    {
        if (!connection.Transactions.Remove(request.TransactionId, out var transaction))
        {
            throw new Refusal("ENOENT");
        }

        if (request.Path != "T")
        {
            return request.Path == "F" ? Done() : throw new Refusal("EINVAL");
        }

        if (_tree.Generation != transaction.StartedAt)
        {
            throw new Refusal("EAGAIN");
        }

        _tree = transaction.Tree;
        Fire();
        return Done();
    }

    private byte[] Watch(FakeXenstoreConnection connection, FakeXenstoreRequest request, out byte[] after)
    {
        var texts = request.Texts;
        if (texts.Count is < 2 or > 3 || (texts.Count == 3 && IsOld))
        {
            throw new Refusal("EINVAL");
        }

        var given = texts[0];
        var isSpecial = given is "@introduceDomain" or "@releaseDomain" || (!IsOld && given.StartsWith("@releaseDomain/", StringComparison.Ordinal));
        var path = isSpecial ? given : given.StartsWith('@') ? throw new Refusal("EINVAL") : Absolute(given);
        if (connection.Watches.Exists(watch => watch.Path == path && watch.Token == texts[1]))
        {
            throw new Refusal("EEXIST");
        }

        FakeXenstoreWatch added = new(path, given, texts[1], texts.Count == 3 ? Number(texts[2]) : null);
        connection.Watches.Add(added);
        after = added.Told(given);
        return Done();
    }

    private static byte[] Unwatch(FakeXenstoreConnection connection, FakeXenstoreRequest request) =>
        request.Texts is [var given, var token] && connection.Watches.RemoveAll(watch => watch.Given == given && watch.Token == token) > 0
            ? Done()
            : throw new Refusal("ENOENT");

    private static byte[] Reset(FakeXenstoreConnection connection)
    {
        connection.Watches.Clear();
        connection.Transactions.Clear();
        return Done();
    }

    private byte[] Introduce(FakeXenstoreRequest request)
    {
        if (request.Texts.Count < 3 || Number(request.Texts[2]) <= 0)
        {
            throw new Refusal("EINVAL");
        }

        if (_domains.Add(Domain(request)))
        {
            Fire("@introduceDomain", isRemoval: false);
        }

        return Done();
    }

    private byte[] Release(FakeXenstoreRequest request)
    {
        OfDomain(request);
        _domains.Remove(Domain(request));
        Fire($"@releaseDomain/{Domain(request)}", isRemoval: false);
        return Done();
    }

    private byte[] OfDomain(FakeXenstoreRequest request) =>
        Domain(request) == 0 ? throw new Refusal("EINVAL") : _domains.Contains(Domain(request)) ? Done() : throw new Refusal("ENOENT");

    private static byte[] Control(FakeXenstoreRequest request) => request.Path switch
    {
        "check" or "print" or "log" => Done(),
        "help" => Joined("check\nlog\nprint\nhelp"),
        _ => throw new Refusal("EINVAL"),
    };

    private byte[] GetQuota(FakeXenstoreRequest request) => request.Texts.Count == 0
        ? Joined(string.Join(' ', s_quotas))
        : _quotas.TryGetValue(request.Texts[^1], out var quota) ? Joined(quota.ToString(CultureInfo.InvariantCulture)) : throw new Refusal("EINVAL");

    private byte[] SetQuota(FakeXenstoreRequest request)
    {
        if (request.Texts.Count < 2 || !_quotas.ContainsKey(request.Texts[^2]))
        {
            throw new Refusal("EINVAL");
        }

        _quotas[request.Texts[^2]] = Number(request.Texts[^1]);
        return Done();
    }

    private static int Domain(FakeXenstoreRequest request) => Number(request.Path);

    private static int Number(string? text) =>
        int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number : throw new Refusal("EINVAL");

    /// <summary>Tells what was changed.</summary>
    private void Fire()
    {
        (string Path, bool IsRemoval)[] changes = [.. _tree.Changes];
        _tree.Changes.Clear();
        foreach (var (path, isRemoval) in changes)
        {
            Fire(path, isRemoval);
            Changed?.Invoke(path);
        }
    }

    private void Fire(string path, bool isRemoval)
    {
        foreach (var connection in _connections)
        {
            foreach (var watch in connection.Watches)
            {
                // A watch of all domains is told the domain only if it asked for one level more.
                var isOfAll = path.StartsWith("@releaseDomain/", StringComparison.Ordinal) && watch is { Path: "@releaseDomain", Depth: null };
                if ((isOfAll ? watch.Told("@releaseDomain") : watch.Event(path, isRemoval)) is { } told)
                {
                    connection.Send(told);
                }
            }
        }
    }

    private sealed class Refusal(string error) : Exception(error)
    {
        internal string Error { get; } = error;
    }
}

namespace Pengx.Xen;

/// <summary>Reads a disk's specification as libxlutil does.</summary>
/// <remarks>Its scanner takes, at each place, the longest of its patterns; the deprecated prefixes and <c>target=</c> reach to the end, and a
/// part without <c>=</c> is the next positional value.</remarks>
internal sealed class XlDiskParser
{
    private static readonly HashSet<string> s_flags = ["direct-io-safe", "discard", "no-discard", "colo", "no-colo", "trusted", "untrusted", "grant_usage=0", "grant_usage=1"];
    private static readonly HashSet<string> s_otherKeys = ["backend", "specification", "colo-host", "colo-port", "colo-export", "active-disk", "hidden-disk"];
    private static readonly HashSet<string> s_formats = ["raw", "qcow", "qcow2", "vhd", "qed", "empty"];
    private static readonly HashSet<string> s_plainPrefixes = ["tapdisk", "tap", "tap2", "aio", "ioemu", "file", "phy"];

    private readonly List<string> _others = [];
    private string? _target;
    private string? _format;
    private string? _vdev;
    private string? _backendType;
    private string? _script;
    private bool _readOnly;
    private bool _isCdrom;
    private bool _accessSet;
    private bool _hadPrefix;

    public XlDisk Parse(string specification)
    {
        var rest = specification;
        while (rest.Length > 0)
        {
            rest = rest.TrimStart(' ', '\t', '\n');
            if (rest.Length == 0)
            {
                break;
            }

            if (rest.StartsWith("target=", StringComparison.Ordinal))
            {
                SetTarget(rest["target=".Length..].TrimEndOnce(','));
                break;
            }

            if (TryTakePrefix(ref rest))
            {
                continue;
            }

            var comma = rest.IndexOf(',', StringComparison.Ordinal);
            var part = comma < 0 ? rest : rest[..comma];
            rest = comma < 0 ? "" : rest[(comma + 1)..];
            Take(part);
        }

        return Finish();
    }

    private bool TryTakePrefix(ref string rest)
    {
        var colon = rest.IndexOf(':', StringComparison.Ordinal);
        if (colon < 1 || !char.IsAsciiLetterLower(rest[0]) || !rest.AsSpan(0, colon).ContainsOnlyLowerOrDigit())
        {
            return false;
        }

        var prefix = rest[..colon];
        if (prefix is "raw" or "qcow" or "qcow2" or "vhd")
        {
            _hadPrefix = true;
            SetFormat(prefix);
        }
        else if (prefix is "iscsi" or "nbd" or "enbd" or "drbd")
        {
            _hadPrefix = true;
            Save(ref _script, $"block-{prefix}", "script");
        }
        else if (s_plainPrefixes.Contains(prefix))
        {
            _hadPrefix = true;
        }
        else if (colon + 1 == rest.Length || !(char.IsAsciiLetterLower(rest[colon + 1]) || char.IsAsciiDigit(rest[colon + 1])))
        {
            throw new XlConfigException("a disk's specification has an unknown prefix.");
        }
        else
        {
            return false;
        }

        rest = rest[(colon + 1)..];
        return true;
    }

    private void Take(string part)
    {
        var equals = part.IndexOf('=', StringComparison.Ordinal);
        if (part == "cdrom")
        {
            _isCdrom = true;
        }
        else if (s_flags.Contains(part))
        {
            _others.Add(part);
        }
        else if (equals < 0)
        {
            TakePositional(part);
        }
        else
        {
            TakeKeyed(part[..equals], part[(equals + 1)..], part);
        }
    }

    private void TakeKeyed(string key, string value, string part)
    {
        switch (key)
        {
            case "format":
                SetFormat(value);
                break;
            case "vdev":
                Save(ref _vdev, value, "vdev");
                break;
            case "access":
                SetAccess(value);
                break;
            case "devtype" when value is "cdrom" or "disk":
                _isCdrom = value == "cdrom";
                break;
            case "devtype":
                throw new XlConfigException("a disk's devtype must be cdrom or disk.");
            case "backendtype" when value is "phy" or "qdisk" or "tap" or "standalone":
                Save(ref _backendType, value, "backendtype");
                break;
            case "backendtype":
                throw new XlConfigException("a disk's backendtype must be phy, qdisk, tap or standalone.");
            case "script":
                Save(ref _script, value, "script");
                break;
            default:
                if (!s_otherKeys.Contains(key) || (key == "specification" && value is not ("xen" or "virtio")))
                {
                    throw new XlConfigException("a disk's specification has an unknown parameter.");
                }

                if (_others.Exists(other => other.StartsWith($"{key}=", StringComparison.Ordinal) && other.Length > key.Length + 1))
                {
                    throw new XlConfigException($"a disk's {key} is given twice.");
                }

                _others.Add(part);
                break;
        }
    }

    private void TakePositional(string part)
    {
        if (_target is null)
        {
            _target = part;
        }
        else if (!_hadPrefix && _format is null)
        {
            if (_target.Length == 0 && TakeVdevWithType(part))
            {
                _format = "empty";
            }
            else
            {
                SetFormat(part);
            }
        }
        else if (_vdev is null)
        {
            if (!TakeVdevWithType(part))
            {
                _vdev = part;
            }
        }
        else if (!_accessSet)
        {
            _accessSet = true;
            SetAccess(part);
        }
        else
        {
            throw new XlConfigException("a disk's specification has too many positional parameters.");
        }
    }

    private bool TakeVdevWithType(string part)
    {
        var colon = part.LastIndexOf(':');
        if (colon < 0)
        {
            return false;
        }

        Save(ref _vdev, part[..colon], "vdev");
        _isCdrom = part[(colon + 1)..] switch
        {
            "cdrom" => true,
            "disk" => false,
            _ => throw new XlConfigException("a disk's type must be cdrom or disk."),
        };
        return true;
    }

    private void SetTarget(string value) => Save(ref _target, value, "target");

    private void SetFormat(string value)
    {
        var format = value.Length == 0 ? "raw" : value;
        if (!s_formats.Contains(format))
        {
            throw new XlConfigException("a disk's format must be raw, qcow, qcow2, vhd, qed or empty.");
        }

        Save(ref _format, format, "format");
    }

    private void SetAccess(string value) => _readOnly = value switch
    {
        "r" or "ro" => true,
        "w" or "rw" or "" => false,
        _ => throw new XlConfigException("a disk's access must be r, ro, w or rw."),
    };

    private static void Save(ref string? field, string value, string name)
    {
        if (!string.IsNullOrEmpty(field) && (name is "target" or "vdev" or "script" || field != value))
        {
            throw new XlConfigException($"a disk's {name} is given twice.");
        }

        field = value;
    }

    private XlDisk Finish()
    {
        if (_vdev is null)
        {
            throw new XlConfigException("a disk's vdev is missing.");
        }

        if (_target is null && !_isCdrom)
        {
            throw new XlConfigException("a disk's target is missing.");
        }

        return new()
        {
            Vdev = _vdev,
            Target = _target ?? "",
            Format = _isCdrom && string.IsNullOrEmpty(_target) ? "empty" : _format ?? "raw",
            ReadOnly = _readOnly || _isCdrom,
            IsCdrom = _isCdrom,
            BackendType = _backendType,
            Script = _script,
            Others = _others,
        };
    }
}

/// <summary>Two small questions to a text.</summary>
internal static class XlSpans
{
    extension(string text)
    {
        /// <summary>The text without one character at its end, if it is there.</summary>
        public string TrimEndOnce(char character) => text.EndsWith(character) ? text[..^1] : text;
    }

    extension(ReadOnlySpan<char> text)
    {
        /// <summary>Whether there are only small letters and digits.</summary>
        public bool ContainsOnlyLowerOrDigit()
        {
            foreach (var character in text)
            {
                if (!char.IsAsciiLetterLower(character) && !char.IsAsciiDigit(character))
                {
                    return false;
                }
            }

            return true;
        }
    }
}

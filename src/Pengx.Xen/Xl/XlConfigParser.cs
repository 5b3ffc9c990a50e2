using System.Text;

namespace Pengx.Xen;

/// <summary>Reads <c>xl.cfg</c> as libxlutil's grammar does, and refuses what it refuses.</summary>
/// <remarks>Stricter in two points: the escapes <c>\x</c> and <c>\0</c> to <c>\7</c>, which xl 4.14 to 4.20 misread, and a NUL, which aborts it.</remarks>
internal ref struct XlConfigParser(string text)
{
    private readonly string _text = text;
    private int _position;
    private int _line = 1;

    /// <summary>One statement with everything around it.</summary>
    /// <param name="Prefix">What stands before the setting.</param>
    /// <param name="Setting">The setting; <see langword="null"/> on an empty line or one with a comment only.</param>
    /// <param name="Body">The setting's own text.</param>
    /// <param name="Suffix">What stands behind it: blanks, a comment, the line end or a semicolon.</param>
    public readonly record struct Statement(string Prefix, XlConfigSetting? Setting, string Body, string Suffix);

    public XlConfigValue ParseSingleValue()
    {
        SkipBlanks();
        var value = ParseValue(0);
        SkipBlanks();
        return _position == _text.Length ? value : throw Error("nothing may follow the value.");
    }

    public bool TryReadStatement(out Statement statement)
    {
        statement = default;
        if (_position == _text.Length)
        {
            return false;
        }

        var start = _position;
        SkipBlanks();
        var bodyStart = _position;
        XlConfigSetting? setting = null;
        if (_position < _text.Length && _text[_position] is >= 'a' and <= 'z')
        {
            setting = ParseAssignment();
        }

        var bodyEnd = _position;
        SkipBlanks();
        if (_position < _text.Length && !TrySkipLineEnd())
        {
            if (_text[_position] != ';')
            {
                throw Error(setting is null ? "a setting must be written as key = value, its key in small letters." : "a setting must end with the line or a semicolon.");
            }

            _position++;
        }

        statement = new(_text[start..bodyStart], setting, _text[bodyStart..bodyEnd], _text[bodyEnd.._position]);
        return true;
    }

    private XlConfigSetting ParseAssignment()
    {
        var line = _line;
        var start = _position;
        while (_position < _text.Length && XlConfigDocument.IsKeyCharacter(_text[_position]))
        {
            _position++;
        }

        var key = _text[start.._position];
        SkipBlanks();
        var appends = _text.AsSpan(_position).StartsWith("+=", StringComparison.Ordinal);
        if (!appends && (_position == _text.Length || _text[_position] != '='))
        {
            throw Error("'=' must follow the key.");
        }

        _position += appends ? 2 : 1;
        SkipBlanks();
        return new(key, ParseValue(0), appends, line);
    }

    private XlConfigValue ParseValue(int depth)
    {
        if (_position == _text.Length)
        {
            throw Error("a value is missing.");
        }

        switch (_text[_position])
        {
            case '"' or '\'':
                return XlConfigValue.FromRead(ParseQuoted());
            case >= '0' and <= '9':
                var start = _position;
                while (_position < _text.Length && _text[_position] is (>= '0' and <= '9') or (>= 'a' and <= 'f') or 'x')
                {
                    _position++;
                }

                return XlConfigValue.FromRead(_text[start.._position]);
            case '[' when depth < XlConfigDocument.MaxDepth:
                _position++;
                return ParseList(depth + 1);
            case '[':
                throw Error($"lists may lie at most {XlConfigDocument.MaxDepth} deep.");
            default:
                throw Error("a value must be a quoted text, a number or a list.");
        }
    }

    private XlConfigValue ParseList(int depth)
    {
        List<XlConfigValue> items = [];
        while (true)
        {
            SkipBlanksAndLines();
            if (TrySkip(']'))
            {
                return XlConfigValue.FromItems(items);
            }

            items.Add(ParseValue(depth));
            SkipBlanksAndLines();
            if (TrySkip(']'))
            {
                return XlConfigValue.FromItems(items);
            }

            if (!TrySkip(','))
            {
                throw Error("a list's values must be separated by commas and closed by ']'.");
            }
        }
    }

    private string ParseQuoted()
    {
        var quote = _text[_position++];
        var output = new StringBuilder();
        while (_position < _text.Length)
        {
            var character = _text[_position++];
            if (character == quote)
            {
                return output.ToString();
            }

            switch (character)
            {
                case '\n':
                    throw Error("a quoted text must end on its line.");
                case '\0':
                    throw Error("a text cannot hold a NUL.");
                case '\\':
                    if (_position == _text.Length)
                    {
                        throw Error("a quoted text must be closed.");
                    }

                    output.Append(XlText.Unescape(_text[_position++])
                        ?? throw Error("""the escapes of a text are \\ \" \' \a \b \f \n \r \t \v; xl misreads or refuses every other."""));
                    break;
                default:
                    output.Append(character);
                    break;
            }
        }

        throw Error("a quoted text must be closed.");
    }

    private void SkipBlanksAndLines()
    {
        do
        {
            SkipBlanks();
        }
        while (TrySkipLineEnd());
    }

    private void SkipBlanks()
    {
        while (_position < _text.Length && _text[_position] is ' ' or '\t')
        {
            _position++;
        }
    }

    private bool TrySkip(char character)
    {
        if (_position == _text.Length || _text[_position] != character)
        {
            return false;
        }

        _position++;
        return true;
    }

    // A comment goes up to and with its line's end, which xl demands even at the end of the file.
    private bool TrySkipLineEnd()
    {
        if (_position < _text.Length && _text[_position] == '#')
        {
            var end = _text.IndexOf('\n', _position);
            if (end < 0)
            {
                throw Error("a comment must end with a line end, at the end of the file, too.");
            }

            _position = end;
        }

        if (!TrySkip('\n'))
        {
            return false;
        }

        _line++;
        return true;
    }

    private readonly XlConfigException Error(string rule) => new(_line, rule);
}

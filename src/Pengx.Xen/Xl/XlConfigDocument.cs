using System.Text;

namespace Pengx.Xen;

/// <summary>A setting of an <c>xl.cfg</c>.</summary>
/// <param name="Key">Its key.</param>
/// <param name="Value">Its value as it stands there.</param>
/// <param name="Appends">Whether it is written with <c>+=</c>, so that its value is added to the key's earlier one.</param>
/// <param name="Line">Its line, counted from 1; 0 for one that was not read.</param>
public sealed record XlConfigSetting(string Key, XlConfigValue Value, bool Appends = false, int Line = 0);

/// <summary>An <c>xl.cfg</c>: settings in order, with everything between them. What is not changed is written as it was read, unknown
/// keys and comments included.</summary>
/// <remarks>Not safe for several threads at once. Source: <c>xl.cfg(5)</c>, and the grammar of Xen's libxlutil.</remarks>
public sealed class XlConfigDocument
{
    /// <summary>How deep lists of lists may lie in each other.</summary>
    internal const int MaxDepth = 16;

    private readonly List<XlConfigParser.Statement> _statements = [];

    /// <summary>The settings in their order, each as it stands; <see cref="Find"/> says what holds.</summary>
    public IEnumerable<XlConfigSetting> Settings => from statement in _statements where statement.Setting is not null select statement.Setting;

    /// <summary>Reads an <c>xl.cfg</c>. Accepts what xl's own grammar accepts.</summary>
    /// <param name="text">The text.</param>
    /// <exception cref="XlConfigException">xl would not read it either; the message has the line.</exception>
    public static XlConfigDocument Parse(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        var document = new XlConfigDocument();
        var parser = new XlConfigParser(text);
        while (parser.TryReadStatement(out var statement))
        {
            document._statements.Add(statement);
        }

        // A list can only be added to a list, a text to a text.
        foreach (var key in document.Settings.Where(setting => setting.Appends).Select(setting => setting.Key).Distinct().ToArray())
        {
            _ = document.Find(key);
        }

        return document;
    }

    /// <summary>Whether a text can be a setting's key: small letters, digits, <c>.</c> and <c>_</c>, a letter first.</summary>
    /// <param name="key">The text.</param>
    public static bool IsKey(string? key) => key is [>= 'a' and <= 'z', ..] && key.All(IsKeyCharacter);

    /// <summary>The value that holds for a key: its last one, with everything that <c>+=</c> added; <see langword="null"/> without one.</summary>
    /// <param name="key">The key.</param>
    public XlConfigValue? Find(string key)
    {
        ArgumentNullException.ThrowIfNull(key);
        XlConfigValue? value = null;
        foreach (var statement in _statements)
        {
            if (statement.Setting is { } setting && setting.Key == key)
            {
                value = setting.Appends && value is not null ? Concatenate(value, setting) : setting.Value;
            }
        }

        return value;
    }

    /// <summary>The text that holds for a key; <see langword="null"/> without one or where it is a list.</summary>
    /// <param name="key">The key.</param>
    public string? FindText(string key) => Find(key)?.Text;

    /// <summary>The number that holds for a key; <see langword="null"/> without one or where it is none.</summary>
    /// <param name="key">The key.</param>
    public long? FindNumber(string key) => Find(key) is { } value && value.TryGetNumber(out var number) ? number : null;

    /// <summary>The texts of a key's list; empty without one, or where it is no list. What in the list is a list itself is left out.</summary>
    /// <param name="key">The key.</param>
    public IReadOnlyList<string> FindTexts(string key) => Find(key)?.Items is { } items ? [.. items.Where(item => !item.IsList).Select(item => item.Text!)] : [];

    /// <summary>Gives a key one value: in the place of its first setting, or at the end. Its other settings are removed.</summary>
    /// <param name="key">The key.</param>
    /// <param name="value">The value.</param>
    /// <exception cref="InvalidFieldException">The key cannot be one: see <see cref="IsKey"/>.</exception>
    public void Set(string key, XlConfigValue value)
    {
        ArgumentNullException.ThrowIfNull(value);
        if (!IsKey(key))
        {
            throw new InvalidFieldException("key", key, "a key of xl.cfg has small letters, digits, '.' and '_', and begins with a letter.");
        }

        var place = _statements.FindIndex(statement => statement.Setting?.Key == key);
        var setting = new XlConfigSetting(key, value);
        if (place < 0)
        {
            EndLastLine();
            _statements.Add(new("", setting, Write(setting), "\n"));
            return;
        }

        _statements[place] = _statements[place] with { Setting = setting, Body = Write(setting) };
        for (var index = _statements.Count - 1; index > place; index--)
        {
            if (_statements[index].Setting?.Key == key)
            {
                RemoveAt(index);
            }
        }
    }

    /// <summary>Removes every setting of a key.</summary>
    /// <param name="key">The key.</param>
    /// <returns>Whether there was one.</returns>
    public bool Remove(string key)
    {
        ArgumentNullException.ThrowIfNull(key);
        var before = _statements.Count(statement => statement.Setting is not null);
        for (var index = _statements.Count - 1; index >= 0; index--)
        {
            if (_statements[index].Setting?.Key == key)
            {
                RemoveAt(index);
            }
        }

        return _statements.Count(statement => statement.Setting is not null) < before;
    }

    /// <summary>Adds a comment of its own lines at the end.</summary>
    /// <param name="comment">The comment; each line of it becomes one.</param>
    public void AddComment(string comment)
    {
        ArgumentNullException.ThrowIfNull(comment);
        foreach (var line in comment.Split('\n'))
        {
            // Nothing but a line end can end a comment.
            EndLastLine();
            _statements.Add(new("", null, "", $"# {line.TrimEnd('\r').Replace('\0', ' ')}\n"));
        }
    }

    /// <summary>The text of the file.</summary>
    public override string ToString()
    {
        var output = new StringBuilder();
        foreach (var statement in _statements)
        {
            output.Append(statement.Prefix).Append(statement.Body).Append(statement.Suffix);
        }

        return output.ToString();
    }

    internal static bool IsKeyCharacter(char character) => character is (>= 'a' and <= 'z') or (>= '0' and <= '9') or '.' or '_';

    private static string Write(XlConfigSetting setting)
    {
        var output = new StringBuilder(setting.Key).Append(" = ");
        setting.Value.WriteTo(output);
        return output.ToString();
    }

    private static XlConfigValue Concatenate(XlConfigValue value, XlConfigSetting setting)
    {
        if (value.IsList != setting.Value.IsList)
        {
            throw new XlConfigException(setting.Line, $"+= cannot add a list to a text or a text to a list (key {setting.Key}).");
        }

        return value.IsList
            ? XlConfigValue.FromItems([.. value.Items, .. setting.Value.Items!])
            : XlConfigValue.FromRead(value.Text + setting.Value.Text);
    }

    private void EndLastLine()
    {
        if (_statements.Count > 0 && _statements[^1] is { Suffix: var suffix } last && !suffix.EndsWith('\n'))
        {
            _statements[^1] = last with { Suffix = suffix + "\n" };
        }
    }

    // The comment behind a setting that goes stays; the line goes with the setting when nothing else is on it.
    private void RemoveAt(int index)
    {
        var statement = _statements[index];
        if (statement.Suffix.Contains('#', StringComparison.Ordinal))
        {
            _statements[index] = statement with { Setting = null, Body = "" };
        }
        else
        {
            _statements.RemoveAt(index);
        }
    }
}

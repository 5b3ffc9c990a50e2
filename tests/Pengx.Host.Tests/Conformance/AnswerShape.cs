using System.Xml.Linq;

namespace Pengx.Host.Tests;

/// <summary>
/// The elements of an answer in their order: <c>pms(pm*@(name interfaces(interface~(name))))</c>. <c>@</c> has an id, <c>*</c> comes once or
/// more often, <c>~</c> any number of times; what is in parentheses is all that is in it.
/// </summary>
internal sealed record AnswerShape(string Name, bool HasId, bool Repeats, bool MayBeMissing, IReadOnlyList<AnswerShape> Children)
{
    public static AnswerShape Parse(string notation)
    {
        var at = 0;
        var shape = Parse(notation, ref at);
        Assert.Equal(notation.Length, at);
        return shape;
    }

    /// <summary>The names in document order.</summary>
    public IEnumerable<string> Names() => [Name, .. Children.SelectMany(child => child.Names())];

    /// <summary>What is wrong with an element; null when nothing is.</summary>
    public string? FindFault(XElement element)
    {
        if (element.Name.LocalName != Name)
        {
            return $"<{element.Name.LocalName}> where <{Name}> must be";
        }

        if (HasId == string.IsNullOrEmpty((string?)element.Attribute("id")))
        {
            return $"<{Name}> has {(HasId ? "no" : "an")} id";
        }

        var rest = new Queue<XElement>(element.Elements());
        foreach (var child in Children)
        {
            var count = 0;
            while (rest.TryPeek(out var next) && next.Name.LocalName == child.Name && (count == 0 || child.Repeats))
            {
                if (child.FindFault(rest.Dequeue()) is { } fault)
                {
                    return $"{Name}: {fault}";
                }

                count++;
            }

            if (count == 0 && !child.MayBeMissing)
            {
                return $"{Name}: no <{child.Name}> at its place, but {(rest.TryPeek(out var other) ? $"<{other.Name.LocalName}>" : "the end")}";
            }
        }

        return rest.TryPeek(out var left) ? $"{Name}: <{left.Name.LocalName}> is too many or not at its place" : null;
    }

    private static AnswerShape Parse(string notation, ref int at)
    {
        var start = at;
        while (at < notation.Length && (char.IsAsciiLetterOrDigit(notation[at]) || notation[at] is '_' or '-'))
        {
            at++;
        }

        var name = notation[start..at];
        Assert.NotEmpty(name);
        var (id, repeats, missing) = (false, false, false);
        while (at < notation.Length && notation[at] is '@' or '*' or '~')
        {
            id |= notation[at] == '@';
            repeats |= notation[at] is '*' or '~';
            missing |= notation[at] == '~';
            at++;
        }

        List<AnswerShape> children = [];
        if (at < notation.Length && notation[at] == '(')
        {
            do
            {
                at++;
                children.Add(Parse(notation, ref at));
            }
            while (notation[at] == ' ');
            Assert.Equal(')', notation[at++]);
        }

        return new(name, id, repeats, missing, children);
    }
}

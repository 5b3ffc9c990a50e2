namespace Pengx.Qmp.Qapi;

/// <summary>A generated enum: text of which some values are known.</summary>
internal interface IQapiChoice<TSelf>
    where TSelf : struct, IQapiChoice<TSelf>
{
    string Value { get; }

    static abstract TSelf Of(string value);
}

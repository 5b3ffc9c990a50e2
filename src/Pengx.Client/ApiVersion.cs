namespace Pengx.Client;

/// <summary>Which version of the API is asked for. What only version 2 has is always asked for as version 2.</summary>
public enum ApiVersion
{
    /// <summary>Version 1: <c>Accept: application/xml</c>.</summary>
    V1 = 1,

    /// <summary>Version 2: <c>Accept: application/xml; version=v2</c>.</summary>
    V2 = 2,
}

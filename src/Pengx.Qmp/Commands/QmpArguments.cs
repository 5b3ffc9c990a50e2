using System.Text.Json;
using System.Text.Json.Nodes;

namespace Pengx.Qmp;

/// <summary>Builds open-ended arguments, such as those of <c>blockdev-add</c> and <c>device_add</c>.</summary>
public static class QmpArguments
{
    /// <summary>Turns an object built in code into the element that a command takes.</summary>
    /// <param name="arguments">The arguments by name; values of text, numbers, booleans, and nested objects and arrays.</param>
    public static JsonElement Create(JsonObject arguments)
    {
        ArgumentNullException.ThrowIfNull(arguments);
        return JsonSerializer.SerializeToElement(arguments, QmpJsonContext.Default.JsonObject);
    }
}

using System.Reflection;

namespace Pengx.Client.Tests;

/// <summary>Every call that the client's interfaces have, found by reflection: a new one is tested as soon as it exists.</summary>
internal static class EveryCall
{
    private static readonly Guid Id = Guid.Parse("bed05d84-7c44-4720-9588-57cbd8ecef8c");

    /// <summary>The names of all calls.</summary>
    public static IEnumerable<string> Names => Calls().Select(call => $"{call.Resource.Name}.{call.Method.Name}");

    /// <summary>All calls of one client; a list is read to its end, a watch to its first event.</summary>
    public static IEnumerable<(string Name, Func<Task> Call)> Of(IPengxClient client, CancellationToken token)
    {
        foreach (var (resource, method) in Calls())
        {
            var target = resource.GetValue(client)!;
            var arguments = method.GetParameters().Select(parameter => Argument(parameter, token)).ToArray();
            yield return ($"{resource.Name}.{method.Name}", () => RunAsync(method.Invoke(target, arguments)!, token));
        }
    }

    private static IEnumerable<(PropertyInfo Resource, MethodInfo Method)> Calls() =>
        from resource in typeof(IPengxClient).GetProperties()
        from method in resource.PropertyType.GetMethods()
        where typeof(Task).IsAssignableFrom(method.ReturnType) || method.ReturnType.Name.StartsWith("IAsyncEnumerable", StringComparison.Ordinal)
        select (resource, method);

    private static Task RunAsync(object result, CancellationToken token) => result as Task
        ?? (Task)typeof(EveryCall).GetMethod(nameof(ReadAsync), BindingFlags.Static | BindingFlags.NonPublic)!
            .MakeGenericMethod(result.GetType().GetInterfaces().First(type => type.Name.StartsWith("IAsyncEnumerable", StringComparison.Ordinal)).GetGenericArguments())
            .Invoke(null, [result, token])!;

    private static async Task ReadAsync<T>(IAsyncEnumerable<T> items, CancellationToken token)
    {
        await foreach (var item in items.WithCancellation(token))
        {
            if (item is PengxEvent)
            {
                return;
            }
        }
    }

    private static object? Argument(ParameterInfo parameter, CancellationToken token) => parameter.ParameterType switch
    {
        var type when type == typeof(Guid) => Id,
        var type when type == typeof(int) => 7,
        var type when type == typeof(string) => parameter.HasDefaultValue ? null : "debian.iso",
        var type when type == typeof(CancellationToken) => token,
        var type when type.Name.EndsWith("Request", StringComparison.Ordinal) => Sample(type),
        var type when parameter.HasDefaultValue => null,
        var type => throw new InvalidOperationException($"No test knows what to give as {type.Name} {parameter.Name}."),
    };

    /// <summary>A request with something in every property.</summary>
    internal static object Sample(Type type)
    {
        var sample = Activator.CreateInstance(type)!;
        foreach (var property in type.GetProperties().Where(property => property.CanWrite))
        {
            property.SetValue(sample, Value(property.PropertyType));
        }

        return sample;
    }

    private static object? Value(Type type) => (Nullable.GetUnderlyingType(type) ?? type) switch
    {
        var known when known == typeof(string) => "x",
        var known when known == typeof(Guid) => Id,
        var known when known == typeof(int) => 7,
        var known when known == typeof(long) => 64L,
        var known when known == typeof(bool) => true,
        { IsGenericType: true } list => List(list.GetGenericArguments()[0]),
        var record => Sample(record),
    };

    private static Array List(Type item)
    {
        var list = Array.CreateInstance(item, 1);
        list.SetValue(Value(item), 0);
        return list;
    }
}

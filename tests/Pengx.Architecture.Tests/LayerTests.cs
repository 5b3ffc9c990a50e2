using System.Reflection;
using System.Runtime.CompilerServices;
using System.Xml.Linq;

namespace Pengx.Architecture.Tests;

public sealed class LayerTests
{
    public static TheoryData<string> Libraries => [.. Layers.Allowed.Keys];

    private static Assembly Load(string library) => Assembly.Load(new AssemblyName(library));

    [Fact]
    public void Table_names_every_library_there_is()
    {
        var onDisk = Directory.GetDirectories(Path.Combine(Layers.Root, "src")).Select(path => Path.GetFileName(path)!)
            .Where(name => File.Exists(Path.Combine(Layers.Root, "src", name, $"{name}.csproj"))).Order();
        Assert.Equal(Layers.Allowed.Keys.Order(), onDisk);
    }

    [Theory]
    [MemberData(nameof(Libraries))]
    public void Library_references_only_the_layers_below_it(string library)
    {
        var used = Load(library).GetReferencedAssemblies().Select(name => name.Name!).Where(name => name.StartsWith("Pengx.", StringComparison.Ordinal));
        Assert.Empty(used.Except(Layers.Allowed[library]));

        // The compiler drops references that no code uses; the project file must not promise them either.
        var project = XDocument.Load(Path.Combine(Layers.Root, "src", library, $"{library}.csproj"));
        var declared = project.Descendants("ProjectReference").Select(reference => Path.GetFileNameWithoutExtension(reference.Attribute("Include")!.Value));
        Assert.Empty(declared.Except(Layers.Allowed[library]));
    }

    [Theory]
    [MemberData(nameof(Libraries))]
    public void Library_brings_only_its_own_packages_along(string library)
    {
        var used = Load(library).GetReferencedAssemblies().Select(name => name.Name!)
            .Where(name => !name.StartsWith("Pengx.", StringComparison.Ordinal))
            .Where(name => !IsRuntime(name))
            .Where(name => !Layers.AllowedPackages[library].Any(start => name.StartsWith(start, StringComparison.Ordinal)));
        Assert.Empty(used);
    }

    [Theory]
    [MemberData(nameof(Libraries))]
    public void Every_public_class_is_sealed_static_or_abstract(string library)
    {
        var open = Load(library).GetTypes()
            .Where(type => type is { IsClass: true, IsSealed: false, IsAbstract: false } && type.GetCustomAttribute<CompilerGeneratedAttribute>() is null)
            .Where(type => !type.FullName!.Contains('<', StringComparison.Ordinal) && type.Namespace?.EndsWith(".Migrations", StringComparison.Ordinal) != true)
            .Select(type => type.FullName);
        Assert.Empty(open);
    }

    [Theory]
    [MemberData(nameof(Libraries))]
    public void Every_type_lives_in_its_library_s_namespace(string library)
    {
        var expected = library == "Pengx.Core" ? "Pengx" : library;
        var strays = Load(library).GetExportedTypes()
            .Where(type => type.Namespace != expected && !type.Name.StartsWith("Pengx", StringComparison.Ordinal))
            .Where(type => type.Namespace?.StartsWith($"{expected}.", StringComparison.Ordinal) != true || library == "Pengx.Core")
            .Select(type => type.FullName);
        Assert.Empty(strays);
    }

    [Fact]
    public void No_name_says_only_what_kind_of_thing_it_is()
    {
        string[] banned = ["Manager", "Helper", "Helpers", "Util", "Utils", "Utility"];
        var named = Layers.Allowed.Keys.SelectMany(library => Load(library).GetExportedTypes())
            .Where(type => type.Namespace != "Pengx.Qmp.Qapi") // QEMU's own names.
            .Where(type => banned.Any(word => type.Name.EndsWith(word, StringComparison.Ordinal))).Select(type => type.FullName);
        Assert.Empty(named);

        string[] kinds = ["Models", "Interfaces", "Services", "Helpers", "Utils", "Common", "Enums", "Exceptions"];
        var folders = Directory.GetDirectories(Path.Combine(Layers.Root, "src"), "*", SearchOption.AllDirectories)
            .Where(path => kinds.Contains(Path.GetFileName(path)) && !path.Contains("/obj/", StringComparison.Ordinal) && !path.Contains("/bin/", StringComparison.Ordinal));
        Assert.Empty(folders);
    }

    [Theory]
    [MemberData(nameof(Libraries))]
    public void Awaitable_methods_say_so_and_take_their_token_last(string library)
    {
        var methods = Load(library).GetExportedTypes()
            .Where(type => !typeof(Delegate).IsAssignableFrom(type))
            .SelectMany(type => type.GetMethods(BindingFlags.Public | BindingFlags.Instance | BindingFlags.Static | BindingFlags.DeclaredOnly))
            .Where(method => !method.IsSpecialName && method.DeclaringType!.Assembly.GetName().Name == library)
            .Where(method => method.GetCustomAttributes().All(attribute => attribute.GetType().Name is not ("FactAttribute" or "TheoryAttribute")))
            .Where(method => method.GetBaseDefinition().DeclaringType!.Assembly.GetName().Name == library)
            .ToList();

        var misnamed = methods.Where(method => IsAwaitable(method.ReturnType) && !method.Name.EndsWith("Async", StringComparison.Ordinal))
            .Select(method => $"{method.DeclaringType}.{method.Name}");
        Assert.Empty(misnamed);

        var tokens = methods.Where(method => method.GetParameters() is { Length: > 0 } parameters
                && parameters.Any(parameter => parameter.ParameterType == typeof(CancellationToken))
                && LastBut(parameters) is not { Name: "cancellationToken" })
            .Select(method => $"{method.DeclaringType}.{method.Name}");
        Assert.Empty(tokens);
    }

    [Theory]
    [MemberData(nameof(Libraries))]
    public void Library_has_a_readme_for_its_package(string library) =>
        Assert.True(File.Exists(Path.Combine(Layers.Root, "src", library, "README.md")), $"src/{library}/README.md is missing; it goes into the package.");

    // A params array or list can only come last.
    private static ParameterInfo LastBut(ParameterInfo[] parameters) =>
        parameters.Length > 1 && (parameters[^1].IsDefined(typeof(ParamArrayAttribute)) || parameters[^1].IsDefined(typeof(ParamCollectionAttribute))) ? parameters[^2] : parameters[^1];

    private static bool IsAwaitable(Type type) =>
        type == typeof(Task) || type == typeof(ValueTask)
        || (type.IsGenericType && (type.GetGenericTypeDefinition() == typeof(Task<>) || type.GetGenericTypeDefinition() == typeof(ValueTask<>)));

    private static bool IsRuntime(string name) =>
        File.Exists(Path.Combine(Path.GetDirectoryName(typeof(object).Assembly.Location)!, $"{name}.dll"));
}

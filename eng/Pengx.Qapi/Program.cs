using Pengx.Qapi;

if (args is not [var root, .. var rest] || rest is not ([] or ["--refresh", _]))
{
    Console.Error.WriteLine("usage: Pengx.Qapi ROOT [--refresh QEMU]");
    return 2;
}

string folder = Path.Combine(root, "src", "Pengx.Qmp", "Schema");
string schema = Path.Combine(folder, "qemu-schema.json");
if (rest is [_, var program])
{
    File.WriteAllText(schema, StoredSchema.Query(program));
}

string target = Path.Combine(folder, "Generated");
if (Directory.Exists(target))
{
    Directory.Delete(target, recursive: true);
}

Directory.CreateDirectory(target);
Generator generator = new(StoredSchema.Parse(File.ReadAllText(schema)), Facts.Parse(File.ReadAllText(Path.Combine(folder, "qapi-facts.json"))));
foreach ((string name, string text) in generator.Generate())
{
    File.WriteAllText(Path.Combine(target, name), text);
}

Console.WriteLine(generator.Summary);
return 0;

namespace Pengx.Storage.Tests;

public sealed class CopyPlannerTests
{
    private static readonly DiskLayer s_rawFile = new(new FileLocation("/a/x.raw"), DiskFormat.Raw);
    private static readonly DiskLayer s_qcow2File = new(new FileLocation("/a/x.qcow2"), DiskFormat.Qcow2);
    private static readonly DiskLayer s_rawBlock = new(new BlockLocation("/dev/vg/x"), DiskFormat.Raw);
    private static readonly DiskLayer s_qcow2Block = new(new BlockLocation("/dev/vg/q"), DiskFormat.Qcow2);
    private static readonly DiskLayer s_rbd = new(new RbdLocation("pool", "x"), DiskFormat.Raw);

    private static readonly CopyFacts s_facts = new() { Size = DataSize.FromGiB(10), Allocated = DataSize.FromGiB(3) };

    public static TheoryData<string, string, string, CopyMethod, string> Pairs => new()
    {
        // Source, target, facts, and what is chosen.
        { "raw file", "raw file", "", CopyMethod.Extents, "only what holds data" },
        { "raw file", "raw file", "share", CopyMethod.Clone, "lets files share blocks" },
        { "raw file", "raw file", "share use", CopyMethod.Clone, "lets files share blocks" },
        { "raw file", "raw file", "use", CopyMethod.Extents, "only what holds data" },
        { "raw file", "qcow2 file", "", CopyMethod.Convert, "raw becomes qcow2" },
        { "raw file", "qcow2 file", "share", CopyMethod.Offload, "raw becomes qcow2" },
        { "qcow2 file", "raw file", "", CopyMethod.Convert, "qcow2 becomes raw" },
        { "qcow2 file", "raw file", "share", CopyMethod.Offload, "qcow2 becomes raw" },
        { "qcow2 file", "qcow2 file", "", CopyMethod.Extents, "only what holds data" },
        { "qcow2 file", "qcow2 file", "share", CopyMethod.Clone, "lets files share blocks" },
        { "qcow2 file", "qcow2 file", "share use", CopyMethod.Offload, "may change while they are read" },
        { "qcow2 file", "qcow2 file", "use", CopyMethod.Convert, "may change while they are read" },
        { "qcow2 file", "qcow2 file", "extras", CopyMethod.Convert, "snapshots or bitmaps" },
        { "qcow2 file", "qcow2 file", "share extras", CopyMethod.Offload, "snapshots or bitmaps" },
        { "qcow2 file", "qcow2 file", "chain", CopyMethod.Convert, "3 layers become one" },
        { "qcow2 file", "qcow2 file", "share chain", CopyMethod.Offload, "3 layers become one" },
        { "qcow2 file", "qcow2 file", "some chain", CopyMethod.Offload, "some of the source's 3 layers" },
        { "raw file", "raw block", "", CopyMethod.Extents, "only what holds data" },
        { "raw file", "raw block", "share", CopyMethod.Extents, "only what holds data" },
        { "raw block", "raw file", "", CopyMethod.Extents, "only what holds data" },
        { "raw block", "raw block", "", CopyMethod.Extents, "only what holds data" },
        { "raw block", "raw block", "native", CopyMethod.NativeClone, "storage makes the copy itself" },
        { "raw block", "raw block", "native use", CopyMethod.Extents, "only what holds data" },
        { "raw block", "qcow2 file", "", CopyMethod.Convert, "raw becomes qcow2" },
        { "qcow2 file", "raw block", "", CopyMethod.Convert, "qcow2 becomes raw" },
        { "qcow2 file", "qcow2 block", "", CopyMethod.Convert, "not copied byte by byte" },
        { "qcow2 block", "qcow2 file", "", CopyMethod.Convert, "not copied byte by byte" },
        { "rbd", "raw file", "", CopyMethod.Convert, "Ceph" },
        { "raw file", "rbd", "", CopyMethod.Convert, "Ceph" },
        { "rbd", "rbd", "native", CopyMethod.NativeClone, "storage makes the copy itself" },
    };

    [Theory]
    [MemberData(nameof(Pairs))]
    public void The_fastest_safe_way_is_chosen_and_explained(string source, string target, string facts, CopyMethod method, string words)
    {
        var plan = CopyPlanner.Plan(new() { Source = Layer(source), Target = Target(target) }, Facts(facts));

        Assert.Equal(method, plan.Method);
        Assert.Contains(words, plan.Reason, StringComparison.OrdinalIgnoreCase);
        Assert.EndsWith(".", plan.Reason, StringComparison.Ordinal);
        Assert.Equal(facts.Contains("use", StringComparison.Ordinal), plan.Warnings.Any(warning => warning.StartsWith("Something writes", StringComparison.Ordinal)));
        Assert.Equal(method is CopyMethod.Offload or CopyMethod.Convert, plan.Conversion is not null);
        var shared = method is CopyMethod.Clone or CopyMethod.NativeClone || (method == CopyMethod.Offload && !facts.Contains("some", StringComparison.Ordinal));
        Assert.Equal(shared ? DataSize.Zero : DataSize.FromGiB(3), plan.ExpectedBytes);
    }

    [Theory]
    [InlineData("raw file", "qcow2 file", "", CopyTargetContent.Unknown, "convert -p -m 16 -W -f raw -O qcow2 -t unsafe S T")]
    [InlineData("raw file", "qcow2 file", "use", CopyTargetContent.Unknown, "convert -p -U -m 16 -W -f raw -O qcow2 -t unsafe S T")]
    [InlineData("raw file", "qcow2 file", "share", CopyTargetContent.Unknown, "convert -p -C -m 16 -W -f raw -O qcow2 -t unsafe S T")]
    [InlineData("qcow2 file", "raw file", "", CopyTargetContent.Unknown, "convert -p -m 16 -W -f qcow2 -O raw -t unsafe S T")]
    [InlineData("qcow2 file", "qcow2 file", "chain", CopyTargetContent.Unknown, "convert -p -m 16 -W -f qcow2 -O qcow2 -t unsafe S T")]
    [InlineData("qcow2 file", "raw block", "", CopyTargetContent.Unknown, "convert -p -m 16 -W -n -f qcow2 -O raw -t unsafe S T")]
    [InlineData("qcow2 file", "raw block", "", CopyTargetContent.Zero, "convert -p -m 16 -W -n --target-is-zero -f qcow2 -O raw -t unsafe S T")]
    [InlineData("qcow2 file", "qcow2 block", "", CopyTargetContent.Zero, "convert -p -m 16 -W -f qcow2 -O qcow2 -t unsafe S T")]
    [InlineData("raw file", "rbd", "", CopyTargetContent.Zero, "convert -p -m 16 -W -n --target-is-zero -f raw -O raw -t none S T")]
    public void The_tool_is_tuned_for_the_pair(string source, string target, string facts, CopyTargetContent content, string expected)
    {
        CopyRequest request = new() { Source = Layer(source), Target = Target(target), TargetContent = content };
        var plan = CopyPlanner.Plan(request, Facts(facts));
        var arguments = ImageTool.ConversionArguments(request.Source, request.Target, plan.Conversion!);

        Assert.Equal(expected, string.Join(' ', [.. arguments[..^2], "S", "T"]));
    }

    [Fact]
    public void A_rate_limit_holds_back_what_moves_bytes_and_nothing_else()
    {
        CopyRequest request = new() { Source = s_rawFile, Target = Target("qcow2 file"), RateLimit = DataSize.FromMiB(5) };

        Assert.Equal(DataSize.FromMiB(5), CopyPlanner.Plan(request, Facts("")).Conversion!.RateLimit);
        Assert.Equal(DataSize.FromMiB(5), CopyPlanner.Plan(request, Facts("some")).Conversion!.RateLimit);
        var shared = CopyPlanner.Plan(request, Facts("share"));
        Assert.Equal(DataSize.Zero, shared.Conversion!.RateLimit);
        Assert.Contains(shared.Warnings, warning => warning.Contains("no effect", StringComparison.Ordinal));
    }

    [Fact]
    public void The_steps_end_with_what_makes_a_copy_durable()
    {
        var plan = CopyPlanner.Plan(new() { Source = s_rawFile, Target = Target("raw file"), Size = DataSize.FromGiB(20) }, Facts("share"));

        Assert.Equal(
            [
                "open O_CREAT|O_EXCL /t/.y.raw.part",
                "ioctl FICLONE /a/x.raw /t/.y.raw.part",
                "ftruncate /t/.y.raw.part 21474836480",
                "fdatasync /t/.y.raw.part",
                "renameat2 RENAME_NOREPLACE /t/.y.raw.part /t/y.raw",
                "fsync /t",
            ],
            plan.Steps);
    }

    private static DiskLayer Layer(string words) => words switch
    {
        "raw file" => s_rawFile,
        "qcow2 file" => s_qcow2File,
        "raw block" => s_rawBlock,
        "qcow2 block" => s_qcow2Block,
        _ => s_rbd,
    };

    private static DiskLayer Target(string words) => words switch
    {
        "raw file" => new(new FileLocation("/t/y.raw"), DiskFormat.Raw),
        "qcow2 file" => new(new FileLocation("/t/y.qcow2"), DiskFormat.Qcow2),
        "raw block" => new(new BlockLocation("/dev/vg/y"), DiskFormat.Raw),
        "qcow2 block" => new(new BlockLocation("/dev/vg/z"), DiskFormat.Qcow2),
        _ => new(new RbdLocation("pool", "y"), DiskFormat.Raw),
    };

    private static CopyFacts Facts(string words)
    {
        var facts = s_facts;
        foreach (var word in words.Split(' ', StringSplitOptions.RemoveEmptyEntries))
        {
            facts = word switch
            {
                "share" => facts with { Sharing = Sharing.All },
                "some" => facts with { Sharing = Sharing.Some },
                "use" => facts with { IsInUse = true },
                "extras" => facts with { HasExtras = true },
                "chain" => facts with { Layers = 3 },
                _ => facts with { CanCloneNatively = true },
            };
        }

        return facts;
    }
}

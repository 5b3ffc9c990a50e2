using System.Text.Json;

namespace Pengx.Qmp;

public static partial class QmpCommands
{
    /// <summary>Adds a block node. Open-ended: <c>driver</c>, <c>node-name</c> and the driver's own options; always name the driver, so that QEMU never guesses a format.</summary>
    public static QmpCommand<JsonElement, QmpEmpty> BlockdevAdd { get; } =
        new("blockdev-add", QmpJsonContext.Default.JsonElement, QmpJsonContext.Default.QmpEmpty);

    /// <summary>Opens block nodes anew with changed options, given whole in <c>options</c>; what is in QEMU's memory of them is flushed before.</summary>
    public static QmpCommand<JsonElement, QmpEmpty> BlockdevReopen { get; } =
        new("blockdev-reopen", QmpJsonContext.Default.JsonElement, QmpJsonContext.Default.QmpEmpty);

    /// <summary>Removes a block node. QEMU refuses while it is in use.</summary>
    public static QmpCommand<QmpNodeName, QmpEmpty> BlockdevDel { get; } =
        new("blockdev-del", QmpJsonContext.Default.QmpNodeName, QmpJsonContext.Default.QmpEmpty);

    /// <summary>Changes an image's size; a running guest sees it.</summary>
    public static QmpCommand<QmpBlockResize, QmpEmpty> BlockResize { get; } =
        new("block_resize", QmpJsonContext.Default.QmpBlockResize, QmpJsonContext.Default.QmpEmpty);

    /// <summary>The guest's disks and drives.</summary>
    public static QmpCommand<QmpEmpty, IReadOnlyList<QmpBlockDevice>> QueryBlock { get; } =
        new("query-block", QmpJsonContext.Default.QmpEmpty, QmpJsonContext.Default.IReadOnlyListQmpBlockDevice);

    /// <summary>The counters of the guest's disks, or of every node.</summary>
    public static QmpCommand<QmpBlockStatsQuery, IReadOnlyList<QmpBlockStats>> QueryBlockStats { get; } =
        new("query-blockstats", QmpJsonContext.Default.QmpBlockStatsQuery, QmpJsonContext.Default.IReadOnlyListQmpBlockStats);

    /// <summary>Every named block node.</summary>
    public static QmpCommand<QmpNamedNodesQuery, IReadOnlyList<QmpBlockNode>> QueryNamedBlockNodes { get; } =
        new("query-named-block-nodes", QmpJsonContext.Default.QmpNamedNodesQuery, QmpJsonContext.Default.IReadOnlyListQmpBlockNode);
}

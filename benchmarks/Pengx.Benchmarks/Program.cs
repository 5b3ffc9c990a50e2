using BenchmarkDotNet.Running;
using Pengx.Benchmarks.Copying;
using Pengx.Benchmarks.LiveDisks;
using Pengx.Benchmarks.Operations;
using Pengx.Benchmarks.Qmp;
using Pengx.Benchmarks.Xenstore;
using Pengx.Benchmarks.Xml;

if (args is ["qmp-real"])
{
    await RealMonitorComparison.RunAsync();
    return;
}

if (args is ["xenstore-real"])
{
    await RealXenstoredComparison.RunAsync();
    return;
}

if (args is ["copy-real", .. var rest])
{
    await RealCopyComparison.RunAsync(rest.ElementAtOrDefault(0), rest.ElementAtOrDefault(1), rest.ElementAtOrDefault(2), rest.ElementAtOrDefault(3));
    return;
}

if (args is ["live-disks-real", .. var places])
{
    await RealLiveDisksComparison.RunAsync(places.ElementAtOrDefault(0));
    return;
}

if (args is ["workflows-real", var measured, .. var where])
{
    await RealWorkflowComparison.RunAsync(measured, where.ElementAtOrDefault(0), where.ElementAtOrDefault(1));
    return;
}

if (args is ["guest-pause-real", .. var folders])
{
    await GuestPauseMeasurement.RunAsync(folders.ElementAtOrDefault(0));
    return;
}

if (args is ["operations-real", .. var operated])
{
    await OperationOverhead.RunAsync(operated.ElementAtOrDefault(0));
    return;
}

if (args is ["list-path"])
{
    await ListPathMeasurement.RunAsync();
    return;
}

if (args is ["list-http", var service])
{
    await ServedListMeasurement.RunAsync(service);
    return;
}

if (args is ["xml-lists"])
{
    await XmlListComparison.RunAsync();
    return;
}

BenchmarkSwitcher.FromAssembly(typeof(Program).Assembly).Run(args);

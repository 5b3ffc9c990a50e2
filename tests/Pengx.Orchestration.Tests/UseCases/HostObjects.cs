using System.Globalization;

namespace Pengx.Orchestration.Tests;

/// <summary>A host's own parts as tests lay them.</summary>
internal static class HostObjects
{
    extension(World world)
    {
        public StorageRequest LocalDirectory => new() { Category = StorageCategory.Local, MountPoint = Path.Combine(world.Home, "store") };

        /// <summary>Lays a card with virtual functions into the tree that stands for sysfs. No kernel makes functions there, so as many
        /// as it could have are there from the start; what is written is what the tests look at.</summary>
        public Task LayCardAsync(string name, int total)
        {
            var device = Path.Combine(world.Sys, "class/net", name, "device");
            Directory.CreateDirectory(device);
            File.WriteAllText(Path.Combine(device, "sriov_totalvfs"), total.ToString(CultureInfo.InvariantCulture));
            File.WriteAllText(Path.Combine(device, "sriov_numvfs"), "0\n");
            return Task.CompletedTask;
        }

        public void LayFunctions(string name, int count)
        {
            var device = Path.Combine(world.Sys, "class/net", name, "device");
            for (var i = 0; i < count; i++)
            {
                File.CreateSymbolicLink(Path.Combine(device, $"virtfn{i}"), $"../0000:03:10.{i}");
            }
        }
    }
}

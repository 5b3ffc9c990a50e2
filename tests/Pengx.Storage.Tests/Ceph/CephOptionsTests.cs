using Moq;

namespace Pengx.Storage.Tests;

public sealed class CephOptionsTests : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("ceph-options-").FullName;

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Fact]
    public void An_option_that_breaks_its_rule_is_refused_by_name()
    {
        Refused(nameof(CephOptions.ConfigurationFile), options => options.ConfigurationFile = "ceph.conf");
        Refused(nameof(CephOptions.Keyring), options => options.Keyring = "/key\nlog file = /etc/passwd");
        Refused(nameof(CephOptions.Keyring), options => options.Keyring = "/key # not");
        Refused(nameof(CephOptions.StateDirectory), options => options.StateDirectory = "");
        Refused(nameof(CephOptions.RunDirectory), options => options.RunDirectory = "run");
        Refused(nameof(CephOptions.User), options => options.User = "-x");
        Refused(nameof(CephOptions.User), options => options.User = "a]\n[global");
        Refused(nameof(CephOptions.Attach), options => options.Attach = (CephAttachMode)9);
        Refused(nameof(CephOptions.Rbd), options => options.Rbd = " ");
        Refused(nameof(CephOptions.OperationTimeout), options => options.OperationTimeout = TimeSpan.Zero);
        Refused(nameof(CephOptions.ConnectTimeout), options => options.ConnectTimeout = Timeout.InfiniteTimeSpan);
        _ = new RbdStorage(Mock.Of<IProcessRunner>());

        static void Refused(string name, Action<CephOptions> set)
        {
            CephOptions options = new();
            set(options);
            Assert.Equal(name, Assert.Throws<InvalidFieldException>(() => new RbdStorage(Mock.Of<IProcessRunner>(), options)).Field);
        }
    }

    [Fact]
    public void Tools_are_bounded_guests_are_patient_and_both_follow_the_operators_file_and_are_as_secret()
    {
        var source = Path.Combine(_directory, "ceph.conf");
        File.WriteAllText(source, "[global]\nmon host = 10.0.0.1\n[client.vms]\nrados osd op timeout = 0");
        File.SetUnixFileMode(source, UnixFileMode.UserRead | UnixFileMode.UserWrite);
        CephConfiguration configuration = new(new()
        {
            ConfigurationFile = source,
            User = "vms",
            Keyring = "/etc/ceph/vms.keyring",
            StateDirectory = Path.Combine(_directory, "state"),
            ConnectTimeout = TimeSpan.FromSeconds(7),
            OperationTimeout = TimeSpan.FromMilliseconds(8500),
        });
        configuration.Refresh();

        var (tool, guest) = (File.ReadAllText(configuration.ToolFile), File.ReadAllText(configuration.GuestFile));
        Assert.All([tool, guest], text =>
        {
            Assert.StartsWith(File.ReadAllText(source), text, StringComparison.Ordinal);
            Assert.Contains("\n[client.vms]\nclient_mount_timeout = 7\nkeyring = /etc/ceph/vms.keyring\n", text, StringComparison.Ordinal);
        });
        Assert.Contains("\nrados_osd_op_timeout = 9\n", tool, StringComparison.Ordinal);
        Assert.Contains("\nrados_mon_op_timeout = 9\n", tool, StringComparison.Ordinal);
        Assert.DoesNotContain("_op_timeout", guest, StringComparison.Ordinal);
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(configuration.GuestFile));

        File.WriteAllText(source, "[global]\nmon host = 10.0.0.2\n");
        File.SetUnixFileMode(source, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.OtherRead);
        configuration.Refresh();
        Assert.Contains("10.0.0.2", File.ReadAllText(configuration.GuestFile), StringComparison.Ordinal);
        Assert.Equal(File.GetUnixFileMode(source), File.GetUnixFileMode(configuration.ToolFile));
        Assert.Equal(2, Directory.GetFiles(Path.GetDirectoryName(configuration.ToolFile)!).Length);

        File.Delete(source);
        Assert.Contains(source, Assert.Throws<StorageException>(configuration.Refresh).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Tools_open_an_image_by_the_configuration_with_bounds()
    {
        CephConfiguration configuration = new(new() { StateDirectory = "/state", User = "u" });
        DiskLayer guests = new(new RbdLocation("p", "i") { ConfigurationFile = configuration.GuestFile, User = "u" }, DiskFormat.Raw);
        Assert.Equal(
            new DiskLayer(new RbdLocation("p", "i") { ConfigurationFile = configuration.ToolFile, User = "u" }, DiskFormat.Raw),
            RbdCopy.Bounded(guests, configuration));

        // Another cluster's, or another user's, stays its own.
        DiskLayer other = new(new RbdLocation("p", "i") { ConfigurationFile = "/other.conf" }, DiskFormat.Raw);
        Assert.Equal(other, RbdCopy.Bounded(other, configuration));
        DiskLayer file = new(new FileLocation("/a"), DiskFormat.Qcow2);
        Assert.Equal(file, RbdCopy.Bounded(file, configuration));
    }
}

namespace Pengx.Orchestration;

/// <summary>How the host's own network is read and changed.</summary>
public sealed class HostNetworkOptions
{
    /// <summary>Whether changes of networks and name servers are applied to the host. A wrong one can cut off whoever reaches the host
    /// by its network, so otherwise they are recorded only.</summary>
    /// <value>Off.</value>
    public bool Apply { get; set; }

    /// <summary>The file that names the host's name servers.</summary>
    /// <value><c>/etc/resolv.conf</c>.</value>
    public string ResolvConf { get; set; } = "/etc/resolv.conf";

    /// <summary>Where sysfs is mounted.</summary>
    /// <value><c>/sys</c>.</value>
    public string Sys { get; set; } = "/sys";

    /// <summary>How long one call of <c>ip</c> may take.</summary>
    /// <value>10 seconds.</value>
    public TimeSpan Timeout { get; set; } = TimeSpan.FromSeconds(10);
}

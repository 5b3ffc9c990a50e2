using System.Net.Security;

namespace Pengx.Qmp;

/// <summary>How a TLS connection is made. QEMU's side has a <c>tls-creds-x509</c> object.</summary>
public sealed class QmpTls
{
    /// <summary>Our side as the client, which connects: the certificate that is shown, whom to trust, the name that is expected. The name is the host's unless given.</summary>
    public SslClientAuthenticationOptions? Client { get; set; }

    /// <summary>Our side as the server, which QEMU connects to: the certificate that is shown, and whether and whom to trust. Demand a certificate: a monitor is full power over a machine.</summary>
    public SslServerAuthenticationOptions? Server { get; set; }
}

using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace Pengx.Qmp.Tests;

/// <summary>An authority, QEMU's certificate and ours, made for one test, in the files that QEMU's <c>tls-creds-x509</c> wants.</summary>
internal sealed class TestCertificates
{
    private static readonly DateTimeOffset s_from = DateTimeOffset.UnixEpoch.AddYears(50);
    private static readonly DateTimeOffset s_until = DateTimeOffset.UnixEpoch.AddYears(79);
    private readonly X509Certificate2 _authority;

    public TestCertificates(string directory, bool qemuIsServer)
    {
        Directory = System.IO.Directory.CreateDirectory(directory).FullName;
        using ECDsa key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        CertificateRequest request = new("CN=Pengx test authority", key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, false, 0, true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.KeyCertSign | X509KeyUsageFlags.CrlSign, true));
        _authority = request.CreateSelfSigned(s_from, s_until);
        File.WriteAllText(Path.Combine(Directory, "ca-cert.pem"), _authority.ExportCertificatePem());
        X509Certificate2 qemu = Issue("CN=qemu", qemuIsServer);
        string role = qemuIsServer ? "server" : "client";
        File.WriteAllText(Path.Combine(Directory, $"{role}-cert.pem"), qemu.ExportCertificatePem());
        File.WriteAllText(Path.Combine(Directory, $"{role}-key.pem"), qemu.GetECDsaPrivateKey()!.ExportPkcs8PrivateKeyPem());
        Ours = Issue("CN=pengx", !qemuIsServer);
    }

    public string Directory { get; }

    public X509Certificate2 Ours { get; }

    /// <summary>Trust in this authority and no other.</summary>
    public X509ChainPolicy Trust
    {
        get
        {
            X509ChainPolicy policy = new() { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck };
            policy.CustomTrustStore.Add(_authority);
            return policy;
        }
    }

    private X509Certificate2 Issue(string name, bool isServer)
    {
        using ECDsa key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        CertificateRequest request = new(name, key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(false, false, 0, true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.DigitalSignature, true));
        request.CertificateExtensions.Add(new X509EnhancedKeyUsageExtension([new Oid(isServer ? "1.3.6.1.5.5.7.3.1" : "1.3.6.1.5.5.7.3.2")], false));
        SubjectAlternativeNameBuilder names = new();
        names.AddIpAddress(IPAddress.Loopback);
        names.AddDnsName("localhost");
        request.CertificateExtensions.Add(names.Build());
        using X509Certificate2 certificate = request.Create(_authority, s_from, s_until, RandomNumberGenerator.GetBytes(8));
        using X509Certificate2 withKey = certificate.CopyWithPrivateKey(key);
        return X509CertificateLoader.LoadPkcs12(withKey.Export(X509ContentType.Pfx), null);
    }
}

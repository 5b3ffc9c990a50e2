namespace Pengx;

/// <summary>An optional ability of a driver: a guest's serial console, line by line
/// (found with <see cref="IHypervisorDriver.TryGetFeature{TFeature}"/>).</summary>
public interface ISerialConsole
{
    /// <summary>Reads what the guest prints on its first serial port, from the domain's last start on, until the domain stops.</summary>
    /// <param name="id">The domain, running or stopped.</param>
    /// <param name="cancellationToken">Ends the reading.</param>
    /// <returns>The lines, without their ends; a line over 4096 bytes is cut there.</returns>
    IAsyncEnumerable<string> ReadLinesAsync(DomainId id, CancellationToken cancellationToken = default);
}

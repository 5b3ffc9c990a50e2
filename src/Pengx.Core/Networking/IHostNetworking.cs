using System.Net;

namespace Pengx;

/// <summary>A change of one of the host's network devices.</summary>
/// <param name="From">What it was configured to be; <see langword="null"/> when it was not.</param>
/// <param name="To">What it shall be; <see langword="null"/> when it shall be no more.</param>
public sealed record NetworkChange(Network? From, Network? To);

/// <summary>The port to the host's own network: what is there, and what a change would do.</summary>
/// <remarks>A change is planned first: the plan tells the exact commands, their risk and their inverses, and changes nothing. A change
/// may cut off whoever reaches the host by the network, so nothing is applied unless <see cref="Applies"/>.</remarks>
public interface IHostNetworking
{
    /// <summary>Whether changes are applied to the host; otherwise they are recorded only.</summary>
    bool Applies { get; }

    /// <summary>The devices that the host has now, by name; <see langword="null"/> where it does not tell.</summary>
    /// <param name="pm">The physical machine that they are of.</param>
    IReadOnlyList<Network>? Read(PmId pm);

    /// <summary>The name servers that the host uses now, in their order.</summary>
    IReadOnlyList<IPAddress> ReadNameServers();

    /// <summary>A device as it is on the host now, VLANs included; <see langword="null"/> when there is none.</summary>
    /// <param name="pm">The physical machine that it is of.</param>
    /// <param name="name">The device's name.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    Task<Network?> FindAsync(PmId pm, string name, CancellationToken cancellationToken = default);

    /// <summary>Says what a change would do now. Reads only.</summary>
    /// <param name="change">The change.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    /// <exception cref="InvalidFieldException">A field of the change cannot be applied on this host.</exception>
    /// <exception cref="WrongStateException">The host's devices do not allow it; the message says why.</exception>
    Task<StoragePlan> PlanAsync(NetworkChange change, CancellationToken cancellationToken = default);

    /// <summary>Says what other name servers would change now. Reads only.</summary>
    /// <param name="servers">The servers, in their order.</param>
    /// <exception cref="WrongStateException">Something else keeps the file; the message says what.</exception>
    StoragePlan PlanNameServers(IReadOnlyList<IPAddress> servers);

    /// <summary>Carries a plan out, with every postcondition read back.</summary>
    /// <param name="plan">The plan.</param>
    /// <param name="cancellationToken">Stops between and within the steps and takes back what was done.</param>
    /// <exception cref="StoragePlanFailedException">A step failed; its own words are in the message.</exception>
    Task ExecuteAsync(StoragePlan plan, CancellationToken cancellationToken = default);
}

/// <summary>The virtual functions of a card as the host has them now.</summary>
/// <param name="Total">How many the card can have at most.</param>
/// <param name="Addresses">Where they are, by their number.</param>
public sealed record SriovReading(int Total, IReadOnlyList<PciAddress> Addresses);

/// <summary>The port to the host's cards with virtual functions (SR-IOV).</summary>
public interface IHostSriov
{
    /// <summary>The virtual functions of a card; <see langword="null"/> when there is no such card, or it can have none.</summary>
    /// <param name="physicalFunction">The card's interface, such as <c>eth0</c>.</param>
    SriovReading? Read(string physicalFunction);

    /// <summary>Sets how many virtual functions a card has, and reads it back. Another number than 0 is reached by way of 0, as the
    /// kernel demands: all of them must be unused.</summary>
    /// <param name="physicalFunction">The card's interface.</param>
    /// <param name="count">How many.</param>
    /// <param name="cancellationToken">Ends the waiting.</param>
    /// <exception cref="WrongStateException">There is no such card, or it refuses; the message says why.</exception>
    Task<SriovReading> SetAsync(string physicalFunction, int count, CancellationToken cancellationToken = default);
}

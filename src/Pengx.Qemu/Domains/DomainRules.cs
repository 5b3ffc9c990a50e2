using System.Globalization;

namespace Pengx.Qemu;

/// <summary>What a definition must hold for QEMU, checked before anything is stored.</summary>
internal static class DomainRules
{
    /// <summary>Checks a definition.</summary>
    /// <param name="definition">The definition.</param>
    /// <exception cref="InvalidFieldException">A field breaks its rule.</exception>
    public static void Check(DomainDefinition definition)
    {
        DefinitionRules.Check(definition);
        if (definition.Nics.Count + definition.PciDevices.Count > PciSlots.LastOnBridge)
        {
            throw new InvalidFieldException(
                "nics", definition.Nics.Count.ToString(CultureInfo.InvariantCulture), "a domain has at most 31 network interfaces and host devices together.");
        }
    }
}

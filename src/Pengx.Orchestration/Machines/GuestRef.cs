using System.Text.Json.Serialization;

namespace Pengx.Orchestration;

/// <summary>A virtual machine or template, where a verb works on either.</summary>
/// <param name="IsTemplate">Whether it is a template.</param>
/// <param name="Id">Its UUID.</param>
/// <param name="Name">Its name, for messages.</param>
internal sealed record GuestRef(bool IsTemplate, Guid Id, string Name)
{
    [JsonIgnore]
    public DomainId Domain => new(Id);

    [JsonIgnore]
    public string Target => $"{(IsTemplate ? "template" : "vm")}/{Id:D}";

    [JsonIgnore]
    public ResourceLock Lock => IsTemplate ? ResourceLock.On(new TemplateId(Id)) : ResourceLock.On(new VmId(Id));

    [JsonIgnore]
    public string Title => $"{(IsTemplate ? "Template" : "VM")} '{Name}'";

    /// <summary>As part of a sentence.</summary>
    [JsonIgnore]
    public string Called => $"{(IsTemplate ? "template" : "VM")} {Name}";

    public static GuestRef Of(VirtualMachine machine) => new(false, machine.Id.Value, machine.Name);

    public static GuestRef Of(Template template) => new(true, template.Id.Value, template.Name);
}

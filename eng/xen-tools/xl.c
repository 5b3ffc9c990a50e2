// xl.c - preloaded into Debian's real xl 4.17, lets it run without a hypervisor, as any user: what xl parses is parsed by xl itself;
// what it would then ask libxl to do is printed instead, one line for each, and not done.
//
// PENGX_XL_DOMAINS names a file of domains for the verbs that list: a line each,
//   DOMID LETTERS REASON OUTSTANDING_KB CURRENT_KB VCPUS CPU_NANOSECONDS UUID_HEX [NAME]
// LETTERS of rbpsd are the flags that are set ("-" for none); a domain without a name is one that Xen has none for any more.
//
// Signatures and structures are those of Xen 4.17's libxl.h and libxl_types.idl.
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// What libxl opens first. A context must be the real one, since printing as JSON allocates from it.
static char handle[65536] __attribute__((aligned(16)));
void *xc_interface_open(void *logger, void *dombuild_logger, unsigned flags) { (void)logger; (void)dombuild_logger; (void)flags; return handle; }
int xc_interface_close(void *xch) { (void)xch; return 0; }
int xc_get_max_cpus(void *xch) { (void)xch; return 4; }
int xc_get_max_nodes(void *xch) { (void)xch; return 1; }
void *xs_open(unsigned long flags) { (void)flags; return handle; }
void xs_close(void *xs) { (void)xs; }
void xs_daemon_destroy_postfork(void *xs) { (void)xs; }
void *xs_read(void *xs, uint32_t transaction, const char *path, unsigned *length) { (void)xs; (void)transaction; (void)path; (void)length; errno = ENOENT; return NULL; }
char **xs_directory(void *xs, uint32_t transaction, const char *path, unsigned *count) { (void)xs; (void)transaction; (void)path; (void)count; errno = ENOENT; return NULL; }

// What xl asks about the host. A stated dom0 memory keeps it from making room, and from its lock file.
struct version_info {
    int major, minor;
    const char *extra, *compiler, *compile_by, *compile_domain, *compile_date, *capabilities, *changeset;
    uint64_t virt_start;
    int pagesize;
    const char *commandline, *build_id;
};
static const struct version_info version = { 4, 17, "", "", "", "", "", "", "", 0, 4096, "dom0_mem=2048M,max:2048M", "" };
const struct version_info *libxl_get_version_info(void *ctx) { (void)ctx; return &version; }
int libxl_get_physinfo(void *ctx, void *info) { (void)ctx; (void)info; return 0; }
int libxl_get_max_cpus(void *ctx) { (void)ctx; return 4; }

// What xl asks libxl to do.
extern char *libxl_domain_config_to_json(void *ctx, void *config);
extern char *libxl_device_disk_to_json(void *ctx, void *disk);
extern char *libxl_device_nic_to_json(void *ctx, void *nic);
extern void libxl_device_disk_init(void *disk);
extern void libxl_device_nic_init(void *nic);

#define FAIL (-3)

__attribute__((format(printf, 1, 2))) static int asked(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    return fflush(stdout);
}

static int asked_json(const char *verb, uint32_t domid, char *json)
{
    printf("%s %u %s", verb, domid, json ? json : "null");
    free(json);
    return fflush(stdout);
}

int libxl_domain_pause(void *ctx, uint32_t domid, const void *how) { (void)ctx; (void)how; return asked("pause %u\n", domid); }
int libxl_domain_unpause(void *ctx, uint32_t domid, const void *how) { (void)ctx; (void)how; return asked("unpause %u\n", domid); }
int libxl_domain_destroy(void *ctx, uint32_t domid, const void *how) { (void)ctx; (void)how; return asked("destroy %u\n", domid); }
int libxl_domain_shutdown(void *ctx, uint32_t domid, const void *how) { (void)ctx; (void)how; asked("shutdown %u\n", domid); return -10; }
int libxl_domain_reboot(void *ctx, uint32_t domid, const void *how) { (void)ctx; (void)how; asked("reboot %u\n", domid); return -10; }
int libxl_send_trigger(void *ctx, uint32_t domid, int trigger, uint32_t vcpu, const void *how) { (void)ctx; (void)how; return asked("trigger %u %d %u\n", domid, trigger, vcpu); }
int libxl_send_sysrq(void *ctx, uint32_t domid, char key) { (void)ctx; return asked("sysrq %u %c\n", domid, key); }
int libxl_domain_rename(void *ctx, uint32_t domid, const char *old_name, const char *name) { (void)ctx; (void)old_name; return asked("rename %u %s\n", domid, name); }
int libxl_set_memory_target(void *ctx, uint32_t domid, int64_t kb, int relative, int enforce) { (void)ctx; return asked("memory %u %ld %d %d\n", domid, (long)kb, relative, enforce); }
int libxl_domain_setmaxmem(void *ctx, uint32_t domid, uint64_t kb) { (void)ctx; return asked("maxmem %u %lu\n", domid, (unsigned long)kb); }
struct bitmap {
    uint32_t size;
    uint8_t *map;
};
int libxl_set_vcpuonline(void *ctx, uint32_t domid, struct bitmap *cpus, const void *how)
{
    (void)ctx; (void)how;
    int count = 0;
    for (uint32_t byte = 0; byte < cpus->size; byte++)
        count += __builtin_popcount(cpus->map[byte]);
    return asked("vcpus %u %d\n", domid, count);
}
int libxl_device_disk_add(void *ctx, uint32_t domid, void *disk, const void *how) { (void)how; return asked_json("disk-add", domid, libxl_device_disk_to_json(ctx, disk)); }
int libxl_cdrom_insert(void *ctx, uint32_t domid, void *disk, const void *how) { (void)how; return asked_json("cdrom", domid, libxl_device_disk_to_json(ctx, disk)); }
int libxl_vdev_to_device_disk(void *ctx, uint32_t domid, const char *vdev, void *disk) { (void)ctx; libxl_device_disk_init(disk); return asked("disk-find %u %s\n", domid, vdev); }
int libxl_device_disk_safe_remove(void *ctx, uint32_t domid, void *disk, const void *how) { (void)ctx; (void)disk; (void)how; return asked("disk-remove %u\n", domid); }
int libxl_device_disk_destroy(void *ctx, uint32_t domid, void *disk, const void *how) { (void)ctx; (void)disk; (void)how; return asked("disk-destroy %u\n", domid); }
void *libxl_device_disk_list(void *ctx, uint32_t domid, int *count) { (void)ctx; *count = 0; asked("disk-list %u\n", domid); return NULL; }
int libxl_device_nic_add(void *ctx, uint32_t domid, void *nic, const void *how) { (void)how; return asked_json("nic-add", domid, libxl_device_nic_to_json(ctx, nic)); }
int libxl_mac_to_device_nic(void *ctx, uint32_t domid, const char *mac, void *nic) { (void)ctx; libxl_device_nic_init(nic); return asked("nic-find %u %s\n", domid, mac); }
int libxl_device_nic_remove(void *ctx, uint32_t domid, void *nic, const void *how) { (void)ctx; (void)nic; (void)how; return asked("nic-remove %u\n", domid); }
void *libxl_device_nic_list(void *ctx, uint32_t domid, int *count) { (void)ctx; *count = 0; asked("nic-list %u\n", domid); return NULL; }

// A start that fails, so that no monitor stays behind.
int libxl_domain_create_new(void *ctx, void *config, uint32_t *domid, const void *how, const void *console)
{
    (void)domid; (void)how; (void)console;
    asked_json("create", 0, libxl_domain_config_to_json(ctx, config));
    return FAIL;
}
int libxl_domain_create_restore(void *ctx, void *config, uint32_t *domid, int restore_fd, int send_back_fd, const void *params, const void *how, const void *console)
{
    (void)domid; (void)restore_fd; (void)send_back_fd; (void)params; (void)how; (void)console;
    asked_json("restore", 0, libxl_domain_config_to_json(ctx, config));
    return FAIL;
}
int libxl_userdata_store(void *ctx, uint32_t domid, const char *id, const uint8_t *data, int length)
{
    (void)ctx;
    printf("userdata %u %s %d\n", domid, id, length);
    fwrite(data, 1, length, stdout);
    return fflush(stdout);
}
int libxl_domain_suspend(void *ctx, uint32_t domid, int fd, int flags, const void *how) { (void)ctx; (void)fd; (void)how; return asked("suspend %u %d\n", domid, flags); }
int libxl_domain_resume(void *ctx, uint32_t domid, int cooperative, const void *how) { (void)ctx; (void)how; return asked("resume %u %d\n", domid, cooperative); }
int libxl_retrieve_domain_configuration(void *ctx, uint32_t domid, void *config, const void *how) { (void)ctx; (void)config; (void)how; asked("details %u\n", domid); return FAIL; }

// Domains to list.
struct dominfo {
    uint8_t uuid[16];
    uint32_t domid, ssidref;
    char *ssid_label;
    bool running, blocked, paused, shutdown, dying, never_stop;
    int shutdown_reason;
    uint64_t outstanding_kb, current_kb, shared_kb, paged_kb, max_kb, cpu_time;
    uint32_t vcpu_max_id, vcpu_online, cpupool;
    uint8_t gpaddr_bits;
    int domain_type;
};
struct vminfo {
    uint8_t uuid[16];
    uint32_t domid;
};

static struct dominfo *domains;
static char **names;
static int domain_count = -1;

static void read_domains(void)
{
    if (domain_count >= 0)
        return;
    domain_count = 0;
    const char *path = getenv("PENGX_XL_DOMAINS");
    FILE *file = path ? fopen(path, "r") : NULL;
    char *line = NULL;
    size_t size = 0;
    while (file && getline(&line, &size, file) > 0) {
        struct dominfo info = { .vcpu_max_id = 0 };
        char letters[8], uuid[33];
        int name = 0;
        line[strcspn(line, "\n")] = 0;
        if (sscanf(line, "%u %7s %d %lu %lu %u %lu %32s%n", &info.domid, letters, &info.shutdown_reason, &info.outstanding_kb, &info.current_kb, &info.vcpu_online, &info.cpu_time, uuid, &name) != 8)
            abort();
        info.running = strchr(letters, 'r');
        info.blocked = strchr(letters, 'b');
        info.paused = strchr(letters, 'p');
        info.shutdown = strchr(letters, 's');
        info.dying = strchr(letters, 'd');
        for (int byte = 0; byte < 16; byte++)
            sscanf(uuid + 2 * byte, "%2hhx", &info.uuid[byte]);
        domains = realloc(domains, (domain_count + 1) * sizeof *domains);
        names = realloc(names, (domain_count + 1) * sizeof *names);
        domains[domain_count] = info;
        names[domain_count++] = line[name] == ' ' ? strdup(line + name + 1) : NULL;
    }
    free(line);
    if (file)
        fclose(file);
}

char *libxl_domid_to_name(void *ctx, uint32_t domid)
{
    (void)ctx;
    read_domains();
    for (int i = 0; i < domain_count; i++)
        if (domains[i].domid == domid)
            return names[i] ? strdup(names[i]) : NULL;
    return NULL;
}
struct dominfo *libxl_list_domain(void *ctx, int *count)
{
    (void)ctx;
    read_domains();
    *count = domain_count;
    struct dominfo *copy = malloc((domain_count + 1) * sizeof *copy);
    return copy && domain_count ? memcpy(copy, domains, domain_count * sizeof *copy) : copy;
}
int libxl_domain_info(void *ctx, struct dominfo *info, uint32_t domid)
{
    (void)ctx;
    read_domains();
    for (int i = 0; i < domain_count; i++)
        if (domains[i].domid == domid) {
            *info = domains[i];
            return 0;
        }
    return -21;
}
struct vminfo *libxl_list_vm(void *ctx, int *count)
{
    (void)ctx;
    read_domains();
    struct vminfo *list = calloc(domain_count + 1, sizeof *list);
    *count = 0;
    for (int i = 0; list && i < domain_count; i++) {
        memcpy(list[*count].uuid, domains[i].uuid, 16);
        list[(*count)++].domid = domains[i].domid;
    }
    return list;
}
uint32_t libxl_vm_get_start_time(void *ctx, uint32_t domid) { (void)ctx; return domid == 0 ? (uint32_t)-1 : 0; }

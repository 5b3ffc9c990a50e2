/*
 * The whole of the test guest: process 1 of an initramfs that holds this program, busybox and a few kernel modules.
 * It reports what it sees of its virtual hardware on the serial console, one "PENGX-GUEST ..." line per fact, and keeps a
 * counter on its second disk. README.md beside this file describes the lines, the console commands and the counter.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/input.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "record.h"

#define MAX_DEVICES 64
#define MAX_INPUTS 16
#define SCAN_MILLISECONDS 1000

struct disk {
    char name[32];
    unsigned long long bytes;
    int seen;
};

struct nic {
    char name[IFNAMSIZ];
    char mac[24];
    int carrier;
    pid_t dhcp;
    int seen;
};

static int console = -1;
static int console_input = -1;
static int screen = -1;
static int started;
static struct disk disks[MAX_DEVICES];
static struct nic nics[MAX_DEVICES];
static int inputs[MAX_INPUTS];
static int cpus;
static long memory;
static pid_t counter = -1;
static volatile sig_atomic_t stop_asked;

/* One write per line: the terminal keeps lines of several processes whole. */
static void say(const char *format, ...)
{
    char line[512];
    va_list arguments;
    va_start(arguments, format);
    int prefix = snprintf(line, sizeof line, "PENGX-GUEST ");
    int length = prefix + vsnprintf(line + prefix, sizeof line - prefix - 2, format, arguments);
    va_end(arguments);
    if (length > (int)sizeof line - 3)
        length = sizeof line - 3;
    line[length++] = '\n';
    if (console >= 0 && write(console, line, length) < 0)
        console = -1;
    if (screen >= 0 && write(screen, line, length) < 0)
        screen = -1;
}

static int read_text(const char *path, char *text, size_t size)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return -1;
    ssize_t length = read(file, text, size - 1);
    close(file);
    if (length < 0)
        return -1;
    while (length > 0 && (text[length - 1] == '\n' || text[length - 1] == ' '))
        length--;
    text[length] = 0;
    return (int)length;
}

static int write_text(const char *path, const char *text)
{
    int file = open(path, O_WRONLY | O_CLOEXEC);
    if (file < 0)
        return -1;
    ssize_t written = write(file, text, strlen(text));
    close(file);
    return written < 0 ? -1 : 0;
}

static unsigned long long read_number(const char *path, unsigned long long fallback)
{
    char text[64];
    return read_text(path, text, sizeof text) > 0 ? strtoull(text, NULL, 10) : fallback;
}

static long long uptime_milliseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return now.tv_sec * 1000ll + now.tv_nsec / 1000000;
}

static void load_modules(void)
{
    char path[128];
    char name[64];
    char hypervisor[16] = "";
    FILE *order = fopen("/modules/order", "re");
    if (order == NULL)
        return;
    read_text("/sys/hypervisor/type", hypervisor, sizeof hypervisor);
    while (fscanf(order, "%63s", name) == 1) {
        snprintf(path, sizeof path, "/modules/%s", name);
        int foreign = strncmp(name, "xen", 3) == 0 && strcmp(hypervisor, "xen") != 0; /* refuses to load elsewhere */
        int file = open(path, O_RDONLY | O_CLOEXEC);
        if (!foreign && (file < 0 || syscall(SYS_finit_module, file, "", 0) != 0))
            say("module %s failed: %s", name, strerror(errno));
        if (file >= 0)
            close(file);
        unlink(path); /* its pages are needed more by a guest of 128 MiB */
    }
    fclose(order);
}

static pid_t run(char *const command[], int quiet)
{
    pid_t child = fork();
    if (child == 0) {
        signal(SIGINT, SIG_DFL);
        signal(SIGTERM, SIG_DFL);
        signal(SIGUSR2, SIG_DFL);
        setsid();
        if (console >= 0) {
            dup2(console, 1);
            dup2(quiet ? open("/dev/null", O_WRONLY) : console, 2);
        }
        execv("/bin/busybox", command);
        _exit(127);
    }
    return child;
}

static void stop(int how, const char *words)
{
    say("%s", words);
    kill(-1, SIGTERM); /* everything but this process */
    struct timespec moment = { 0, 50000000 };
    nanosleep(&moment, NULL);
    kill(-1, SIGKILL);
    sync();
    if (console >= 0)
        tcdrain(console);
    reboot(how);
    for (;;)
        pause();
}

/* SIGINT is control-alt-delete. A request through xenstore makes the kernel run /sbin/poweroff or /sbin/reboot, which are
   busybox: it sends SIGUSR2 or SIGTERM. */
static void on_request(int signal)
{
    stop_asked = signal;
}

/* ---- disks ---- */

static int is_disk(const char *name)
{
    return strncmp(name, "vd", 2) == 0 || strncmp(name, "xvd", 3) == 0 || strncmp(name, "sd", 2) == 0 || strncmp(name, "nvme", 4) == 0;
}

static void scan_disks(void)
{
    struct dirent **entries;
    int count = scandir("/sys/block", &entries, NULL, versionsort);
    for (int i = 0; i < MAX_DEVICES; i++)
        disks[i].seen = 0;
    for (int at = 0; at < count; free(entries[at++])) {
        const struct dirent *entry = entries[at];
        if (!is_disk(entry->d_name) || strlen(entry->d_name) >= sizeof disks[0].name)
            continue;
        char path[320];
        snprintf(path, sizeof path, "/sys/block/%s/size", entry->d_name);
        unsigned long long bytes = read_number(path, 0) * 512;
        struct disk *free_place = NULL, *known = NULL;
        for (int i = 0; i < MAX_DEVICES && known == NULL; i++) {
            if (strcmp(disks[i].name, entry->d_name) == 0)
                known = &disks[i];
            else if (disks[i].name[0] == 0 && free_place == NULL)
                free_place = &disks[i];
        }
        if (known == NULL) {
            if (free_place == NULL || (started && bytes == 0))
                continue; /* a disk that is still being set up has no size yet */
            strcpy(free_place->name, entry->d_name);
            free_place->bytes = bytes;
            free_place->seen = 1;
            say(started ? "disk %s added %llu" : "disk %s %llu", entry->d_name, bytes);
            continue;
        }
        known->seen = 1;
        if (known->bytes != bytes) {
            known->bytes = bytes;
            say("disk %s resized %llu", known->name, bytes);
        }
    }
    if (count >= 0)
        free(entries);
    for (int i = 0; i < MAX_DEVICES; i++) {
        if (disks[i].name[0] != 0 && !disks[i].seen) {
            say("disk %s removed", disks[i].name);
            disks[i].name[0] = 0;
        }
    }
}

/* ---- network ---- */

static int raise_link(const char *name)
{
    struct ifreq request;
    memset(&request, 0, sizeof request);
    strcpy(request.ifr_name, name);
    int control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (control < 0)
        return -1;
    int result = ioctl(control, SIOCGIFFLAGS, &request);
    if (result == 0) {
        request.ifr_flags |= IFF_UP;
        result = ioctl(control, SIOCSIFFLAGS, &request);
    }
    close(control);
    return result;
}

static void scan_nics(void)
{
    struct dirent **entries;
    int count = scandir("/sys/class/net", &entries, NULL, versionsort);
    for (int i = 0; i < MAX_DEVICES; i++)
        nics[i].seen = 0;
    for (int at = 0; at < count; free(entries[at++])) {
        const struct dirent *entry = entries[at];
        char path[320], mac[24];
        if (entry->d_name[0] == '.' || strlen(entry->d_name) >= IFNAMSIZ)
            continue;
        if (strcmp(entry->d_name, "lo") == 0) {
            if (!started)
                raise_link("lo");
            continue;
        }
        snprintf(path, sizeof path, "/sys/class/net/%s/address", entry->d_name);
        if (read_text(path, mac, sizeof mac) <= 0)
            continue;
        struct nic *known = NULL, *free_place = NULL;
        for (int i = 0; i < MAX_DEVICES && known == NULL; i++) {
            if (strcmp(nics[i].name, entry->d_name) == 0 && strcmp(nics[i].mac, mac) == 0)
                known = &nics[i];
            else if (nics[i].name[0] == 0 && free_place == NULL)
                free_place = &nics[i];
        }
        if (known == NULL) {
            if (free_place == NULL)
                continue;
            known = free_place;
            memset(known, 0, sizeof *known);
            strcpy(known->name, entry->d_name);
            strcpy(known->mac, mac);
            known->carrier = 1;
            if (raise_link(known->name) != 0) {
                say("nic %s %s failed: %s", known->name, mac, strerror(errno));
            } else {
                say("nic %s %s up", known->name, mac);
                char *dhcp[] = { "udhcpc", "-f", "-q", "-t", "3", "-T", "1", "-A", "30", "-s", "/bin/dhcp-event",
                    "-i", known->name, NULL };
                known->dhcp = run(dhcp, 1);
            }
        }
        known->seen = 1;
        snprintf(path, sizeof path, "/sys/class/net/%s/carrier", entry->d_name);
        int carrier = (int)read_number(path, 0);
        if (carrier != known->carrier) {
            known->carrier = carrier;
            say("nic %s link %s", known->name, carrier ? "up" : "down");
        }
    }
    if (count >= 0)
        free(entries);
    for (int i = 0; i < MAX_DEVICES; i++) {
        if (nics[i].name[0] != 0 && !nics[i].seen) {
            if (nics[i].dhcp > 0)
                kill(nics[i].dhcp, SIGKILL);
            say("nic %s removed", nics[i].name);
            nics[i].name[0] = 0;
        }
    }
}

/* ---- processors and memory ---- */

static void scan_cpus(void)
{
    struct dirent **entries;
    int count = scandir("/sys/devices/system/cpu", &entries, NULL, versionsort);
    int online = 0;
    for (int at = 0; at < count; free(entries[at++])) {
        const struct dirent *entry = entries[at];
        char path[320];
        if (strncmp(entry->d_name, "cpu", 3) != 0 || entry->d_name[3] < '0' || entry->d_name[3] > '9')
            continue;
        snprintf(path, sizeof path, "/sys/devices/system/cpu/%s/online", entry->d_name);
        unsigned long long state = read_number(path, 1); /* the first processor has no such file */
        if (state == 0 && write_text(path, "1") == 0)
            state = 1;
        online += state == 1;
    }
    if (count >= 0)
        free(entries);
    if (online != cpus) {
        cpus = online;
        say("cpus %d", cpus);
    }
}

static void scan_memory(void)
{
    char text[512];
    if (read_text("/proc/meminfo", text, sizeof text) <= 0)
        return;
    const char *total = strstr(text, "MemTotal:");
    long now = total == NULL ? 0 : (strtol(total + 9, NULL, 10) + 512) / 1024;
    if (now != memory) {
        memory = now;
        say("memory %ld", memory);
    }
}

static void scan_inputs(void)
{
    char path[64];
    for (int i = 0; i < MAX_INPUTS; i++) {
        snprintf(path, sizeof path, "/dev/input/event%d", i);
        if (inputs[i] < 0)
            inputs[i] = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    }
}

static void scan(void)
{
    scan_inputs();
    scan_disks();
    scan_nics();
    scan_cpus();
    scan_memory();
}

/* ---- the counter ---- */

static int disk_bytes(const char *name, unsigned long long *bytes)
{
    char path[96];
    snprintf(path, sizeof path, "/sys/block/%s/size", name);
    *bytes = read_number(path, 0) * 512;
    return *bytes > 0;
}

/* Runs until the disk goes away or refuses; returns whether trying again makes sense once the disk has changed. */
static void count_on(const char *name, long pause_milliseconds)
{
    char path[64];
    static unsigned char block[RECORD_SIZE] __attribute__((aligned(4096)));
    snprintf(path, sizeof path, "/dev/%s", name);
    int disk = open(path, O_RDWR | O_DIRECT | O_SYNC | O_CLOEXEC);
    if (disk < 0) {
        say("counter failed: %s", strerror(errno));
        return;
    }
    uint64_t number = 0;
    for (unsigned slot = 0; slot < RECORD_SLOTS; slot++) {
        if (pread(disk, block, RECORD_SIZE, RECORD_AREA + (off_t)slot * RECORD_SIZE) != RECORD_SIZE) {
            say("counter failed: %s", strerror(errno));
            close(disk);
            return;
        }
        uint64_t found = record_read(block, slot);
        if (found > number)
            number = found;
    }
    say("counter resumes at %llu", (unsigned long long)number);
    struct timespec moment = { pause_milliseconds / 1000, pause_milliseconds % 1000 * 1000000 };
    for (;;) {
        number++;
        record_fill(block, number);
        off_t at = RECORD_AREA + (off_t)(number % RECORD_SLOTS) * RECORD_SIZE;
        if (pwrite(disk, block, RECORD_SIZE, at) != RECORD_SIZE || fsync(disk) != 0) {
            say("counter failed: %s", strerror(errno));
            close(disk);
            return;
        }
        say("flushed %llu", (unsigned long long)number);
        nanosleep(&moment, NULL);
    }
}

/* The second disk of a plain QEMU, or of a Xen guest. */
static const char *counter_disk(unsigned long long *bytes)
{
    static const char *const names[] = { "vdb", "xvdb" };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (disk_bytes(names[i], bytes))
            return names[i];
    return NULL;
}

static void counter_process(long pause_milliseconds)
{
    const unsigned long long needed = RECORD_AREA + (unsigned long long)RECORD_SLOTS * RECORD_SIZE;
    unsigned long long refused = 0, bytes;
    struct timespec second = { 1, 0 };
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    signal(SIGUSR2, SIG_DFL);
    for (;; nanosleep(&second, NULL)) {
        const char *name = counter_disk(&bytes);
        if (name == NULL) {
            refused = 0;
            continue;
        }
        if (bytes == refused)
            continue;
        if (bytes < needed) {
            say("counter off: %s has %llu bytes, %llu needed", name, bytes, needed);
            refused = bytes;
            continue;
        }
        count_on(name, pause_milliseconds);
        if (disk_bytes(name, &refused) == 0)
            refused = 0;
    }
}

static void start_counter(void)
{
    char line[2048], word[64];
    long pause_milliseconds = 100;
    if (read_text("/proc/cmdline", line, sizeof line) > 0) {
        const char *setting = strstr(line, "pengx.counter=");
        if (setting != NULL && sscanf(setting + 14, "%63s", word) == 1) {
            if (strcmp(word, "off") == 0)
                return;
            pause_milliseconds = strtol(word, NULL, 10);
        }
    }
    counter = fork();
    if (counter == 0)
        counter_process(pause_milliseconds);
}

/* ---- the console ---- */

static void report(void)
{
    for (int i = 0; i < MAX_DEVICES; i++)
        if (nics[i].name[0] != 0)
            say("nic %s %s up", nics[i].name, nics[i].mac);
    for (int i = 0; i < MAX_DEVICES; i++)
        if (disks[i].name[0] != 0)
            say("disk %s %llu", disks[i].name, disks[i].bytes);
    say("cpus %d", cpus);
    say("memory %ld", memory);
    say("up %lld", uptime_milliseconds());
}

static void obey(char *line)
{
    line[strcspn(line, "\r\n")] = 0;
    if (line[0] == 0)
        return;
    if (strcmp(line, "poweroff") == 0)
        stop(RB_POWER_OFF, "powering off");
    if (strcmp(line, "reboot") == 0)
        stop(RB_AUTOBOOT, "rebooting");
    if (strcmp(line, "crash") == 0) {
        say("crashing");
        write_text("/proc/sysrq-trigger", "c");
    } else if (strcmp(line, "counter off") == 0) {
        if (counter > 0)
            kill(counter, SIGKILL);
        counter = -1;
        say("counter off");
    } else if (strcmp(line, "counter on") == 0) {
        if (counter <= 0)
            start_counter();
    } else if (strcmp(line, "status") == 0) {
        report();
    } else {
        char *shell[] = { "sh", "-c", line, NULL };
        run(shell, 0);
    }
}

static void read_console(void)
{
    static char line[512];
    static size_t length;
    char text[256];
    ssize_t got = read(console, text, sizeof text);
    for (ssize_t i = 0; i < got; i++) {
        if (text[i] == '\n' || text[i] == '\r') {
            line[length] = 0;
            length = 0;
            obey(line);
        } else if (length < sizeof line - 1) {
            line[length++] = text[i];
        }
    }
}

static void read_input(int index)
{
    struct input_event event;
    ssize_t got;
    while ((got = read(inputs[index], &event, sizeof event)) == sizeof event)
        if (event.type == EV_KEY && event.code == KEY_POWER && event.value == 1)
            stop(RB_POWER_OFF, "powering off");
    if (got < 0 && errno != EAGAIN) {
        close(inputs[index]);
        inputs[index] = -1;
    }
}

static void bury(void)
{
    pid_t child;
    while ((child = waitpid(-1, NULL, WNOHANG)) > 0) {
        if (child == counter)
            counter = -1;
        for (int i = 0; i < MAX_DEVICES; i++)
            if (nics[i].dhcp == child)
                nics[i].dhcp = 0;
    }
}

static int open_uevents(void)
{
    struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = 1 };
    int events = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);
    if (events >= 0)
        bind(events, (struct sockaddr *)&address, sizeof address);
    return events;
}

static void open_console(void)
{
    console = open("/dev/console", O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (console >= 0) {
        struct termios settings;
        if (tcgetattr(console, &settings) == 0) {
            settings.c_lflag &= ~(tcflag_t)(ECHO | ICANON | ISIG);
            tcsetattr(console, TCSANOW, &settings);
        }
    }
    console_input = console;
    screen = open("/dev/tty0", O_WRONLY | O_NOCTTY | O_CLOEXEC);
}

int main(void)
{
    mount("dev", "/dev", "devtmpfs", 0, NULL);
    while (open("/dev/null", O_RDWR) >= 0 && fcntl(2, F_GETFD) < 0) /* 0 to 2 belong to nobody; children get the console there */
        continue;
    mount("proc", "/proc", "proc", 0, NULL);
    mount("sys", "/sys", "sysfs", 0, NULL);
    open_console();
    reboot(RB_DISABLE_CAD); /* control-alt-delete becomes SIGINT here instead of an abrupt reset */
    signal(SIGINT, on_request);
    signal(SIGTERM, on_request);
    signal(SIGUSR2, on_request);
    for (int i = 0; i < MAX_INPUTS; i++)
        inputs[i] = -1;
    int events = open_uevents();
    load_modules();
    scan();
    say("up %lld", uptime_milliseconds());
    started = 1;
    start_counter();
    for (;;) {
        struct pollfd waits[MAX_INPUTS + 2];
        for (int i = 0; i < MAX_INPUTS; i++)
            waits[i] = (struct pollfd){ .fd = inputs[i], .events = POLLIN };
        waits[MAX_INPUTS] = (struct pollfd){ .fd = console_input, .events = POLLIN };
        waits[MAX_INPUTS + 1] = (struct pollfd){ .fd = events, .events = POLLIN };
        poll(waits, MAX_INPUTS + 2, SCAN_MILLISECONDS);
        if (stop_asked == SIGUSR2)
            stop(RB_POWER_OFF, "powering off");
        if (stop_asked != 0)
            stop(RB_AUTOBOOT, "rebooting");
        for (int i = 0; i < MAX_INPUTS; i++)
            if (waits[i].revents != 0)
                read_input(i);
        if (waits[MAX_INPUTS].revents & POLLIN)
            read_console();
        else if (waits[MAX_INPUTS].revents != 0)
            console_input = -1; /* hung up: going on writing is harmless, waiting on it would spin */
        char ignored[4096];
        while (recv(events, ignored, sizeof ignored, 0) > 0)
            continue;
        bury();
        scan();
    }
}

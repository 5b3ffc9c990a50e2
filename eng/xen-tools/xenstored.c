/*
 * Lets Debian's C xenstored run without Xen, to be preloaded: it answers for the hypervisor, the event channels, the grant tables and the
 * two files by which the kernel hands over its ring. Domains can be introduced; all of them are alive, and none ever says a word.
 *
 * With PENGX_XENSTORED_TIED set, the daemon ends when its standard input does, so that it cannot outlive the test that started it.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096

static char handle;
static int channels;

static void *wait_for_end(void *unused)
{
    char byte;

    while (read(STDIN_FILENO, &byte, 1) > 0) {
    }

    _exit(0);
    return unused;
}

__attribute__((constructor)) static void tie(void)
{
    pthread_t thread;

    if (getenv("PENGX_XENSTORED_TIED") && pthread_create(&thread, NULL, wait_for_end, NULL) == 0)
        pthread_detach(thread);
}

/* The kernel's number of its event channel, and its ring page. */
static int in_memory(const char *name, const void *content, size_t length, size_t size)
{
    int fd = memfd_create(name, MFD_CLOEXEC);

    if (fd < 0 || ftruncate(fd, size) < 0 || pwrite(fd, content, length, 0) != (ssize_t)length)
        return -1;

    return fd;
}

int open(const char *path, int flags, ...)
{
    static int (*real)(const char *, int, ...);
    va_list list;
    mode_t mode;

    if (strcmp(path, "/proc/xen/xsd_port") == 0)
        return in_memory("xsd_port", "1", 1, 1);
    if (strcmp(path, "/proc/xen/xsd_kva") == 0)
        return in_memory("xsd_kva", "", 0, PAGE);

    va_start(list, flags);
    mode = va_arg(list, mode_t);
    va_end(list);
    if (!real)
        real = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open");

    return real(path, flags, mode);
}

void *xc_interface_open(void *logger, void *dombuild_logger, unsigned flags)
{
    (void)logger;
    (void)dombuild_logger;
    (void)flags;
    return &handle;
}

int xc_interface_close(void *xch)
{
    (void)xch;
    return 0;
}

/* What is asked for: that the domain exists, and neither dies nor shut down. Domain, label and flags come first in the structure. */
int xc_domain_getinfo(void *xch, uint32_t first, unsigned count, void *info)
{
    uint32_t head[3] = { first, 0, 0 };

    (void)xch;
    if (count == 0)
        return 0;

    memcpy(info, head, sizeof(head));
    return 1;
}

void *xenevtchn_open(void *logger, unsigned flags)
{
    (void)logger;
    (void)flags;
    return &handle;
}

void *xenevtchn_fdopen(void *logger, int fd, unsigned flags)
{
    (void)logger;
    (void)fd;
    (void)flags;
    return &handle;
}

int xenevtchn_fd(void *xce)
{
    static int fd = -1;

    (void)xce;
    if (fd < 0)
        fd = eventfd(0, EFD_CLOEXEC);

    return fd;
}

int xenevtchn_notify(void *xce, uint32_t port)
{
    (void)xce;
    (void)port;
    return 0;
}

int xenevtchn_bind_interdomain(void *xce, uint32_t domid, uint32_t port)
{
    (void)xce;
    (void)domid;
    (void)port;
    return ++channels;
}

int xenevtchn_bind_virq(void *xce, unsigned virq)
{
    (void)xce;
    (void)virq;
    return ++channels;
}

int xenevtchn_unbind(void *xce, uint32_t port)
{
    (void)xce;
    (void)port;
    return 0;
}

int xenevtchn_pending(void *xce)
{
    (void)xce;
    return -1;
}

int xenevtchn_unmask(void *xce, uint32_t port)
{
    (void)xce;
    (void)port;
    return 0;
}

void *xengnttab_open(void *logger, unsigned flags)
{
    (void)logger;
    (void)flags;
    return &handle;
}

int xengnttab_close(void *xgt)
{
    (void)xgt;
    return 0;
}

int xengnttab_set_max_grants(void *xgt, uint32_t count)
{
    (void)xgt;
    (void)count;
    return 0;
}

/* A domain's ring page, empty. */
void *xengnttab_map_grant_ref(void *xgt, uint32_t domid, uint32_t reference, int protection)
{
    void *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    (void)xgt;
    (void)domid;
    (void)reference;
    (void)protection;
    return page == MAP_FAILED ? NULL : page;
}

int xengnttab_unmap(void *xgt, void *start, uint32_t count)
{
    (void)xgt;
    return munmap(start, (size_t)count * PAGE);
}

// SPDX-License-Identifier: GPL-3.0-only
/*
 * LD_PRELOAD stub that lets the stock xenstored and oxenstored run without Xen and without root.
 *
 * It answers the few libxenctrl, libxenevtchn and libxengnttab calls the daemons make, gives them a private
 * page in place of a guest's ring, and redirects their fixed paths below $XEN_STUB_DIR. Every domid exists;
 * domains come and go by XS_INTRODUCE and XS_RELEASE on the socket, which fire the same special watches as on Xen.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

static int handle; /* what every *_open() returns a pointer to */

/* The daemons' fixed paths: Dom0's ring and port, and oxenstored's socket directory. */
static const char *redirect(const char *path, char *buf, size_t len)
{
	static const char *const fixed[] = { "/proc/xen/", "/var/run/xenstored/" };
	const char *dir = getenv("XEN_STUB_DIR");

	for (size_t i = 0; dir && i < sizeof(fixed) / sizeof(fixed[0]); i++)
		if (!strncmp(path, fixed[i], strlen(fixed[i]))) {
			snprintf(buf, len, "%s/%s", dir, path + strlen(fixed[i]));
			return buf;
		}
	return path;
}

#define OPEN(name)                                                              \
	int name(const char *path, int flags, ...)                              \
	{                                                                       \
		char buf[4096];                                                 \
		va_list ap;                                                     \
		va_start(ap, flags);                                            \
		int mode = va_arg(ap, int);                                     \
		va_end(ap);                                                     \
		int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, #name);  \
		return real(redirect(path, buf, sizeof(buf)), flags, mode);     \
	}
OPEN(open)
OPEN(open64)

int unlink(const char *path)
{
	char buf[4096];
	int (*real)(const char *) = dlsym(RTLD_NEXT, "unlink");

	return real(redirect(path, buf, sizeof(buf)));
}

int bind(int fd, const struct sockaddr *addr, socklen_t len)
{
	int (*real)(int, const struct sockaddr *, socklen_t) = dlsym(RTLD_NEXT, "bind");
	struct sockaddr_un given = { 0 }, un = { .sun_family = AF_UNIX };
	char buf[4096];

	if (addr->sa_family != AF_UNIX || len > sizeof(given))
		return real(fd, addr, len);
	memcpy(&given, addr, len);
	snprintf(un.sun_path, sizeof(un.sun_path), "%s", redirect(given.sun_path, buf, sizeof(buf)));
	return real(fd, (struct sockaddr *)&un, sizeof(un));
}

int setrlimit(__rlimit_resource_t resource, const struct rlimit *limit) { return 0; }

/* libxenctrl: the first bytes of xc_dominfo_t and xc_domaininfo_t are the domid and flags (0: alive). */
void *xc_interface_open(void *logger, void *dombuild, unsigned flags) { return &handle; }
int xc_interface_close(void *xch) { return 0; }
static int info(uint32_t domid, void *out) { memset(out, 0, 16); memcpy(out, &domid, 2); return 1; }
int xc_domain_getinfo(void *xch, uint32_t first, unsigned max, void *out) { return info(first, out); }
int xc_domain_getinfolist(void *xch, uint32_t first, unsigned max, void *out) { return info(first, out); }
int xc_domain_getinfo_single(void *xch, uint32_t domid, void *out) { return info(domid, out) - 1; }

static void *page(void) { return mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); }
void *xc_map_foreign_range(void *xch, uint32_t domid, int size, int prot, unsigned long mfn) { return page(); }

void *xengnttab_open(void *logger, unsigned flags) { return &handle; }
int xengnttab_close(void *xgt) { return 0; }
int xengnttab_set_max_grants(void *xgt, uint32_t nr) { return 0; }
void *xengnttab_map_grant_ref(void *xgt, uint32_t domid, uint32_t ref, int prot) { return page(); }
int xengnttab_unmap(void *xgt, void *addr, uint32_t pages) { return munmap(addr, pages * 4096UL); }

/* libxenevtchn: a descriptor that never becomes readable, and ports that never fire. */
void *xenevtchn_open(void *logger, unsigned flags) { return &handle; }
void *xenevtchn_fdopen(void *logger, int fd, unsigned flags) { return &handle; }
int xenevtchn_close(void *xce) { return 0; }
int xenevtchn_fd(void *xce) { static int fd = -1; return fd < 0 ? fd = eventfd(0, 0) : fd; }
int xenevtchn_notify(void *xce, uint32_t port) { return 0; }
int xenevtchn_bind_interdomain(void *xce, uint32_t domid, uint32_t remote) { return (int)remote; }
int xenevtchn_bind_virq(void *xce, unsigned virq) { return 1000; }
int xenevtchn_unbind(void *xce, uint32_t port) { return 0; }
int xenevtchn_unmask(void *xce, uint32_t port) { return 0; }
int xenevtchn_pending(void *xce) { return -1; }

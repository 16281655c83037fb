// SPDX-License-Identifier: GPL-2.0
/* One-line wrappers of inline functions and macros of the Xen interfaces; see shim.h. */
#include "shim.h"

bool xlnet_xen_domain(void)
{
	return xen_domain();
}

bool xlnet_xen_initial_domain(void)
{
	return xen_initial_domain();
}

int xlnet_evtchn_op(int cmd, void *arg)
{
	return HYPERVISOR_event_channel_op(cmd, arg);
}

void xlnet_notify_remote_via_evtchn(evtchn_port_t port)
{
	notify_remote_via_evtchn(port);
}

void xlnet_gnttab_set_map_op(struct gnttab_map_grant_ref *map, phys_addr_t addr, u32 flags,
			     grant_ref_t ref, domid_t domid)
{
	gnttab_set_map_op(map, addr, flags, ref, domid);
}

void xlnet_gnttab_set_unmap_op(struct gnttab_unmap_grant_ref *unmap, phys_addr_t addr, u32 flags,
			       grant_handle_t handle)
{
	gnttab_set_unmap_op(unmap, addr, flags, handle);
}

unsigned long xlnet_xen_page_to_gfn(struct page *page)
{
	return xen_page_to_gfn(page);
}

struct page *xlnet_alloc_zeroed_page(void)
{
	return alloc_page(GFP_KERNEL | __GFP_ZERO);
}

void xlnet_free_page(struct page *page)
{
	__free_page(page);
}

void xlnet_get_page(struct page *page)
{
	get_page(page);
}

int xlnet_page_count(const struct page *page)
{
	return page_count(page);
}

void *xlnet_page_address(struct page *page)
{
	return page_address(page);
}

phys_addr_t xlnet_page_kaddr(struct page *page)
{
	return (phys_addr_t)(unsigned long)pfn_to_kaddr(page_to_pfn(page));
}

const char *xlnet_xenbus_read(const char *dir, const char *node, unsigned int *len)
{
	return xenbus_read(XBT_NIL, dir, node, len);
}

int xlnet_xenbus_write(const char *dir, const char *node, const char *value)
{
	return xenbus_write(XBT_NIL, dir, node, value);
}

int xlnet_xenbus_rm(const char *dir, const char *node)
{
	return xenbus_rm(XBT_NIL, dir, node);
}

char **xlnet_xenbus_directory(const char *dir, const char *node, unsigned int *num)
{
	return xenbus_directory(XBT_NIL, dir, node, num);
}

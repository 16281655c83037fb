/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What Rust sees of the kernel's C: the headers bindgen reads, and a wrapper for every inline
 * function or macro that net/ and xen/ call. A wrapper is one line and has no logic of its own.
 */
#ifndef XLNET_SHIM_H
#define XLNET_SHIM_H

#include <linux/etherdevice.h>
#include <linux/ethtool.h>
#include <linux/if_arp.h>
#include <linux/if_vlan.h>
#include <linux/netdevice.h>
#include <linux/random.h>
#include <linux/rtnetlink.h>
#include <linux/sched.h>
#include <linux/sched/stat.h>
#include <linux/skbuff.h>
#include <linux/sysfs.h>
#include <linux/virtio_net.h>
#include <linux/workqueue.h>
#include <net/gro.h>
#include <net/netdev_lock.h>
#include <net/netdev_queues.h>
#include <net/page_pool/helpers.h>
#include <net/sch_generic.h>
#include <xen/events.h>
#include <xen/grant_table.h>
#include <xen/interface/event_channel.h>
#include <xen/interface/grant_table.h>
#include <xen/page.h>
#include <xen/xen.h>
#include <xen/xen-ops.h>
#include <xen/xenbus.h>

/* Constants bindgen cannot evaluate. */
enum {
	XLNET_GFP_ATOMIC = (__force unsigned int)(GFP_ATOMIC | __GFP_NOWARN),
	XLNET_ARPHRD_ETHER = ARPHRD_ETHER,
	XLNET_NETDEV_CHANGEADDR = NETDEV_CHANGEADDR,
	XLNET_COALESCE_PARAMS = ETHTOOL_COALESCE_RX_USECS | ETHTOOL_COALESCE_RX_USECS_IRQ,
};

/* Network devices. */
void *xlnet_netdev_priv(const struct net_device *dev);
void xlnet_eth_hw_addr_set(struct net_device *dev, const u8 *addr);
void xlnet_eth_hw_addr_random(struct net_device *dev);
void xlnet_dev_hold(struct net_device *dev);
void xlnet_dev_put(struct net_device *dev);
struct net *xlnet_dev_net_rcu(const struct net_device *dev);
bool xlnet_netif_running(const struct net_device *dev);
bool xlnet_netif_carrier_ok(const struct net_device *dev);
bool xlnet_qdisc_tx_is_noop(const struct net_device *dev);
void xlnet_dstats_tx_add(struct net_device *dev, unsigned int len);
void xlnet_dstats_rx_add(struct net_device *dev, unsigned int len);
void xlnet_dstats_tx_dropped(struct net_device *dev);
void xlnet_dstats_rx_dropped(struct net_device *dev);
struct kobject *xlnet_netdev_kobj(struct net_device *dev);
struct net_device *xlnet_kobj_netdev(struct kobject *kobj);
struct net_device *xlnet_device_netdev(struct device *dev);
void xlnet_netdev_lockdep_set_classes(struct net_device *dev);
void xlnet_set_devtype(struct net_device *dev, const struct device_type *type);
void xlnet_no_skb_sharing(struct net_device *dev);
void xlnet_no_netpoll(struct net_device *dev);
void xlnet_set_pcpu_stat_type(struct net_device *dev, enum netdev_stat_type type);

/* Transmit queues. */
void xlnet_txq_stop(struct net_device *dev, unsigned int index);
void xlnet_mb_after_stop(void);
bool xlnet_txq_stopped(const struct net_device *dev, unsigned int index);
void xlnet_txq_wake(struct net_device *dev, unsigned int index);
bool xlnet_netdev_xmit_more(void);

/* NAPI. */
void xlnet_netif_napi_add(struct net_device *dev, struct napi_struct *napi,
			  int (*poll)(struct napi_struct *, int));
void xlnet_netif_napi_del(struct napi_struct *napi);
void xlnet_napi_hold(struct napi_struct *napi);
void xlnet_napi_schedule(struct napi_struct *napi);
void xlnet_napi_schedule_in(struct napi_struct *napi, u64 ns);
void xlnet_napi_gro_receive(struct napi_struct *napi, struct sk_buff *skb);
void xlnet_local_bh_disable(void);
void xlnet_local_bh_enable(void);

/* Socket buffers. */
unsigned int xlnet_skb_headlen(const struct sk_buff *skb);
bool xlnet_pskb_may_pull(struct sk_buff *skb, unsigned int len);
int xlnet_skb_unclone_atomic(struct sk_buff *skb);
int xlnet_skb_cow_head(struct sk_buff *skb, unsigned int headroom);
bool xlnet_skb_is_gso(const struct sk_buff *skb);
void xlnet_skb_tx_timestamp(struct sk_buff *skb);
void xlnet_kfree_skb_any(struct sk_buff *skb);
void xlnet_consume_skb_any(struct sk_buff *skb);
int xlnet_dev_queue_xmit(struct sk_buff *skb);
u16 xlnet_skb_get_queue_mapping(const struct sk_buff *skb);
void xlnet_skb_record_rx_queue(struct sk_buff *skb, u16 queue);
void xlnet_skb_reset_mac_header(struct sk_buff *skb);
void xlnet_skb_set_network_header(struct sk_buff *skb, int offset);
void xlnet_skb_set_protocol(struct sk_buff *skb, __be16 protocol);
void xlnet_skb_set_dev(struct sk_buff *skb, struct net_device *dev);
int xlnet_virtio_net_hdr_from_skb(const struct sk_buff *skb, struct virtio_net_hdr *hdr);
int xlnet_virtio_net_hdr_to_skb(struct sk_buff *skb, const struct virtio_net_hdr *hdr);

/* Page pools. */
struct page_pool *xlnet_page_pool_create(struct net_device *dev, unsigned int order,
					 unsigned int size);
struct page *xlnet_page_pool_alloc(struct page_pool *pool, unsigned int *offset,
				   unsigned int *size);
void xlnet_skb_add_rx_frag(struct sk_buff *skb, struct page *page, unsigned int offset,
			   unsigned int size, unsigned int truesize);
void xlnet_skb_mark_for_recycle(struct sk_buff *skb);

/* Work items. */
void xlnet_init_delayed_work(struct delayed_work *work, work_func_t func);
void xlnet_work_trigger(struct delayed_work *work);
void xlnet_work_trigger_in(struct delayed_work *work, unsigned int ms);
void xlnet_work_restart_in(struct delayed_work *work, unsigned int ms);
void xlnet_work_trigger_long(struct delayed_work *work);
unsigned long xlnet_switches(void);
const struct task_struct *xlnet_current(void);
unsigned long xlnet_sleeps(void);
unsigned long xlnet_jiffies(void);
void xlnet_cond_resched(void);
void xlnet_yield(void);
unsigned int xlnet_online_cpus(void);
bool xlnet_is_idle(void);

/* Xen. */
bool xlnet_xen_domain(void);
bool xlnet_xen_initial_domain(void);
int xlnet_evtchn_op(int cmd, void *arg);
void xlnet_notify_remote_via_evtchn(evtchn_port_t port);
void xlnet_gnttab_set_map_op(struct gnttab_map_grant_ref *map, phys_addr_t addr, u32 flags,
			     grant_ref_t ref, domid_t domid);
void xlnet_gnttab_set_unmap_op(struct gnttab_unmap_grant_ref *unmap, phys_addr_t addr, u32 flags,
			       grant_handle_t handle);
unsigned long xlnet_xen_page_to_gfn(struct page *page);
struct page *xlnet_alloc_zeroed_page(void);
void xlnet_free_page(struct page *page);
void xlnet_get_page(struct page *page);
int xlnet_page_count(const struct page *page);
void *xlnet_page_address(struct page *page);
phys_addr_t xlnet_page_kaddr(struct page *page);
const char *xlnet_xenbus_read(const char *dir, const char *node, unsigned int *len);
int xlnet_xenbus_write(const char *dir, const char *node, const char *value);
int xlnet_xenbus_rm(const char *dir, const char *node);
char **xlnet_xenbus_directory(const char *dir, const char *node, unsigned int *num);

#endif /* XLNET_SHIM_H */

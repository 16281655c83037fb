// SPDX-License-Identifier: GPL-2.0
/* One-line wrappers of inline functions and macros of the network stack; see shim.h. */
#include "shim.h"

void *xlnet_netdev_priv(const struct net_device *dev)
{
	return netdev_priv(dev);
}

void xlnet_eth_hw_addr_set(struct net_device *dev, const u8 *addr)
{
	eth_hw_addr_set(dev, addr);
}

void xlnet_eth_hw_addr_random(struct net_device *dev)
{
	eth_hw_addr_random(dev);
}

void xlnet_dev_hold(struct net_device *dev)
{
	dev_hold(dev);
}

void xlnet_dev_put(struct net_device *dev)
{
	dev_put(dev);
}

struct net *xlnet_dev_net_rcu(const struct net_device *dev)
{
	return dev_net_rcu(dev);
}

bool xlnet_netif_running(const struct net_device *dev)
{
	return netif_running(dev);
}

bool xlnet_netif_carrier_ok(const struct net_device *dev)
{
	return netif_carrier_ok(dev);
}

bool xlnet_qdisc_tx_is_noop(const struct net_device *dev)
{
	return qdisc_tx_is_noop(dev);
}

void xlnet_dstats_tx_add(struct net_device *dev, unsigned int len)
{
	dev_dstats_tx_add(dev, len);
}

void xlnet_dstats_rx_add(struct net_device *dev, unsigned int len)
{
	dev_dstats_rx_add(dev, len);
}

void xlnet_dstats_tx_dropped(struct net_device *dev)
{
	dev_dstats_tx_dropped(dev);
}

void xlnet_dstats_rx_dropped(struct net_device *dev)
{
	dev_dstats_rx_dropped(dev);
}

struct kobject *xlnet_netdev_kobj(struct net_device *dev)
{
	return &dev->dev.kobj;
}

struct net_device *xlnet_kobj_netdev(struct kobject *kobj)
{
	return to_net_dev(kobj_to_dev(kobj));
}

struct net_device *xlnet_device_netdev(struct device *dev)
{
	return to_net_dev(dev);
}

void xlnet_netdev_lockdep_set_classes(struct net_device *dev)
{
	netdev_lockdep_set_classes(dev);
}

void xlnet_set_devtype(struct net_device *dev, const struct device_type *type)
{
	SET_NETDEV_DEVTYPE(dev, type);
}

void xlnet_no_skb_sharing(struct net_device *dev)
{
	dev->priv_flags &= ~IFF_TX_SKB_SHARING;
}

void xlnet_no_netpoll(struct net_device *dev)
{
	dev->priv_flags |= IFF_DISABLE_NETPOLL;
}

void xlnet_set_pcpu_stat_type(struct net_device *dev, enum netdev_stat_type type)
{
	dev->pcpu_stat_type = type;
}

void xlnet_txq_stop(struct net_device *dev, unsigned int index)
{
	netif_tx_stop_queue(netdev_get_tx_queue(dev, index));
}

void xlnet_mb_after_stop(void)
{
	smp_mb__after_atomic();
}

bool xlnet_txq_stopped(const struct net_device *dev, unsigned int index)
{
	return netif_tx_queue_stopped(netdev_get_tx_queue(dev, index));
}

void xlnet_txq_wake(struct net_device *dev, unsigned int index)
{
	netif_tx_wake_queue(netdev_get_tx_queue(dev, index));
}

bool xlnet_netdev_xmit_more(void)
{
	return netdev_xmit_more();
}

void xlnet_netif_napi_add(struct net_device *dev, struct napi_struct *napi,
			  int (*poll)(struct napi_struct *, int))
{
	netif_napi_add(dev, napi, poll);
}

void xlnet_netif_napi_del(struct napi_struct *napi)
{
	netif_napi_del(napi);
}

void xlnet_napi_hold(struct napi_struct *napi)
{
	napi->state = NAPIF_STATE_SCHED;
}

void xlnet_napi_schedule(struct napi_struct *napi)
{
	napi_schedule(napi);
}

void xlnet_napi_schedule_in(struct napi_struct *napi, u64 ns)
{
	hrtimer_start(&napi->timer, ns_to_ktime(ns), HRTIMER_MODE_REL_PINNED);
}

void xlnet_napi_gro_receive(struct napi_struct *napi, struct sk_buff *skb)
{
	napi_gro_receive(napi, skb);
}

void xlnet_local_bh_disable(void)
{
	local_bh_disable();
}

void xlnet_local_bh_enable(void)
{
	local_bh_enable();
}

unsigned int xlnet_skb_headlen(const struct sk_buff *skb)
{
	return skb_headlen(skb);
}

bool xlnet_pskb_may_pull(struct sk_buff *skb, unsigned int len)
{
	return pskb_may_pull(skb, len);
}

int xlnet_skb_unclone_atomic(struct sk_buff *skb)
{
	return skb_unclone(skb, GFP_ATOMIC | __GFP_NOWARN);
}

int xlnet_skb_cow_head(struct sk_buff *skb, unsigned int headroom)
{
	return skb_cow_head(skb, headroom);
}

bool xlnet_skb_is_gso(const struct sk_buff *skb)
{
	return skb_is_gso(skb);
}

void xlnet_skb_tx_timestamp(struct sk_buff *skb)
{
	skb_tx_timestamp(skb);
}

void xlnet_kfree_skb_any(struct sk_buff *skb)
{
	dev_kfree_skb_any(skb);
}

void xlnet_consume_skb_any(struct sk_buff *skb)
{
	dev_consume_skb_any(skb);
}

int xlnet_dev_queue_xmit(struct sk_buff *skb)
{
	return dev_queue_xmit(skb);
}

u16 xlnet_skb_get_queue_mapping(const struct sk_buff *skb)
{
	return skb_get_queue_mapping(skb);
}

void xlnet_skb_record_rx_queue(struct sk_buff *skb, u16 queue)
{
	skb_record_rx_queue(skb, queue);
}

void xlnet_skb_reset_mac_header(struct sk_buff *skb)
{
	skb_reset_mac_header(skb);
}

void xlnet_skb_set_network_header(struct sk_buff *skb, int offset)
{
	skb_set_network_header(skb, offset);
}

void xlnet_skb_set_protocol(struct sk_buff *skb, __be16 protocol)
{
	skb->protocol = protocol;
}

void xlnet_skb_set_dev(struct sk_buff *skb, struct net_device *dev)
{
	skb->dev = dev;
}

int xlnet_virtio_net_hdr_from_skb(const struct sk_buff *skb, struct virtio_net_hdr *hdr)
{
	return virtio_net_hdr_from_skb(skb, hdr, true, false, 0);
}

int xlnet_virtio_net_hdr_to_skb(struct sk_buff *skb, const struct virtio_net_hdr *hdr)
{
	return virtio_net_hdr_to_skb(skb, hdr, true);
}

struct page_pool *xlnet_page_pool_create(struct net_device *dev, unsigned int order,
					 unsigned int size)
{
	return page_pool_create(&(struct page_pool_params){ .order = order, .pool_size = size, .nid = NUMA_NO_NODE, .netdev = dev });
}

struct page *xlnet_page_pool_alloc(struct page_pool *pool, unsigned int *offset,
				   unsigned int *size)
{
	return page_pool_dev_alloc(pool, offset, size);
}

void xlnet_skb_add_rx_frag(struct sk_buff *skb, struct page *page, unsigned int offset,
			   unsigned int size, unsigned int truesize)
{
	skb_add_rx_frag(skb, skb_shinfo(skb)->nr_frags, page, offset, size, truesize);
}

void xlnet_skb_mark_for_recycle(struct sk_buff *skb)
{
	skb_mark_for_recycle(skb);
}

void xlnet_init_delayed_work(struct delayed_work *work, work_func_t func)
{
	INIT_DELAYED_WORK(work, func);
}

void xlnet_work_trigger(struct delayed_work *work)
{
	mod_delayed_work(system_freezable_wq, work, 0);
}

void xlnet_work_trigger_in(struct delayed_work *work, unsigned int ms)
{
	queue_delayed_work(system_freezable_wq, work, msecs_to_jiffies(ms));
}

void xlnet_work_restart_in(struct delayed_work *work, unsigned int ms)
{
	mod_delayed_work(system_freezable_wq, work, msecs_to_jiffies(ms));
}

void xlnet_work_trigger_long(struct delayed_work *work)
{
	queue_delayed_work(system_dfl_wq, work, 0);
}

unsigned long xlnet_switches(void)
{
	return current->nvcsw + current->nivcsw;
}

const struct task_struct *xlnet_current(void)
{
	return current;
}

unsigned long xlnet_sleeps(void)
{
	return current->nvcsw;
}

unsigned long xlnet_jiffies(void)
{
	return jiffies;
}

void xlnet_cond_resched(void)
{
	cond_resched();
}

void xlnet_yield(void)
{
	yield();
}

unsigned int xlnet_online_cpus(void)
{
	return num_online_cpus();
}

bool xlnet_is_idle(void)
{
	return is_idle_task(current);
}

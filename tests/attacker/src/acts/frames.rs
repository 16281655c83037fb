// SPDX-License-Identifier: GPL-2.0
//! Frames that lie about who sends them or about their offloads, and words that are read once, written later. None of it
//! is a reason to close a channel.

use std::net::Ipv4Addr;

use anyhow::Result;
use xlnet_proto::{frame::Mac, layout::VirtioNetHdr};

use super::Act;
use crate::{
    attack::{Attack, Ending},
    frame::{arp_request, datagram, echo_request, echo_request_to_all, router_advertisement, Ends},
};

pub(super) const ACTS: &[Act] = &[
    Act::new("source-mac", |attack| {
        lie(attack, |ends| {
            ends.src_mac = Mac([2, 0, 0, 0, 0, 0x66]);
            echo_request(ends, 1, 56)
        })
    }),
    Act::new("source-ip", |attack| {
        lie(attack, |ends| {
            ends.src = Ipv4Addr::new(10, 77, 0, 1);
            echo_request(ends, 1, 56)
        })
    }),
    Act::new("source-unspecified", |attack| {
        lie(attack, |ends| {
            ends.src = Ipv4Addr::UNSPECIFIED;
            echo_request(ends, 1, 56)
        })
    }),
    Act::new("arp-sender", |attack| {
        lie(attack, |ends| {
            ends.src = Ipv4Addr::new(10, 77, 0, 1);
            arp_request(ends)
        })
    }),
    Act::new("source-ipv6", |attack| {
        lie(attack, |ends| {
            echo_request_to_all(ends, ends.dst_mac.link_local())
        })
    }),
    Act::new("router", |attack| {
        lie(attack, |ends| {
            router_advertisement(ends, ends.src_mac.link_local())
        })
    }),
    Act::new("to-a-bridge", |attack| {
        lie(attack, |ends| {
            ends.dst_mac = Mac([0x01, 0x80, 0xc2, 0, 0, 0]);
            echo_request(ends, 1, 56)
        })
    }),
    Act::new("offload-unknown", |attack| {
        offload(attack, |header| header.gso_type = 0x55)
    }),
    Act::new("offload-of-no-size", |attack| {
        offload(attack, |header| header.gso_type = GSO_TCPV4)
    }),
    Act::new("checksum-behind-the-frame", |attack| {
        offload(attack, |header| {
            header.flags = NEEDS_CSUM;
            header.csum_start = 60_000;
        })
    }),
    Act::new("header-rewritten", rewritten),
];

/// `VIRTIO_NET_HDR_F_NEEDS_CSUM` and `VIRTIO_NET_HDR_GSO_TCPV4`, from `include/uapi/linux/virtio_net.h`.
const NEEDS_CSUM: u8 = 1;
const GSO_TCPV4: u8 = 1;

/// How often each is sent: so many are to be counted.
const TIMES: u32 = 3;

/// Sends a frame that is made from changed addresses.
fn lie(attack: &mut Attack, frame: fn(&mut Ends) -> Vec<u8>) -> Result<Ending> {
    let mut channel = attack.proven()?;
    let frame = frame(&mut attack.ends()?);
    for _ in 0..TIMES {
        channel.send(&frame, VirtioNetHdr::default())?;
    }
    attack.after_nuisance(&mut channel)
}

/// Sends a frame with offloads that do not fit it.
fn offload(attack: &mut Attack, change: fn(&mut VirtioNetHdr)) -> Result<Ending> {
    let mut channel = attack.proven()?;
    let frame = datagram(&attack.ends()?, 9, 56);
    let mut header = VirtioNetHdr::default();
    change(&mut header);
    for _ in 0..TIMES {
        channel.send(&frame, header)?;
    }
    attack.after_nuisance(&mut channel)
}

/// Overwrites the control page's header and directory.
fn rewritten(attack: &mut Attack) -> Result<Ending> {
    let mut channel = attack.proven()?;
    for at in (0..0x040).chain(0x400..0x1000) {
        channel.scribble(at, 0xff);
    }
    channel.port.kick();
    attack.after_nuisance(&mut channel)
}

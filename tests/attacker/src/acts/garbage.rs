// SPDX-License-Identifier: GPL-2.0
//! Nodes for `xlnetd` to read: as many as xenstore lets a guest have, written without pause.

use anyhow::{ensure, Result};
use xlnet_proto::schema::Node;

use super::Act;
use crate::attack::{Attack, Ending};

pub(super) const ACTS: &[Act] = &[Act::new("garbage", garbage)];

/// More nodes than a guest may have (1000 by default, `quota` in xenstored's manual).
const NODES: u16 = 2000;

/// So many fit into one directory, whose names are part of its size.
const IN_ONE: u16 = 250;

/// The first domain that they pretend to be about.
const FIRST: u16 = 10_000;

/// Bytes of each.
const LENGTH: usize = 1000;

/// Makes requests to domains that are not there until xenstore takes no more, then changes them, and what the guest says
/// of itself, as fast as that goes.
fn garbage(attack: &mut Attack) -> Result<Ending> {
    let value = |number: u64| {
        let mut value = format!("want={number} ").into_bytes();
        value.resize(LENGTH, b'x');
        value
    };
    let mut nodes = 0;
    while nodes < NODES {
        if let Err(refusal) = attack.instance.write_at(&path(nodes), &value(0)) {
            println!("refusal={refusal:#}");
            break;
        }
        nodes += 1;
    }
    println!("nodes={nodes}");
    ensure!(nodes > 0, "xenstore takes none");
    let mut writes = 0_u64;
    attack.meanwhile(|attack| {
        let path = match writes % 4 {
            0 => Node::GuestAddr.to_string(),
            1 => Node::GuestPeer(attack.target.victim).to_string(),
            _ => path((writes % u64::from(nodes)) as u16),
        };
        // Those that are not there yet may be one too many.
        let _ = attack.instance.write_at(&path, &value(writes));
        writes += 1;
        Ok(true)
    })?;
    println!("writes={writes}");
    attack.instance.renew()?;
    let mut channel = attack.proven()?;
    attack.after_nuisance(&mut channel)
}

/// Where the `n`th of them is: the first are where requests to peers are.
fn path(n: u16) -> String {
    match n / IN_ONE {
        0 => Node::GuestPeer(FIRST + n).to_string(),
        more => format!("{}/{more}/{n}", Node::GuestDir),
    }
}

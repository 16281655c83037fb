// SPDX-License-Identifier: GPL-2.0
//! What a guest sees of xlnet: its peers, its counters, its routing.

use std::collections::BTreeSet;

use anyhow::{ensure, Context, Result};
use xlnet_lab::{agent::Agent, guest::Guest};

use crate::bed::eventually;

/// A line of the driver's peer list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    /// Its domain.
    pub(crate) domid: u32,
    /// Its address on the segment.
    pub(crate) mac: String,
    /// `idle`, `connecting`, `up`, `draining` or `fault`.
    pub(crate) state: String,
    /// Whether it is to be routed.
    pub(crate) routed: bool,
    /// Its IP addresses.
    pub(crate) addresses: Vec<String>,
}

/// The driver's peer list; empty where there is no device.
///
/// # Errors
/// If it is not as documented.
pub(crate) fn peers(guest: &Agent) -> Result<Vec<Peer>> {
    let list = guest.sh("cat /sys/class/net/xlnet0/xlnet/peers 2>/dev/null || true")?;
    list.lines()
        .filter(|line| line.starts_with("peer "))
        .map(|line| parse(line).with_context(|| format!("peer list: {line:?}")))
        .collect()
}

fn parse(line: &str) -> Option<Peer> {
    let field = |key: &str| {
        line.split(' ')
            .find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
    };
    Some(Peer {
        domid: field("domid")?.parse().ok()?,
        mac: field("mac")?.to_owned(),
        state: field("state")?.to_owned(),
        routed: field("route")? == "1",
        addresses: field("addr")?
            .split(',')
            .filter(|address| !address.is_empty())
            .map(str::to_owned)
            .collect(),
    })
}

/// The state of the channel with `domid`; none if that is no peer.
///
/// # Errors
/// As [`peers`].
pub(crate) fn state_of(guest: &Agent, domid: u32) -> Result<Option<String>> {
    let peer = peers(guest)?.into_iter().find(|peer| peer.domid == domid);
    Ok(peer.map(|peer| peer.state))
}

/// Waits until `a` and `b` have a channel, and has them make it.
///
/// # Errors
/// If they do not.
pub(crate) fn join(a: &Guest, b: &Guest) -> Result<()> {
    let ping = format!("ping -q -c 1 -W 2 {}", b.config.ip());
    await_channel(a, b, || a.sh(&ping).map(drop))
}

/// Waits until `a` and `b` have a channel; `before` is done before each look.
///
/// # Errors
/// If they do not.
pub(crate) fn await_channel(a: &Guest, b: &Guest, before: impl Fn() -> Result<()>) -> Result<()> {
    let (domid_a, domid_b) = (a.domid()?, b.domid()?);
    let what = format!("{} and {} are joined", a.name(), b.name());
    eventually(&what, || {
        before()?;
        let (from_a, from_b) = (state_of(a, domid_b)?, state_of(b, domid_a)?);
        ensure!(
            from_a.as_deref() == Some("up") && from_b.as_deref() == Some("up"),
            "{from_a:?}, {from_b:?}"
        );
        Ok(true)
    })
}

/// Waits until `guest` has exactly these peers, and routing to them.
///
/// # Errors
/// If it never has: then with the last difference.
pub(crate) fn await_peers(guest: &Guest, domids: &[u32]) -> Result<()> {
    let what = format!("{} has the peers {domids:?}, and routing", guest.name());
    eventually(&what, || {
        let seen = Seen::look(guest, false)?;
        let found: BTreeSet<u32> = seen.peers.iter().map(|peer| peer.domid).collect();
        ensure!(found == domids.iter().copied().collect(), "peers {found:?}");
        seen.agrees().map(|()| true)
    })
}

/// Waits until routes, neighbours and rules are those the peer list asks for, whatever that is.
///
/// # Errors
/// If they never are: then with the last difference.
pub(crate) fn await_routing(guest: &Guest) -> Result<()> {
    let what = format!("{}: routing equals the peer list", guest.name());
    eventually(&what, || Seen::look(guest, false)?.agrees().map(|()| true))
}

/// Waits until `xlnet-route status` says so too.
///
/// # Errors
/// If it never does.
pub(crate) fn await_status(guest: &Guest) -> Result<()> {
    let what = format!("{}: xlnet-route status is in sync", guest.name());
    eventually(&what, || Seen::look(guest, true)?.agrees().map(|()| true))
}

/// The list and what routing there is: of each item the words that matter.
#[derive(Debug, Default)]
struct Seen {
    /// All that was read.
    text: String,
    /// Exit status of `xlnet-route status`, where that was asked.
    status: Option<String>,
    mtu: u32,
    peers: Vec<Peer>,
    own: BTreeSet<u8>,
    routes: BTreeSet<(u8, String)>,
    rules: Vec<u8>,
    neighbours: BTreeSet<(u8, String, String)>,
}

impl Seen {
    /// Processes are dear in a small guest: one `ip` for each family tells all, and its lines are told apart by their form.
    fn look(guest: &Guest, ask_status: bool) -> Result<Self> {
        let status = if ask_status {
            "xlnet-route status; echo \"status $?\""
        } else {
            ""
        };
        Self::read(guest.sh(&format!(
            "udevadm settle; {status}
            device=; [ ! -e /sys/class/net/xlnet0 ] || device=xlnet0
            if [ $device ]; then
                read mtu < /sys/class/net/xlnet0/mtu; echo mtu $mtu
                while read line; do echo \"$line\"; done < /sys/class/net/xlnet0/xlnet/peers
            fi
            for own in 4,{} 6,{}; do
                family=${{own%,*}}; echo \"family $family\"
                ip -$family -N -o -force -batch - <<END
rule show pref 5000
route show table all proto 88
addr show to ${{own#*,}}
${{device:+neigh show dev xlnet0 nud permanent}}
END
            done",
            guest.config.ip(),
            guest.config.ip6()
        ))?)
    }

    fn read(text: String) -> Result<Self> {
        let mut seen = Self::default();
        let mut family = 0;
        for line in text.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                ["status", code] => seen.status = Some((*code).to_owned()),
                ["mtu", mtu] => seen.mtu = mtu.parse().context("mtu")?,
                ["family", number] => family = number.parse().context("family")?,
                ["peer", word, ..] if word.starts_with("domid=") => {
                    seen.peers.push(parse(line).context(line.to_owned())?);
                }
                _ if family == 0 => {}
                ["5000:", "from", ..] => seen.rules.push(family),
                [_, _, "inet" | "inet6", ..] => drop(seen.own.insert(family)),
                [ip, "lladdr", mac, ..] => {
                    seen.neighbours
                        .insert((family, (*ip).to_owned(), (*mac).to_owned()));
                }
                [to, "dev", "xlnet0", "table", "5000", ..] => {
                    seen.routes.insert((family, (*to).to_owned()));
                }
                [] => {}
                // Whatever else has the protocol's number is none that should be.
                _ => drop(seen.routes.insert((family, line.to_owned()))),
            }
        }
        seen.text = text;
        Ok(seen)
    }

    /// The addresses to be routed, each with its family and the peer's MAC. IPv6 leaves a device whose MTU is too small.
    fn wanted(&self) -> BTreeSet<(u8, String, String)> {
        self.peers
            .iter()
            .filter(|peer| peer.routed)
            .flat_map(|peer| {
                peer.addresses.iter().map(|address| {
                    let family = if address.contains(':') { 6 } else { 4 };
                    (family, address.clone(), peer.mac.clone())
                })
            })
            .filter(|(family, ..)| self.own.contains(family))
            .filter(|(family, ..)| *family == 4 || self.mtu >= 1280)
            .collect()
    }

    fn agrees(&self) -> Result<()> {
        let seen = &self.text;
        ensure!(
            self.status.as_deref().is_none_or(|code| code == "0"),
            "it exits with {:?}: {seen}",
            self.status
        );
        let wanted = self.wanted();
        let routes: BTreeSet<_> = wanted
            .iter()
            .map(|(family, address, _)| (*family, address.clone()))
            .collect();
        let families: BTreeSet<_> = wanted.iter().map(|(family, ..)| *family).collect();
        let families: Vec<_> = families.into_iter().collect();
        ensure!(self.routes == routes, "not the routes {routes:?}: {seen}");
        ensure!(
            self.neighbours == wanted,
            "not the neighbours {wanted:?}: {seen}"
        );
        ensure!(
            self.rules == families,
            "not the rules of {families:?}: {seen}"
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: &str = "peer domid=7 mac=02:00:00:00:00:07 uplink-mac=00:16:3e:77:00:07 state=up route=1 addr=10.77.0.107,fd77::107";

    #[test]
    fn a_route_too_few_is_seen() {
        let rest = "status 0\nmtu 1500\nfamily 4\n5000:\tfrom all lookup 5000 proto 88\n\
                    2: eth0    inet 10.77.0.101/24 scope global eth0\n\
                    10.77.0.107 lladdr 02:00:00:00:00:07 PERMANENT proto 88";
        let without = Seen::read(format!("{PEER}\n{rest}")).unwrap();
        assert!(without.agrees().is_err());
        let with = format!(
            "{PEER}\n{rest}\n10.77.0.107 dev xlnet0 table 5000 proto 88 scope link src 10.77.0.101"
        );
        Seen::read(with.clone()).unwrap().agrees().unwrap();
        let stale = format!("{with}\n10.77.0.108 dev xlnet0 table 5000 proto 88");
        assert!(Seen::read(stale).unwrap().agrees().is_err());
    }
}

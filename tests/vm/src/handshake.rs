// SPDX-License-Identifier: GPL-2.0
//! A guest is suspended when it, or its peer, has gone just so far towards a channel.

use anyhow::{anyhow, ensure, Result};
use xlnet_lab::guest::Guest;

use crate::{
    bed::eventually,
    helper,
    leaks::Holdings,
    policy::all_joined,
    view::{await_status, join, state_of},
    Bed, Scenario, Spec,
};

pub(crate) const SCENARIOS: &[Scenario] =
    &[Scenario::new("handshake::pv-suspended-meanwhile", Spec::pv(3), suspended).long()];

/// Where Dom0 puts a saved guest.
const FILE: &str = "/var/tmp/handshake.save";

/// Where both guests listen.
const PORT: u16 = 7620;

/// Who has asked for a channel, and has not got an answer as xlnetd stands still: the connector by a request, the listener by
/// an offer, or both at once.
const ASKING: [&[Side]; 3] = [
    &[Side::Listener],
    &[Side::Connector],
    &[Side::Listener, Side::Connector],
];

/// Who is suspended then: at once, if it is both.
const SUSPENDED: [&[Side]; 3] = ASKING;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Listener,
    Connector,
}

/// Two guests, the listener first.
struct Pair([Guest; 2]);

impl Pair {
    fn of(bed: &Bed) -> Result<Self> {
        let (a, b) = (bed.g(1)?, bed.g(2)?);
        Ok(Self(if a.domid()? < b.domid()? {
            [a, b]
        } else {
            [b, a]
        }))
    }

    fn get(&self, side: Side) -> (&Guest, &Guest) {
        let [listener, connector] = &self.0;
        match side {
            Side::Listener => (listener, connector),
            Side::Connector => (connector, listener),
        }
    }

    fn await_state(&self, side: Side, state: &str) -> Result<()> {
        let (own, other) = self.get(side);
        let domid = other.domid()?;
        eventually(&format!("the {side:?}'s channel is {state}"), || {
            let is = state_of(own, domid)?;
            ensure!(is.as_deref() == Some(state), "it is {is:?}");
            Ok(true)
        })
    }

    /// Closes the channel, and leaves both able to make another.
    fn part(&self) -> Result<()> {
        let [listener, _] = &self.0;
        listener.sh("ip link set xlnet0 down")?;
        for side in [Side::Listener, Side::Connector] {
            self.await_state(side, "idle")?;
        }
        listener.sh("ip link set xlnet0 up")?;
        self.0.iter().try_for_each(await_status)
    }

    /// Has these ask for a channel that they do not get, and the other not: it is sent what it does not answer.
    fn ask(&self, asking: &[Side]) -> Result<()> {
        for &side in asking {
            let (own, other) = self.get(side);
            let ip = other.config.ip();
            own.sh(&format!("echo x | socat -u - UDP-SENDTO:{ip}:{PORT}"))?;
        }
        for side in [Side::Listener, Side::Connector] {
            let state = if asking.contains(&side) {
                "connecting"
            } else {
                "idle"
            };
            self.await_state(side, state)?;
        }
        Ok(())
    }

    fn checkpoint(&self, sides: &[Side]) -> Result<()> {
        std::thread::scope(|scope| {
            let saves: Vec<_> = sides
                .iter()
                .map(|&side| {
                    let (own, _) = self.get(side);
                    scope.spawn(move || own.checkpoint(&format!("{FILE}.{side:?}")))
                })
                .collect();
            saves.into_iter().try_for_each(|save| {
                save.join()
                    .map_err(|_| anyhow!("a saving thread panicked"))?
            })
        })
    }
}

/// Whatever was under way, there is a channel afterwards, and nothing is left of the attempts before.
fn suspended(bed: &mut Bed) -> Result<()> {
    all_joined(bed)?;
    let pair = Pair::of(bed)?;
    let [listener, connector] = &pair.0;
    // Below the least MTU of IPv6 there is no multicast of its own, which would ask as well.
    let mtu = |mtu: u32| {
        pair.0.iter().try_for_each(|guest| {
            guest.sh(&format!("ip link set xlnet0 mtu {mtu}"))?;
            await_status(guest)
        })
    };
    mtu(1279)?;
    let sinks = pair
        .0
        .iter()
        .map(|guest| guest.spawn(&format!("exec socat -u UDP-RECV:{PORT} /dev/null")))
        .collect::<Result<Vec<_>>>()?;
    join(listener, connector)?;
    pair.part()?;
    let before = Holdings::read(bed)?;
    for asking in ASKING {
        for sleeping in SUSPENDED {
            helper::halted(bed, || {
                pair.ask(asking)?;
                pair.checkpoint(sleeping)
            })?;
            all_joined(bed)?;
            join(listener, connector)?;
            pair.part()?;
        }
    }
    bed.sh(&format!("rm {FILE}.*"))?;
    before.await_return(bed)?;
    drop(sinks);
    mtu(65535)?;
    all_joined(bed)
}

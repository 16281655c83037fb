// SPDX-License-Identifier: GPL-2.0
//! A guest is suspended when it, or its peer, has gone just so far towards a channel.

use anyhow::{anyhow, ensure, Result};

use crate::{
    figures::counter,
    helper,
    leaks::Holdings,
    pair::{Pair, Side},
    policy::all_joined,
    view::join,
    Bed, Scenario, Spec,
};

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("handshake::pv-suspended-meanwhile", Spec::pv(3), suspended).long(),
    Scenario::new(
        "handshake::pvh-suspended-meanwhile",
        Spec::pvh(2),
        suspended,
    )
    .long(),
];

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

/// Has these ask for a channel that they do not get, and the other not: it is sent what it does not answer.
fn ask(pair: &Pair, asking: &[Side]) -> Result<()> {
    for &side in asking {
        let (own, other) = pair.get(side);
        let ip = other.config.ip();
        own.sh(&format!("echo x | socat -u - UDP-SENDTO:{ip}:{PORT}"))?;
    }
    for side in [Side::Listener, Side::Connector] {
        let state = if asking.contains(&side) {
            "connecting"
        } else {
            "idle"
        };
        pair.await_state(side, state)?;
    }
    Ok(())
}

fn checkpoint(pair: &Pair, sides: &[Side]) -> Result<()> {
    std::thread::scope(|scope| {
        let saves: Vec<_> = sides
            .iter()
            .map(|&side| {
                let (own, _) = pair.get(side);
                scope.spawn(move || own.checkpoint(&format!("{FILE}.{side:?}")))
            })
            .collect();
        saves.into_iter().try_for_each(|save| {
            save.join()
                .map_err(|_| anyhow!("a saving thread panicked"))?
        })
    })
}

/// Who asks and then stands still as its peer answers, and what that takes the channel for: the listener has offered one that the
/// connector has mapped and uses, and the connector has asked for one that the listener has offered.
const HALF_WAY: [(Side, &str); 2] = [(Side::Listener, "up"), (Side::Connector, "connecting")];

/// Has one answer a peer that stands still by then, and be suspended.
fn half_way(bed: &Bed, pair: &Pair, paused: Side, state: &str) -> Result<()> {
    let sleeping = match paused {
        Side::Listener => Side::Connector,
        Side::Connector => Side::Listener,
    };
    let name = pair.get(paused).0.config.name();
    helper::halted(bed, || {
        ask(pair, &[paused])?;
        bed.sh(&format!("xl pause {name}"))
    })?;
    pair.await_state(sleeping, state)?;
    let (own, other) = pair.get(sleeping);
    let failed = || counter(own, other.domid()?, "setup_failed");
    let before = failed()?;
    checkpoint(pair, &[sleeping])?;
    ensure!(
        failed()? == before,
        "it gave up waiting before it was suspended"
    );
    bed.sh(&format!("xl unpause {name}"))?;
    meet(bed, pair)
}

/// One is saved, as both have asked, and becomes another domain of the same number.
fn reborn(bed: &Bed, pair: &Pair, sleeping: Side) -> Result<()> {
    let (own, _) = pair.get(sleeping);
    helper::halted(bed, || {
        pair.in_silence(|| {
            pair.part()?;
            ask(pair, &[Side::Listener, Side::Connector])?;
            own.be_reborn(FILE)?;
            bed.await_guest(own)
        })
    })?;
    bed.sh(&format!("rm {FILE}"))?;
    all_joined(bed)?;
    let [a, b] = &pair.0;
    join(a, b)
}

/// Both get to a channel, and part again.
fn meet(bed: &Bed, pair: &Pair) -> Result<()> {
    all_joined(bed)?;
    let [listener, connector] = &pair.0;
    join(listener, connector)?;
    pair.part()
}

/// Whatever was under way, there is a channel afterwards, and nothing is left of the attempts before.
fn suspended(bed: &mut Bed) -> Result<()> {
    all_joined(bed)?;
    let pair = Pair::of(bed)?;
    let sinks = pair
        .0
        .iter()
        .map(|guest| guest.spawn(&format!("exec socat -u UDP-RECV:{PORT} /dev/null")))
        .collect::<Result<Vec<_>>>()?;
    pair.in_silence(|| {
        let [listener, connector] = &pair.0;
        join(listener, connector)?;
        pair.part()?;
        let before = Holdings::read(bed)?;
        for asking in ASKING {
            for sleeping in SUSPENDED {
                helper::halted(bed, || {
                    ask(&pair, asking)?;
                    checkpoint(&pair, sleeping)
                })?;
                meet(bed, &pair)?;
            }
        }
        for sleeping in SUSPENDED {
            // The second time before anybody has been told of the first.
            helper::halted(bed, || {
                checkpoint(&pair, sleeping)?;
                checkpoint(&pair, sleeping)
            })?;
            meet(bed, &pair)?;
        }
        for (paused, state) in HALF_WAY {
            half_way(bed, &pair, paused, state)?;
        }
        bed.sh(&format!("rm {FILE}.*"))?;
        before.await_return(bed)
    })?;
    for side in [Side::Listener, Side::Connector] {
        reborn(bed, &pair, side)?;
    }
    drop(sinks);
    all_joined(bed)
}

// SPDX-License-Identifier: GPL-2.0
//! Connections from each guest to the next, as long as both are there.

use std::collections::{btree_map::Entry, BTreeMap};

use anyhow::Result;

use crate::{flow::Flow, meter, Bed};

/// Records a second of each flow: together they leave an emulated processor time for what is tested.
const RATE: u32 = 5;

/// Records that must arrive when a connection is asked whether it lives.
const SIGN: u64 = 3;

/// The first port; each guest receives on two.
const PORT: u16 = 8000;

/// The flows that there are, by the numbers of the guests they come from and go to.
#[derive(Default)]
pub(super) struct Traffic {
    flows: BTreeMap<(u8, u8), [Flow; 2]>,
    lost: u64,
    sent: u64,
}

impl Traffic {
    /// Forgets the flows of a guest that is destroyed.
    pub(super) fn strike(&mut self, number: u8) {
        self.flows
            .retain(|(from, to), _| *from != number && *to != number);
    }

    /// Has those of `running` that are neighbours talk, and fails unless all of them do. Returns which those are.
    ///
    /// # Errors
    /// If a connection does not go on, or does not come about.
    pub(super) fn lives(&mut self, bed: &Bed, running: &[u8]) -> Result<Vec<(u8, u8)>> {
        let mut pairs = Vec::new();
        for (from, to) in meter::round(bed) {
            if !running.contains(&from) || !running.contains(&to) {
                continue;
            }
            let flows = match self.flows.entry((from, to)) {
                Entry::Occupied(there) => there.into_mut(),
                Entry::Vacant(none) => none.insert(start(bed, from, to)?),
            };
            for flow in flows {
                flow.await_more(SIGN)?;
            }
            pairs.push((from, to));
        }
        Ok(pairs)
    }

    /// Ends all of them. A stream has lost nothing, no datagram was changed, and no more of them came twice than guests were
    /// paused: who is paused as it takes one, takes that which its peer has meanwhile sent by the uplink. Returns how many were
    /// sent by the flows that have lived until now, and how many of those were lost.
    ///
    /// # Errors
    /// If not so.
    pub(super) fn end(&mut self, pauses: u64) -> Result<(u64, u64)> {
        let mut doubled = 0;
        while let Some((_, flows)) = self.flows.pop_first() {
            for flow in flows {
                let over_tcp = flow.is_tcp();
                let report = flow.stop()?;
                if over_tcp {
                    report.is_lossless()?;
                } else {
                    // Nobody answers for a guest that is paused.
                    report.is_intact_but_for(pauses - doubled)?;
                    doubled += report.doubled;
                    self.sent += report.sent;
                    self.lost += report.lost();
                }
            }
        }
        Ok((self.sent, self.lost))
    }
}

/// Starts a stream and datagrams.
fn start(bed: &Bed, from: u8, to: u8) -> Result<[Flow; 2]> {
    let (guest, other) = (bed.g(from)?, bed.g(to)?);
    let port = PORT + 2 * u16::from(from);
    Ok([
        Flow::start_tcp(&guest, &other, port, RATE)?,
        Flow::start(&guest, &other, port + 1, RATE)?,
    ])
}

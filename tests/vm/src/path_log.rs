// SPDX-License-Identifier: GPL-2.0
//! When a guest had a channel and when not, as the lab's program in it has seen.

use anyhow::{bail, ensure, Context, Result};
use xlnet_lab::{agent::Background, guest::Guest};

/// The watch under way. It ends when this is dropped.
pub struct PathWatch(Background);

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// A channel stands.
    Up,
    /// None does.
    Down,
    /// The guest goes on after it was suspended.
    Resumed,
    /// Its uplink has a carrier again.
    Connected,
    /// It has a peer again.
    Listed,
    /// A frame came over a channel.
    Carried,
}

/// How a guest that went on came to have a channel: milliseconds of its time from there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Return {
    /// To its uplink's carrier, if it was seen without.
    pub connected: Option<u64>,
    /// To the first peer that its helper named, if it was seen without.
    pub listed: Option<u64>,
    /// To the channel, which each of [`PathLog::returns`] has.
    pub joined: Option<u64>,
    /// To the first frame that came over it.
    pub carried: Option<u64>,
}

/// What was seen.
#[derive(Debug)]
pub struct PathLog {
    /// Milliseconds since the guest's boot when the watch began.
    begun: u64,
    /// Each change, with the milliseconds of the guest's time since the watch began.
    changes: Vec<(What, u64)>,
    /// The same when it ended.
    ended: u64,
}

impl PathWatch {
    /// Starts it in `guest`, which may move meanwhile but has to be reached as it is now when the watch is stopped.
    ///
    /// # Errors
    /// If the agent cannot be reached.
    pub fn start(guest: &Guest) -> Result<Self> {
        guest.spawn("exec /lab/bin/xlnet-lab-path").map(Self)
    }

    /// Ends it.
    ///
    /// # Errors
    /// If the program has failed.
    pub fn stop(mut self) -> Result<PathLog> {
        self.0.signal(15)?;
        let output = self.0.wait()?;
        ensure!(output.success(), "xlnet-lab-path: {output}");
        PathLog::parse(&output.text()).with_context(|| format!("xlnet-lab-path: {output}"))
    }
}

impl PathLog {
    fn parse(text: &str) -> Result<Self> {
        let (mut begun, mut changes, mut ended) = (None, Vec::new(), None);
        for line in text.lines() {
            let (word, at) = line
                .split_once(' ')
                .with_context(|| format!("no time in {line:?}"))?;
            let at = at.parse().with_context(|| format!("time in {line:?}"))?;
            match word {
                "begun" => begun = Some(at),
                "up" => changes.push((What::Up, at)),
                "down" => changes.push((What::Down, at)),
                "resumed" => changes.push((What::Resumed, at)),
                "connected" => changes.push((What::Connected, at)),
                "listed" => changes.push((What::Listed, at)),
                "carried" => changes.push((What::Carried, at)),
                "ended" => ended = Some(at),
                _ => bail!("no such change: {line:?}"),
            }
        }
        Ok(Self {
            begun: begun.context("no begin")?,
            changes,
            ended: ended.context("no end")?,
        })
    }

    /// When a channel stood: begin and end of each time, in seconds since the guest's boot. The guest must not have been
    /// suspended meanwhile: the program's clock stands still then, and the time since boot does not.
    #[must_use]
    pub fn stood(&self) -> Vec<(f64, f64)> {
        let mut since = None;
        let mut stood = Vec::new();
        for &(what, at) in &self.changes {
            match what {
                What::Up => since = Some(at),
                What::Down => stood.extend(since.take().map(|from| (from, at))),
                What::Resumed | What::Connected | What::Listed | What::Carried => {}
            }
        }
        stood.extend(since.map(|from| (from, self.ended)));
        let seconds = |ms: u64| (self.begun + ms) as f64 / 1000.0;
        stood
            .into_iter()
            .map(|(from, to)| (seconds(from), seconds(to)))
            .collect()
    }

    /// Each time that a channel came after the guest went on.
    #[must_use]
    pub fn returns(&self) -> Vec<Return> {
        let mut returns = self.goings_on();
        returns.retain(|back| back.joined.is_some());
        returns
    }

    /// Each time that the guest went on.
    #[must_use]
    pub fn goings_on(&self) -> Vec<Return> {
        let mut returns: Vec<(u64, Return)> = Vec::new();
        for &(what, at) in &self.changes {
            if what == What::Resumed {
                returns.push((at, Return::default()));
            }
            let Some((from, back)) = returns.last_mut() else {
                continue;
            };
            let took = match what {
                What::Connected => &mut back.connected,
                What::Listed => &mut back.listed,
                What::Up => &mut back.joined,
                What::Carried => &mut back.carried,
                What::Resumed | What::Down => continue,
            };
            took.get_or_insert(at - *from);
        }
        returns.into_iter().map(|(_, back)| back).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_tells_how_long_a_channel_took() {
        let text = "begun 5\nup 0\ndown 500\nresumed 510\nconnected 600\nlisted 650\nresumed 900\nup 1000\ndown 1500\n\
            up 2000\nresumed 2100\nconnected 2150\nlisted 2220\nup 2300\ncarried 2320\nconnected 2400\ncarried 2430\nended 2450\n";
        let log = PathLog::parse(text).unwrap();
        let late = Return {
            joined: Some(100),
            ..Return::default()
        };
        let whole = Return {
            connected: Some(50),
            listed: Some(120),
            joined: Some(200),
            carried: Some(220),
        };
        assert_eq!(log.returns(), [late, whole]);
    }

    #[test]
    fn a_log_tells_when_a_channel_stood() {
        let text = "begun 60000\ndown 0\nup 500\ndown 1000\nup 1250\nended 2000\n";
        let log = PathLog::parse(text).unwrap();
        assert_eq!(log.stood(), [(60.5, 61.0), (61.25, 62.0)]);
        let never = PathLog::parse("begun 60000\ndown 0\nended 2000\n").unwrap();
        assert!(never.stood().is_empty());
    }

    #[test]
    fn what_is_no_log_is_refused() {
        for text in [
            "",
            "up 0\nended 1\n",
            "begun 5\nup 0\n",
            "begun 5\nsideways 3\nended 4\n",
            "begun 5\nup\nended 4\n",
        ] {
            assert!(PathLog::parse(text).is_err(), "{text:?}");
        }
    }
}

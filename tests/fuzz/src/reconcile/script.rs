// SPDX-License-Identifier: GPL-3.0-only

//! What happens on a host, read from the fuzzer's input.

use std::fmt::{self, Debug, Formatter};

use libfuzzer_sys::arbitrary::Unstructured;

use super::rules::{Rules, RULES};
use super::toolstack::{Domid, Vif};
use super::words;

/// The input. Where it has ended, every choice is the first.
pub struct Choices<'a>(Unstructured<'a>);

impl Choices<'_> {
    /// A number below `end`.
    pub fn below(&mut self, end: u8) -> u8 {
        self.0.int_in_range(0..=end - 1).unwrap_or_default()
    }

    /// Any byte.
    pub fn byte(&mut self) -> u8 {
        self.0.int_in_range(0..=u8::MAX).unwrap_or_default()
    }

    /// Any 16 bits.
    pub fn word(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    /// One of a few.
    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        let count = of.len().try_into().expect("a few only");
        of[usize::from(self.below(count))]
    }
}

/// A value that a guest writes.
pub struct Words(pub Vec<u8>);

impl Debug for Words {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

/// What toolstack and guests do.
#[derive(Debug)]
pub enum Change {
    /// A domain is made. Its UUID is new, or that of another which moves.
    Create {
        domid: Domid,
        name: &'static str,
        moves: Option<Domid>,
        xapi: bool,
        vif: Option<Vif>,
    },
    /// A domain ends.
    Destroy(Domid),
    /// A domain gets a device, instead of one of that number if there is one.
    Plug(Domid, u32, Vif),
    /// A domain loses a device.
    Unplug(Domid, u32),
    /// A domain gets another name.
    Rename(Domid, &'static str),
    /// A guest writes a node below its `data/xlnet/0`.
    Say(Domid, String, Words),
    /// A guest removes such a node and all below it; without a path, all it has written.
    Unsay(Domid, String),
    /// Somebody else with Dom0's rights, as an older helper, writes what this one writes.
    Meddle(Domid, &'static str, &'static str),
}

/// What happens between two requests of the helper.
#[derive(Debug)]
pub enum Meanwhile {
    /// Something on the host.
    Change(Change),
    /// The store goes away.
    Break,
}

/// One step.
#[derive(Debug)]
pub enum Step {
    /// Something happens while the helper waits.
    Change(Change),
    /// The helper acts, with so many of the last events still to come. After the given number of
    /// its requests something happens.
    Act(usize, Option<(u8, Meanwhile)>),
    /// The helper ends, and starts once more.
    Restart(Option<(u8, Meanwhile)>),
    /// The helper acts until there is nothing left to do.
    Rest,
    /// A guest comes and goes so many times, and the helper follows.
    Flap(Domid, u8),
}

/// Names of domains, with what toolstacks append while they move.
pub const NAMES: [&str; 6] = ["a", "b", "c", "d", "a--incoming", "b--migratedaway"];

/// Names of bridges; the last cannot be a group's.
const BRIDGES: [Option<&str>; 4] = [
    Some("br0"),
    Some("br1"),
    None,
    Some("a-bridge-with-a-name-too-long-for-a-group"),
];

/// What somebody else writes below a guest's `xlnet/0`.
const MEDDLING: [(&str, &str); 5] = [
    ("self", "version=1"),
    ("peer/1", "an older version's words"),
    ("peer/2", "epoch=0000000000000000 mac=02:00:00:00:00:01"),
    ("peer/77", ""),
    ("peer/x", "no domid"),
];

/// A script.
pub struct Script<'a>(Choices<'a>);

impl<'a> Script<'a> {
    /// Reads the input from its beginning.
    pub fn new(input: &'a [u8]) -> Self {
        Self(Choices(Unstructured::new(input)))
    }

    /// The configuration.
    pub fn rules(&mut self) -> &'static Rules {
        &RULES[usize::from(self.0.below(RULES.len() as u8))]
    }

    /// How many guests are there at first, all of which behave.
    pub fn guests(&mut self) -> u8 {
        self.0.below(5)
    }

    /// A domain's number.
    pub fn domid(&mut self) -> Domid {
        Domid::from(self.0.below(6)) + 1
    }

    /// The next step, or `None` at the end.
    pub fn step(&mut self) -> Option<Step> {
        if self.0 .0.is_empty() {
            return None;
        }
        Some(match self.0.below(24) {
            choice @ 0..=16 => Step::Change(self.change(choice)),
            17 => Step::Act(0, None),
            18 | 19 => Step::Act(self.0.below(4).into(), self.meanwhile()),
            20 => Step::Restart(self.meanwhile()),
            21 | 22 => Step::Rest,
            _ => Step::Flap(self.domid(), self.0.below(80)),
        })
    }

    fn meanwhile(&mut self) -> Option<(u8, Meanwhile)> {
        let after = self.0.below(64);
        Some(match self.0.below(24) {
            choice @ 0..=16 => (after, Meanwhile::Change(self.change(choice))),
            17 | 18 => (after, Meanwhile::Break),
            _ => return None,
        })
    }

    fn change(&mut self, choice: u8) -> Change {
        let domid = self.domid();
        match choice {
            0 | 1 => {
                let name = self.0.pick(&NAMES);
                let moves = Some(self.domid()).filter(|_| choice == 1);
                let kind = self.0.below(8);
                Change::Create {
                    domid,
                    name,
                    moves,
                    xapi: kind > 5,
                    vif: (kind % 4 != 3).then(|| Vif::plain(domid)),
                }
            }
            2 => Change::Destroy(domid),
            3 | 4 => Change::Plug(domid, self.0.below(3).into(), self.vif(domid)),
            5 => Change::Unplug(domid, self.0.below(3).into()),
            6 => Change::Rename(domid, self.0.pick(&NAMES)),
            7 => {
                let (node, value) = self.0.pick(&MEDDLING);
                Change::Meddle(domid, node, value)
            }
            8 => {
                let node = match self.0.below(4) {
                    0 => String::new(),
                    _ => words::node(&mut self.0),
                };
                Change::Unsay(domid, node)
            }
            _ => {
                let node = words::node(&mut self.0);
                let value = words::value(domid, &node, &mut self.0);
                Change::Say(domid, node, Words(value))
            }
        }
    }

    fn vif(&mut self, domid: Domid) -> Vif {
        let mac = match self.0.below(10) {
            0..=4 => Vif::plain(domid).mac,
            5 => Vif::plain(domid).mac.map(|mac| mac.to_uppercase()),
            6 => Vif::plain(1).mac,
            7 => Some("01:00:5e:00:00:01".into()),
            8 => Some("00-16-3e".into()),
            _ => None,
        };
        let backend = match self.0.below(8) {
            7 => 7,
            _ => 0,
        };
        let bridge = self.0.pick(&BRIDGES);
        let ip = words::addresses(self.0.word());
        let ip = match self.0.below(4) {
            2 => ip.replace(' ', ","),
            3 => ip.replace(' ', "/24 "),
            _ => ip,
        };
        Vif {
            mac,
            segment: (backend, bridge),
            ip,
        }
    }
}

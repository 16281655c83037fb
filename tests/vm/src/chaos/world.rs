// SPDX-License-Identifier: GPL-2.0
//! What the guests of a chaos run are like, what may happen to them next, and what must hold then. A seed decides all of
//! it, and no clock: the same seed makes the same acts in the same order.

use fastrand::Rng;

/// So many guests run at least.
const LEAST: usize = 3;

/// So many are paused at most.
const PAUSED: usize = 2;

/// So many acts come at once at most.
const BURST: usize = 3;

/// Something that is done to a guest, by its number, or to Dom0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// Its domain is destroyed.
    Destroy(u8),
    /// It is created again.
    Create(u8),
    /// Its vCPUs stand still.
    Pause(u8),
    /// They go on.
    Unpause(u8),
    /// Its module is unloaded.
    Unload(u8),
    /// Its module is loaded.
    Load(u8),
    /// It is suspended, and goes on: elsewhere on the host if it can be migrated.
    Relocate(u8),
    /// Its nodes in xenstore are overwritten, in one of several ways.
    Garbage(u8, usize),
    /// Its uplink gets another address, or loses that.
    Readdress(u8),
    /// xlnetd is killed.
    KillHelper,
    /// xlnetd is started.
    StartHelper,
}

#[derive(Clone, Copy, Debug)]
struct Member {
    alive: bool,
    paused: bool,
    loaded: bool,
    /// What it has said of itself was overwritten, and it does not know.
    spoilt: bool,
    /// It has the further address.
    readdressed: bool,
}

impl Member {
    const NEW: Self = Self {
        alive: true,
        paused: false,
        loaded: true,
        spoilt: false,
        readdressed: false,
    };

    fn runs(&self) -> bool {
        self.alive && !self.paused
    }

    fn is_peer(&self) -> bool {
        self.alive && self.loaded && !self.spoilt
    }
}

/// The guests and the daemon as they should be, and the source of what happens.
pub(super) struct World {
    rng: Rng,
    members: Vec<Member>,
    helper: bool,
    pauses: u64,
    /// In how many ways nodes are overwritten.
    garbage: usize,
}

impl World {
    /// One in which all is well.
    pub(super) fn new(seed: u64, guests: u8, garbage: usize) -> Self {
        Self {
            rng: Rng::with_seed(seed),
            members: vec![Member::NEW; guests.into()],
            helper: true,
            pauses: 0,
            garbage,
        }
    }

    /// What happens next: first what stands still goes on, as connections do not outlast everything, and then a few acts at
    /// once.
    pub(super) fn burst(&mut self) -> Vec<Act> {
        let mut acts = self.resume();
        for _ in 0..self.rng.usize(1..=BURST) {
            let possible = self.possible();
            if let Some(&act) = possible.get(self.rng.usize(..possible.len().max(1))) {
                self.note(act);
                acts.push(act);
            }
        }
        acts
    }

    /// What makes all well again.
    pub(super) fn mend(&mut self) -> Vec<Act> {
        let mut acts = self.resume();
        for (number, member) in (1..).zip(self.members.clone()) {
            if !member.alive {
                acts.push(Act::Create(number));
                continue;
            }
            if member.loaded && member.spoilt {
                acts.push(Act::Unload(number));
            }
            if !member.loaded || member.spoilt {
                acts.push(Act::Load(number));
            }
            if member.readdressed {
                acts.push(Act::Readdress(number));
            }
        }
        for &act in &acts {
            self.note(act);
        }
        acts
    }

    fn resume(&mut self) -> Vec<Act> {
        let paused = self.numbers(|member| member.alive && member.paused);
        let mut acts: Vec<_> = paused.into_iter().map(Act::Unpause).collect();
        if !self.helper {
            acts.push(Act::StartHelper);
        }
        for &act in &acts {
            self.note(act);
        }
        acts
    }

    /// The guests that execute.
    pub(super) fn running(&self) -> Vec<u8> {
        self.numbers(Member::runs)
    }

    /// Whether the daemon runs.
    pub(super) fn helper_runs(&self) -> bool {
        self.helper
    }

    /// Those that execute and have the module.
    pub(super) fn loaded(&self) -> Vec<u8> {
        self.numbers(|member| member.runs() && member.loaded)
    }

    /// Those of them that the daemon serves, and whether each has the further address. Who is not served does not know which
    /// addresses are its own.
    pub(super) fn claims(&self) -> Vec<(u8, bool)> {
        let all = (1..).zip(&self.members);
        all.filter(|(_, member)| self.helper && member.runs() && member.is_peer())
            .map(|(number, member)| (number, member.readdressed))
            .collect()
    }

    /// Whether nobody holds on to what is no more: who is paused does not let go, and without the daemon others are not told.
    pub(super) fn all_can_let_go(&self) -> bool {
        self.helper && self.numbers(|member| member.paused).is_empty()
    }

    /// How often somebody was paused.
    pub(super) fn pauses(&self) -> u64 {
        self.pauses
    }

    /// Whom a guest should have for peers; nobody knows while no daemon runs.
    pub(super) fn peers_of(&self, number: u8) -> Option<Vec<u8>> {
        if !self.helper {
            return None;
        }
        let peers = self.numbers(Member::is_peer);
        if !peers.contains(&number) {
            return Some(Vec::new());
        }
        Some(peers.into_iter().filter(|peer| *peer != number).collect())
    }

    fn numbers(&self, holds: impl Fn(&Member) -> bool) -> Vec<u8> {
        let all = (1..).zip(&self.members);
        all.filter(|(_, member)| holds(member))
            .map(|(number, _)| number)
            .collect()
    }

    fn possible(&mut self) -> Vec<Act> {
        let garbage = self.rng.usize(..self.garbage);
        let alive = self.numbers(|member| member.alive).len();
        let paused = self.numbers(|member| member.paused).len();
        let mut acts = Vec::new();
        for (number, member) in (1..).zip(&self.members) {
            if !member.alive {
                acts.push(Act::Create(number));
                continue;
            }
            if alive > LEAST {
                acts.push(Act::Destroy(number));
            }
            if member.is_peer() {
                acts.push(Act::Garbage(number, garbage));
            }
            if member.paused {
                continue;
            }
            if paused < PAUSED {
                acts.push(Act::Pause(number));
            }
            acts.push(match member.loaded {
                true => Act::Unload(number),
                false => Act::Load(number),
            });
            acts.extend([Act::Relocate(number), Act::Readdress(number)]);
        }
        if self.helper {
            acts.push(Act::KillHelper);
        }
        acts
    }

    fn note(&mut self, act: Act) {
        self.pauses += u64::from(matches!(act, Act::Pause(_)));
        let (number, change): (u8, fn(&mut Member)) = match act {
            Act::KillHelper => return self.helper = false,
            Act::StartHelper => return self.helper = true,
            Act::Destroy(number) => (number, |member| {
                member.alive = false;
                member.paused = false;
            }),
            Act::Create(number) => (number, |member| *member = Member::NEW),
            Act::Pause(number) => (number, |member| member.paused = true),
            Act::Unpause(number) => (number, |member| member.paused = false),
            Act::Unload(number) => (number, |member| {
                member.loaded = false;
                member.spoilt = false;
            }),
            Act::Load(number) => (number, |member| member.loaded = true),
            // Who begins anew writes its nodes anew.
            Act::Relocate(number) => (number, |member| member.spoilt = false),
            Act::Garbage(number, _) => (number, |member| member.spoilt = true),
            Act::Readdress(number) => (number, |member| member.readdressed ^= true),
        };
        if let Some(member) = self.members.get_mut(usize::from(number).wrapping_sub(1)) {
            change(member);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acts(seed: u64) -> Vec<Act> {
        let mut world = World::new(seed, 6, 3);
        (0..200).flat_map(|_| world.burst()).collect()
    }

    #[test]
    fn a_seed_says_what_happens() {
        assert_eq!(acts(7), acts(7));
        assert_ne!(acts(7), acts(8));
    }

    #[test]
    fn some_guests_always_run() {
        let mut world = World::new(1, 6, 3);
        for _ in 0..500 {
            world.burst();
            assert!(world.running().len() + PAUSED >= LEAST);
            assert!(!world.running().is_empty());
        }
    }

    #[test]
    fn all_is_well_when_it_was_mended() {
        for seed in 0..50 {
            let mut world = World::new(seed, 6, 3);
            for _ in 0..20 {
                world.burst();
            }
            world.mend();
            assert_eq!(world.running(), [1, 2, 3, 4, 5, 6]);
            assert_eq!(world.peers_of(2), Some(vec![1, 3, 4, 5, 6]));
            assert!(world.mend().is_empty());
        }
    }

    #[test]
    fn who_has_said_nonsense_is_nobodys_peer() {
        let mut world = World::new(1, 3, 1);
        world.note(Act::Garbage(1, 0));
        assert_eq!(world.peers_of(1), Some(vec![]));
        assert_eq!(world.peers_of(2), Some(vec![3]));
        world.note(Act::Relocate(1));
        assert_eq!(world.peers_of(2), Some(vec![1, 3]));
        world.note(Act::KillHelper);
        assert_eq!(world.peers_of(2), None);
    }
}

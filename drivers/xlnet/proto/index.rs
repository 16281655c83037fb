// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Free-running byte counts and the checks on those a peer publishes.

use super::fault::PeerFault;
use super::layout::RECORD_ALIGN;

/// A free-running count of bytes, modulo 2^32.
///
/// Two counts of one ring are never further apart than the ring is large, so their wrapping
/// difference is their true distance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count(pub u32);

impl Count {
    /// Returns the count `bytes` further on.
    #[must_use]
    pub const fn advanced(self, bytes: u32) -> Count {
        Count(self.0.wrapping_add(bytes))
    }

    /// Returns how many bytes `self` is ahead of `earlier`.
    pub const fn since(self, earlier: Count) -> u32 {
        self.0.wrapping_sub(earlier.0)
    }

    /// Returns whether a move of a count from `from` to `to` reached or passed the event index
    /// `event`, that is, whether `event` lies in `(from, to]`.
    pub const fn crossed(event: Count, from: Count, to: Count) -> bool {
        to.since(event) < to.since(from)
    }

    /// Checks `raw`, which the peer published in the place of `last`.
    ///
    /// Accepts it if it lies in `[last, limit]` and is aligned. `last` must itself lie at or before
    /// `limit`, by less than 2^31 bytes.
    ///
    /// # Errors
    ///
    /// [`PeerFault::Misaligned`], [`PeerFault::IndexBackwards`] or [`PeerFault::IndexJump`].
    pub const fn accept(raw: u32, last: Count, limit: Count) -> Result<Count, PeerFault> {
        let new = Count(raw);
        if raw % RECORD_ALIGN != 0 {
            Err(PeerFault::Misaligned)
        } else if new.since(last) <= limit.since(last) {
            Ok(new)
        } else if new.since(last) > u32::MAX / 2 {
            Err(PeerFault::IndexBackwards)
        } else {
            Err(PeerFault::IndexJump)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_crossed_only_within_the_move() {
        for base in [0, 32, 0x7fff_ffe0, 0xffff_ffc0, 0xffff_ffe0] {
            let at = |offset: u32| Count(base).advanced(offset);
            assert!(
                !Count::crossed(at(0), at(0), at(64)),
                "the start is excluded"
            );
            assert!(Count::crossed(at(1), at(0), at(64)));
            assert!(Count::crossed(at(64), at(0), at(64)), "the end is included");
            assert!(!Count::crossed(at(65), at(0), at(64)));
            assert!(
                !Count::crossed(at(0), at(0), at(0)),
                "no move crosses nothing"
            );
        }
    }

    /// Every move within a ring of eight records' length, from every count around 0 and 2^31, against
    /// arithmetic that does not wrap.
    #[test]
    fn every_small_move_is_as_unbounded_numbers_have_it() {
        const SIZE: u64 = 8 * RECORD_ALIGN as u64;
        let wrapped = |number: u64| Count(number as u32);
        for middle in [1 << 32, 3 << 31] {
            for last in (middle - SIZE..=middle + SIZE).step_by(RECORD_ALIGN as usize) {
                for limit in (last..=last + SIZE).step_by(RECORD_ALIGN as usize) {
                    for raw in last - 2 * SIZE..=last + 2 * SIZE {
                        let verdict = match raw {
                            _ if raw % u64::from(RECORD_ALIGN) != 0 => Err(PeerFault::Misaligned),
                            _ if raw < last => Err(PeerFault::IndexBackwards),
                            _ if raw > limit => Err(PeerFault::IndexJump),
                            _ => Ok(wrapped(raw)),
                        };
                        let accepted = Count::accept(raw as u32, wrapped(last), wrapped(limit));
                        assert_eq!(accepted, verdict, "{raw} in {last}..={limit}");
                        assert_eq!(
                            Count::crossed(wrapped(raw), wrapped(last), wrapped(limit)),
                            last < raw && raw <= limit,
                            "{raw} in ({last}, {limit}]"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn only_counts_between_last_and_limit_are_accepted() {
        for base in [0, 0x7fff_ffe0, 0xffff_ff80, 0xffff_ffe0] {
            let at = |offset: u32| Count(base).advanced(offset);
            let accept = |raw: Count| Count::accept(raw.0, at(0), at(128));
            assert_eq!(accept(at(0)), Ok(at(0)));
            assert_eq!(accept(at(128)), Ok(at(128)));
            assert_eq!(accept(at(160)), Err(PeerFault::IndexJump));
            assert_eq!(
                accept(at(0u32.wrapping_sub(32))),
                Err(PeerFault::IndexBackwards)
            );
            assert_eq!(accept(at(33)), Err(PeerFault::Misaligned));
        }
    }
}

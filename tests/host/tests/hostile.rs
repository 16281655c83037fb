// SPDX-License-Identifier: GPL-2.0

//! A hostile peer, at random; `tests/fuzz` looks for one with the help of coverage.

use proptest::collection::vec;
use proptest::prelude::*;
use xlnet_host_tests::hostile::{consume, produce};
use xlnet_host_tests::memory::Channel;
use xlnet_proto::fault::PeerFault;
use xlnet_proto::layout::{RecordHeader, VirtioNetHdr};
use xlnet_proto::mem::{SharedMem, Word};
use xlnet_proto::sync::StoreOrder::Relaxed;

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_consumer_survives_any_producer(input in vec(any::<u8>(), 0..512)) {
        consume(&input);
    }

    #[test]
    fn a_producer_survives_any_consumer(input in vec(any::<u8>(), 0..512)) {
        produce(&input);
    }
}

const SIZE: u32 = 4096;
/// A frame whose record takes 128 bytes.
const HEADER: RecordHeader = RecordHeader {
    len: 96,
    unhurried: true,
    virtio: VirtioNetHdr {
        flags: 0,
        gso_type: 0,
        hdr_len: 0,
        gso_size: 0,
        csum_start: 0,
        csum_offset: 0,
    },
};

#[test]
fn a_consumer_names_impossible_counts() {
    use PeerFault::{IndexBackwards, IndexJump, Misaligned, Truncated};
    for (prod, fault) in [
        (128 + 32, Truncated),
        (128 + 31, Misaligned),
        (64, IndexBackwards),
        (0u32.wrapping_sub(32), IndexBackwards),
        // The first record is released, but its space has not been given back yet.
        (SIZE + 32, IndexJump),
        (SIZE + 128, IndexJump),
        (1 << 31, IndexJump),
    ] {
        let channel = Channel::new(SIZE);
        let (mut producer, mut consumer) = channel.ends(0);
        for _ in 0..2 {
            producer
                .push(&HEADER, |_, _| Ok::<(), ()>(()))
                .expect("space");
        }
        let peer = channel.ring(0);
        peer.store(Word::Prod, 128, Relaxed);
        let record = consumer.next().expect("possible").expect("a record");
        consumer.release(record);
        peer.store(Word::Prod, prod, Relaxed);
        assert_eq!(consumer.next().err(), Some(fault), "{prod}");
        if fault != Truncated {
            assert_eq!(consumer.arm(), Err(fault), "{prod}");
        }
    }
}

#[test]
fn a_producer_names_impossible_counts() {
    use PeerFault::{IndexBackwards, IndexJump, Misaligned};
    for (cons, fault) in [
        (128 + 1, Misaligned),
        (96, IndexBackwards),
        (256 + 32, IndexJump),
        (1 << 31, IndexJump),
    ] {
        let channel = Channel::new(SIZE);
        let (mut producer, _) = channel.ends(0);
        for _ in 0..2 {
            producer
                .push(&HEADER, |_, _| Ok::<(), ()>(()))
                .expect("space");
        }
        let peer = channel.ring(0);
        peer.store(Word::Cons, 128, Relaxed);
        assert_eq!(producer.pending(), Ok(128));
        peer.store(Word::Cons, cons, Relaxed);
        assert_eq!(producer.pending(), Err(fault), "{cons}");
        assert_eq!(producer.free(), Err(fault), "{cons}");
        assert_eq!(producer.arm_space(SIZE), Err(fault), "{cons}");
        assert_eq!(
            producer.consumed(),
            128,
            "an impossible count is not remembered"
        );
    }
}

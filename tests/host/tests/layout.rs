// SPDX-License-Identifier: GPL-2.0

//! What is where in the shared memory, and which contents are refused.

use proptest::prelude::*;
use xlnet_host_tests::memory::Channel;
use xlnet_proto::fault::PeerFault;
use xlnet_proto::frame::{MAX_FRAME_LEN, MIN_FRAME_LEN};
use xlnet_proto::layout::{
    record_size, ChannelState, Header, RecordHeader, Role, VirtioNetHdr, MAX_GREFS,
};
use xlnet_proto::mem::SharedMem;

const HEADER: Header = Header {
    magic: u32::from_le_bytes(*b"XLN1"),
    version: 1,
    ring_shift: 18,
    features: 5,
    channel: 7,
    listener_epoch: 0x0123_4567_89ab_cdef,
    connector_epoch: 0xfedc_ba98_7654_3210,
};

/// Checks `header` against an offer that says what [`HEADER`] does.
fn judge(header: Header) -> Result<u32, PeerFault> {
    let Header {
        channel,
        listener_epoch,
        connector_epoch,
        features,
        ..
    } = HEADER;
    header.validate(channel, listener_epoch, connector_epoch, features)
}

#[test]
fn each_field_of_the_header_is_checked() {
    use PeerFault::{BadFeatures, BadMagic, BadRingSize, BadVersion, WrongChannel};
    assert_eq!(judge(HEADER), Ok(1 << 18));
    assert_eq!(
        judge(Header {
            features: 0,
            ..HEADER
        }),
        Ok(1 << 18)
    );
    for ring_shift in 17..=20 {
        assert_eq!(
            judge(Header {
                ring_shift,
                ..HEADER
            }),
            Ok(1 << ring_shift)
        );
    }
    for (header, fault) in [
        (Header { magic: 0, ..HEADER }, BadMagic),
        (
            Header {
                version: 2,
                ..HEADER
            },
            BadVersion,
        ),
        (
            Header {
                ring_shift: 16,
                ..HEADER
            },
            BadRingSize,
        ),
        (
            Header {
                ring_shift: 21,
                ..HEADER
            },
            BadRingSize,
        ),
        (
            Header {
                ring_shift: u16::MAX,
                ..HEADER
            },
            BadRingSize,
        ),
        (
            Header {
                channel: 8,
                ..HEADER
            },
            WrongChannel,
        ),
        (
            Header {
                listener_epoch: 1,
                ..HEADER
            },
            WrongChannel,
        ),
        (
            Header {
                connector_epoch: 1,
                ..HEADER
            },
            WrongChannel,
        ),
        (
            Header {
                features: 7,
                ..HEADER
            },
            BadFeatures,
        ),
    ] {
        assert_eq!(judge(header), Err(fault), "{header:?}");
    }
}

#[test]
fn each_field_of_a_record_is_checked() {
    use PeerFault::{BadBuffers, BadFlags, BadLength};
    let header = RecordHeader {
        len: 1514,
        unhurried: false,
        virtio: VirtioNetHdr {
            flags: 1,
            gso_type: 2,
            hdr_len: 0x0403,
            gso_size: 0x0605,
            csum_start: 0x0807,
            csum_offset: 0x0a09,
        },
    };
    let bytes = header.to_bytes();
    assert_eq!(bytes[..8], [0xea, 0x05, 0, 0, 0, 0, 0, 0]);
    assert_eq!(bytes[8..18], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    assert_eq!(bytes[18..], [0; 14]);
    assert_eq!(RecordHeader::from_bytes(&bytes), Ok(header));

    let with = |at: usize, value: u8| {
        let mut bytes = bytes;
        bytes[at] = value;
        RecordHeader::from_bytes(&bytes)
    };
    let unhurried = RecordHeader {
        unhurried: true,
        ..header
    };
    assert_eq!(unhurried.to_bytes()[4..6], [1, 0]);
    assert_eq!(with(4, 1), Ok(unhurried));
    for bit in 1..8 {
        assert_eq!(with(4, 1 << bit), Err(BadFlags));
    }
    for bit in 0..8 {
        assert_eq!(with(5, 1 << bit), Err(BadFlags));
    }
    for at in 6..8 {
        assert_eq!(with(at, 1), Err(BadBuffers));
    }
    for at in 18..32 {
        assert_eq!(with(at, 0xff), Ok(header), "byte {at} is ignored");
    }
    for (len, valid) in [
        (0, false),
        (MIN_FRAME_LEN - 1, false),
        (MIN_FRAME_LEN, true),
        (MAX_FRAME_LEN, true),
        (MAX_FRAME_LEN + 1, false),
        (u32::MAX, false),
    ] {
        let header = RecordHeader { len, ..header };
        let expected = if valid { Ok(header) } else { Err(BadLength) };
        assert_eq!(RecordHeader::from_bytes(&header.to_bytes()), expected);
    }
}

#[test]
fn records_are_padded() {
    for (len, size) in [(14, 64), (32, 64), (33, 96), (65_554, 65_600)] {
        assert_eq!(record_size(len), size, "{len}");
    }
    assert!(record_size(u32::MAX) > 1 << 31, "no overflow");
}

#[test]
fn every_fault_has_a_place_and_a_name_of_its_own() {
    for (i, fault) in PeerFault::ALL.into_iter().enumerate() {
        assert_eq!(fault.index(), i);
        let namesakes = PeerFault::ALL
            .iter()
            .filter(|other| other.name() == fault.name());
        assert_eq!(namesakes.count(), 1, "{fault}");
    }
}

#[test]
fn state_words_are_checked() {
    for raw in 0..5 {
        assert_eq!(
            ChannelState::from_raw(raw).map(|state| state as u32),
            Ok(raw)
        );
    }
    for raw in [5, 0x100, u32::MAX] {
        assert_eq!(ChannelState::from_raw(raw), Err(PeerFault::BadState));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_header_is_its_words(words in any::<[u32; 8]>()) {
        prop_assert_eq!(Header::from_words(words).to_words(), words);
    }
}

#[test]
fn the_control_page_carries_header_states_and_directory() {
    let channel = Channel::new(4096);
    channel.with_control(|page| {
        use ChannelState::{Closing, Ready, SettingUp};
        page.init(&HEADER);
        assert_eq!(page.read_header(), HEADER);
        assert_eq!(page.peer_state(Role::Listener), Ok(SettingUp));
        page.set_state(Role::Connector, Ready);
        page.set_state(Role::Listener, Closing);
        assert_eq!(page.peer_state(Role::Listener), Ok(Ready));
        assert_eq!(page.peer_state(Role::Connector), Ok(Closing));
        for i in 0..MAX_GREFS {
            page.set_gref(i, i as u32 + 8);
        }
        page.set_gref(MAX_GREFS, 1);
        assert!((0..MAX_GREFS).all(|i| page.gref(i) == i as u32 + 8));
        assert_eq!(page.gref(MAX_GREFS), 0);
        assert_eq!(
            page.read_header(),
            HEADER,
            "the directory is beside the header"
        );
    });
    // The words of the rings are beside all that, too.
    for ring in 0..2 {
        use xlnet_proto::mem::Word::{Cons, ConsEvent, Prod, ProdEvent};
        use xlnet_proto::sync::LoadOrder::Relaxed;
        let mem = channel.ring(ring);
        for word in [Prod, ConsEvent, Cons, ProdEvent] {
            assert_eq!(mem.load(word, Relaxed), 0, "{word:?} of ring {ring}");
        }
    }
}

// SPDX-License-Identifier: GPL-2.0

//! The little of the network stack that the files under test use.

pub(crate) mod device;
pub(crate) mod napi;
pub(crate) mod rcu;
pub(crate) mod skb;

pub(crate) mod ops {
    pub(crate) const TX_QUEUES: u16 = 33;
    pub(crate) const UPLINK_QUEUE: u16 = 0;
}

/// Work, and who does it.
pub(crate) mod work {
    use loom::sync::Notify;

    use crate::ffi::c_ulong;

    /// Wakes the control task.
    pub(crate) struct Work(Notify);

    impl Work {
        pub(crate) fn new() -> Self {
            Self(Notify::new())
        }

        pub(crate) fn trigger(&self) {
            self.0.notify();
        }

        /// Waits for that, as the control task.
        pub(crate) fn wait(&self) {
            self.0.wait();
        }
    }

    /// A thread that has not slept: nobody knows of one here.
    #[derive(Clone, Copy, PartialEq)]
    pub(crate) struct Stretch;

    impl Stretch {
        pub(crate) const fn none() -> Self {
            Self
        }

        pub(crate) fn now() -> Self {
            Self
        }

        pub(crate) fn is_same_thread(&self, _other: &Self) -> bool {
            true
        }
    }

    pub(crate) fn ticks() -> c_ulong {
        0
    }

    pub(crate) fn was_idle() -> bool {
        false
    }
}

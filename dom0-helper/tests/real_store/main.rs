// SPDX-License-Identifier: GPL-3.0-only

//! The real xlnetd against the real xenstored and oxenstored, with the tests in the parts of
//! toolstack and guests.
//!
//! Nothing here measures time. Where a test waits, it waits for a state that must come; where
//! something must *not* happen, it first waits for a later effect of the same writer.

mod addresses;
mod commands;
mod daemon;
mod groups;
mod helper;
mod host;
mod hostile;
mod lifecycle;
mod relay;
mod wire;

/// Runs each test once with either daemon.
macro_rules! with_both_stores {
    ($($(#[$attribute:meta])* fn $name:ident($host:ident) $body:block)*) => {
        $(
            mod $name {
                #[allow(unused_imports, reason = "not every module has anything but tests")]
                use super::*;
                #[allow(unused_mut, unused_variables, reason = "not every test needs all of the host")]
                fn run(mut $host: crate::host::Host) $body
                #[test]
                $(#[$attribute])*
                fn xenstored() {
                    run(crate::host::Host::new(crate::daemon::Kind::Xenstored));
                }
                #[test]
                $(#[$attribute])*
                fn oxenstored() {
                    run(crate::host::Host::new(crate::daemon::Kind::Oxenstored));
                }
            }
        )*
    };
}
pub(crate) use with_both_stores;

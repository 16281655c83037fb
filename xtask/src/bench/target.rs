// SPDX-License-Identifier: GPL-2.0
//! What xlnet0 is to reach, as multiples of another path in the same boot. `docs/performance.md` says what it does.

use xlnet_lab::netperf::Test;

use super::setting::Setting;

/// The least that is good enough.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Target {
    /// Multiple of the uplink.
    pub uplink: f64,
    /// Multiple of the guest's loopback.
    pub loopback: f64,
}

/// Of `test` in `setting`. The tail of a ping has the target of its median.
pub fn of(setting: Setting, test: Test) -> Target {
    // What must never be: slower than without xlnet.
    let mut target = Target {
        uplink: 1.0,
        loopback: 0.0,
    };
    let pvh = match setting {
        Setting::Pv => false,
        Setting::Pvh => true,
        Setting::Pairs => {
            target.uplink = 2.5;
            return target;
        }
        Setting::Pv2 | Setting::Pvh2 | Setting::Count => return target,
    };
    let of = |pv, pvh_too| if pvh { pvh_too } else { pv };
    target.uplink = match test {
        Test::TcpStream { size: 65536 } => of(3.0, 3.5),
        Test::TcpStream { size: 4096 | 16384 } => of(1.25, 1.5),
        Test::TcpStream { .. } => of(1.1, 1.0),
        Test::UdpStream { size: 16384 } => of(6.0, 4.5),
        Test::UdpStream { size: 60000 } => of(14.0, 16.0),
        Test::TcpRr { size: ..=1024 } | Test::UdpRr { size: ..=1024 } => {
            target.loopback = of(1.0, 0.9);
            of(2.5, 5.0)
        }
        Test::Ping => of(5.0, 7.0),
        _ => 1.0,
    };
    target
}

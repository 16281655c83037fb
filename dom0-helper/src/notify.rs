// SPDX-License-Identifier: GPL-3.0-only

//! What systemd is told. Without systemd each of these does nothing.

use sd_notify::NotifyState;

fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "systemd was not told");
    }
}

/// The guests have been told what they are to know.
pub fn ready() {
    send(&[NotifyState::Ready]);
}

/// The daemon is about to end.
pub fn stopping() {
    send(&[NotifyState::Stopping]);
}

/// The daemon and the store answer.
pub fn alive() {
    send(&[NotifyState::Watchdog]);
}

/// The line that `systemctl status` shows.
pub fn status(guests: usize, taking_part: usize, pairs: usize, warnings: usize) {
    let text =
        format!("{guests} guests, {taking_part} take part, {pairs} pairs, {warnings} warnings");
    send(&[NotifyState::Status(&text)]);
}

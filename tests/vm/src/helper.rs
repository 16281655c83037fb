// SPDX-License-Identifier: GPL-2.0
//! Dom0's `xlnetd`, stopped, replaced and given configurations.

use anyhow::{ensure, Result};
use xlnet_lab::{agent::Agent, guest::Guest};

use crate::{bed::eventually, Bed};

const CONFIG: &str = "/etc/xlnet/xlnetd.toml";

/// The running daemon's process.
///
/// # Errors
/// If none runs.
pub(crate) fn pid(dom0: &Agent) -> Result<String> {
    let text = dom0.sh("pid=$(cat /run/xlnetd.lock) && kill -0 $pid && echo $pid")?;
    Ok(text.trim().to_owned())
}

/// Has the daemon stand still while `work` is done, so that nothing is relayed.
///
/// # Errors
/// If none runs, or `work` fails.
pub(crate) fn halted<T>(dom0: &Agent, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let pid = pid(dom0)?;
    dom0.sh(&format!("kill -STOP {pid}"))?;
    let done = work();
    dom0.sh(&format!("kill -CONT {pid}"))?;
    done
}

/// Ends the daemon by this signal and waits until it is gone.
///
/// # Errors
/// If none runs, or it stays.
pub(crate) fn kill(dom0: &Agent, signal: &str) -> Result<()> {
    let pid = pid(dom0)?;
    dom0.sh(&format!("kill -{signal} {pid}"))?;
    eventually("xlnetd has ended", || {
        let status = format!("grep -q '^State:.[^Z]' /proc/{pid}/status");
        Ok(!dom0.try_sh(&status)?.success())
    })
}

/// Replaces the daemon by one with this configuration; with none if it is empty.
///
/// # Errors
/// If it does not stop or start, or the configuration is wrong.
pub(crate) fn restart_with(bed: &Bed, config: &str) -> Result<()> {
    kill(bed, "TERM")?;
    bed.sh("mkdir -p /etc/xlnet")?;
    bed.put(CONFIG, config.as_bytes())?;
    if config.is_empty() {
        bed.sh(&format!("rm {CONFIG}"))?;
    }
    bed.start_helper()
}

/// What the driver of a guest says of itself.
///
/// # Errors
/// If it says nothing.
pub(crate) fn said_by(dom0: &Agent, guest: &Guest) -> Result<String> {
    let domid = guest.domid()?;
    dom0.sh(&format!(
        "xenstore-read /local/domain/{domid}/data/xlnet/0/self"
    ))
}

/// All nodes by which the guests and the daemon talk, with the values they have, in order.
///
/// # Errors
/// If xenstore does not answer.
pub(crate) fn nodes(dom0: &Agent) -> Result<String> {
    let text = nodes_if_any(dom0)?;
    ensure!(
        text.contains("/xlnet/0/self = "),
        "no guest is served: {text:?}"
    );
    Ok(text)
}

/// The same, where there may be no guest.
///
/// # Errors
/// If xenstore does not answer.
pub(crate) fn nodes_if_any(dom0: &Agent) -> Result<String> {
    dom0.sh("for id in $(xenstore-list /local/domain); do
            for path in /local/domain/$id/xlnet /local/domain/$id/data/xlnet; do
                xenstore-ls -f $path 2>/dev/null
            done
        done | sort")
}

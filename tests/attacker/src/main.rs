// SPDX-License-Identifier: GPL-2.0
//! A guest that speaks xlnet's protocol and then breaks it.
//!
//! It runs in the place of the driver, which must not be loaded. Usage: `xlnet-attacker VICTIM_DOMID OWN_IP VICTIM_IP ACT
//! [SECONDS]`. It makes a channel with the victim, proves that the victim answers through it, tries the act, and prints
//! `ended=closed`, `ended=open` or `ended=refused`: what the victim did. `begun` is printed before something that lasts.
//! Exit status: 0 if it was tried, 1 if not, 2 if it was called wrongly.

mod acts;
mod attack;
mod channel;
mod evtchn;
mod frame;
mod grant;
mod instance;
mod store;

use std::{env, process::ExitCode, time::Duration};

use anyhow::{Context, Result};

use crate::{
    acts::Act,
    attack::{Attack, Target},
};

/// How long something lasts unless told otherwise.
const SECONDS: &str = "10";

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let parsed = match args.as_slice() {
        [victim, own, other, act] => parse(victim, own, other, act, SECONDS),
        [victim, own, other, act, seconds] => parse(victim, own, other, act, seconds),
        _ => Err(anyhow::anyhow!("wants four or five arguments")),
    };
    let (target, act) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => {
            let acts: Vec<_> = acts::all().map(|act| act.name).collect();
            eprintln!(
                "xlnet-attacker: {error:#}\nusage: xlnet-attacker VICTIM_DOMID OWN_IP VICTIM_IP ACT [SECONDS]\nacts: {}",
                acts.join(" ")
            );
            return ExitCode::from(2);
        }
    };
    match attack(target, act) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xlnet-attacker: {}: {error:#}", act.name);
            ExitCode::FAILURE
        }
    }
}

fn parse(
    victim: &str,
    own: &str,
    other: &str,
    act: &str,
    seconds: &str,
) -> Result<(Target, &'static Act)> {
    let target = Target {
        victim: victim.parse().context("VICTIM_DOMID")?,
        own_ip: own.parse().context("OWN_IP")?,
        victim_ip: other.parse().context("VICTIM_IP")?,
        lasting: Duration::from_secs(seconds.parse().context("SECONDS")?),
    };
    let act = acts::all().find(|known| known.name == act);
    Ok((target, act.context("no such act")?))
}

fn attack(target: Target, act: &Act) -> Result<()> {
    let mut attack = Attack::begin(target)?;
    println!("begun");
    let ending = (act.run)(&mut attack)?;
    println!("ended={ending}");
    Ok(())
}

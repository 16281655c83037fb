// SPDX-License-Identifier: GPL-3.0-only

//! `xlnetd check`: whether this Dom0 is able, what is missing, and what to do.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::addresses::Addresses;
use crate::cli::Output;
use crate::config::{Config, DefaultPolicy};
use crate::dom0;
use crate::error::Error;
use crate::inventory::Guest;
use crate::model::Model;
use crate::status;
use crate::store::xs::Xs;

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    /// xlnet works, but not for all.
    Warning,
    /// xlnet does not work.
    Failed,
}

/// One thing that was looked at.
#[derive(Serialize)]
struct Finding {
    check: &'static str,
    verdict: Verdict,
    found: String,
    /// What to do, if anything.
    advice: Option<String>,
}

#[derive(Default, Serialize)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(
        &mut self,
        check: &'static str,
        verdict: Verdict,
        found: impl Into<String>,
        advice: Option<&str>,
    ) {
        let (found, advice) = (found.into(), advice.map(str::to_owned));
        self.0.push(Finding {
            check,
            verdict,
            found,
            advice,
        });
    }
}

async fn reach() -> Result<Xs, Error> {
    let store = Xs::connect().await?;
    dom0::require(&store).await?;
    Ok(store)
}

/// Checks everything that can be checked and prints it; true if nothing keeps xlnet from working.
///
/// # Errors
/// If standard output cannot be written. What is wrong with the host is a finding, not an error.
pub async fn check(
    config: Result<Config, Error>,
    holder: Option<String>,
    output: &Output,
) -> Result<bool, Error> {
    use Verdict::{Failed, Ok as Good, Warning};
    let mut findings = Findings::default();
    let config = match config {
        Ok(config) => {
            let found = format!(
                "{} groups, {} guests described",
                config.groups.len(),
                config.guests.len()
            );
            findings.add("configuration", Good, found, None);
            Some(config)
        }
        Err(error) => {
            findings.add(
                "configuration",
                Failed,
                error.to_string(),
                Some("correct the file named here"),
            );
            None
        }
    };
    let root = nix::unistd::geteuid().is_root();
    if root {
        findings.add("user", Good, "root", None);
    } else {
        findings.add(
            "user",
            Warning,
            "not root",
            Some("run as root: xenstore is usually for root only"),
        );
    }
    match reach().await {
        Ok(store) => {
            findings.add("xenstore", Good, "reached, as Dom0", None);
            if let Some(config) = config {
                match Model::scan(config, &store).await {
                    Ok(model) => host(&model, &mut findings),
                    Err(error) => findings.add("guests", Failed, error.to_string(), None),
                }
            }
        }
        Err(error) => {
            let advice =
                "start xenstored (systemctl start xenstored, or xen), and run this in Dom0";
            findings.add("xenstore", Failed, error.to_string(), Some(advice));
        }
    }
    match holder {
        Some(pid) => findings.add("daemon", Good, format!("runs as pid {pid}"), None),
        // Only root may read the lock file.
        None if !root => findings.add("daemon", Warning, "unknown", Some("run as root")),
        None => findings.add(
            "daemon",
            Warning,
            "does not run yet",
            Some("systemctl enable --now xlnetd"),
        ),
    }

    let able = findings.0.iter().all(|finding| finding.verdict != Failed);
    if output.json {
        status::print_json(&findings)?;
    } else {
        let rows = findings.0.iter().map(|finding| {
            let verdict = match finding.verdict {
                Good => "ok",
                Warning => "warning",
                Failed => "FAILED",
            };
            let advice = finding
                .advice
                .as_ref()
                .map(|advice| format!("; {advice}"))
                .unwrap_or_default();
            [
                finding.check.to_owned(),
                verdict.to_owned(),
                finding.found.clone() + &advice,
            ]
        });
        status::print_table(["CHECK", "RESULT", "FOUND"], rows)?;
    }
    Ok(able)
}

/// What there is to say about bridges and guests.
fn host(model: &Model, findings: &mut Findings) {
    use Verdict::{Failed, Ok as Good, Warning};
    let named: BTreeSet<_> = model
        .config
        .groups
        .iter()
        .filter_map(|group| group.bridge.as_deref())
        .collect();
    let of = |is_ours: bool| -> BTreeSet<_> {
        let vifs = model.guests.values().flat_map(|guest| &guest.vifs);
        vifs.filter(|vif| (vif.segment.backend == 0) == is_ours)
            .filter_map(|vif| vif.segment.bridge.as_deref())
            .collect()
    };
    let (used, elsewhere) = (of(true), of(false));
    for bridge in named.union(&used) {
        if dom0::has_bridge(bridge) {
            findings.add("bridge", Good, *bridge, None);
        } else if elsewhere.contains(bridge) {
            let found = format!("{bridge}, of a driver domain");
            findings.add("bridge", Good, found, None);
        } else if named.contains(bridge) && !used.contains(bridge) {
            let found = format!("{bridge}, named in the configuration, does not exist");
            findings.add(
                "bridge",
                Failed,
                found,
                Some("create it, or correct the group's bridge"),
            );
        } else {
            let found = format!("{bridge}, used by a guest, is no device of Dom0");
            findings.add("bridge", Warning, found, None);
        }
    }
    if model.config.default == DefaultPolicy::Deny && model.config.groups.is_empty() {
        let found = "default = \"deny\" and no group: no guest may talk to any";
        findings.add("configuration", Warning, found, Some("add a [[group]]"));
    }
    if model.guests.is_empty() {
        findings.add("guests", Warning, "there are none", None);
    }
    let plan = model.plan();
    let describe = |guest: &Guest| format!("{} (domain {})", guest.name, guest.domid);
    for (domid, guest) in &model.guests {
        let driver = status::driver(model.reports.get(domid));
        let addresses = plan.addresses.get(domid);
        let known = addresses.is_some_and(|addresses| !addresses.prefixes.is_empty());
        let unusable = addresses.is_some_and(Addresses::are_unusable);
        let (verdict, state, advice) = match (model.places.get(domid), driver) {
            (None, _) if guest.vifs.is_empty() => {
                (Warning, "has no network device", "give it a vif")
            }
            (None, _) => (
                Warning,
                "is in no group",
                "add it to a [[group]] if it should talk",
            ),
            (Some(_), "none") => (Warning, "has no driver", "load xlnet.ko in it"),
            (Some(_), "invalid") => (
                Warning,
                "has a driver that speaks garbage",
                "update xlnet.ko in it",
            ),
            (Some(_), "ready") if unusable => (
                Warning,
                "takes no part, as none of its addresses can be used",
                "see what is said of them below",
            ),
            (Some(_), "ready") if !known => (
                Warning,
                "takes part, but no address of it is known",
                "give its vif an ip=, or see learn",
            ),
            (Some(_), state) => (Good, state, ""),
        };
        let advice = Some(advice).filter(|advice| !advice.is_empty());
        findings.add(
            "guest",
            verdict,
            format!("{} {state}", describe(guest)),
            advice,
        );
    }
    for warning in &plan.warnings {
        findings.add("addresses", Warning, warning.text.clone(), None);
    }
}

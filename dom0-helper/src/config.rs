// SPDX-License-Identifier: GPL-3.0-only

//! The configuration file: who may talk to whom, and which addresses belong to whom.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::Path;
use std::str::FromStr;

use serde::Deserialize;
use xlnet_proto::frame::Prefix;
use xlnet_proto::schema::{Group as GroupName, MAX_ADDRS};

use crate::addresses::unusable;
use crate::cli::DEFAULT_CONFIG;
use crate::error::Error;

/// The whole file. Every part has a default, so that an empty file is a valid one.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What holds for guests that are in no group.
    pub default: DefaultPolicy,
    /// Whether groups that do not say otherwise use the addresses guests claim for themselves.
    pub learn: bool,
    /// Pairs that never talk, whatever the groups say.
    pub deny: Vec<Pair>,
    /// Named groups; a guest is in the first that it fits.
    #[serde(rename = "group")]
    pub groups: Vec<Group>,
    /// What is known about single guests.
    #[serde(rename = "guest")]
    pub guests: Vec<GuestConfig>,
}

/// What holds for guests that are in no named group.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DefaultPolicy {
    /// The guests on one bridge are one group.
    #[default]
    Bridge,
    /// They are in no group.
    Deny,
}

/// Two guests, in any order.
pub type Pair = (Selector, Selector);

/// A named group.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Its name, as guests see it.
    #[serde(deserialize_with = "group_name")]
    pub name: GroupName,
    /// Which guests are in it; all on the bridge if only that is given.
    #[serde(default)]
    pub members: Vec<Selector>,
    /// Only guests with a vif on this bridge, which is then their uplink.
    pub bridge: Option<String>,
    /// Whether claimed addresses are used; the file's `learn` if absent.
    pub learn: Option<bool>,
    /// If given, only these pairs of members talk.
    pub allow: Option<Vec<Pair>>,
}

/// What is known about one guest.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuestConfig {
    /// Which guest: the domain's name, to the letter.
    pub name: Option<String>,
    /// Which guest: its UUID, which stays the same when it is renamed.
    pub uuid: Option<String>,
    /// Its addresses; they replace those of the toolstack.
    #[serde(default)]
    pub addresses: Vec<IpAddr>,
    /// Networks that are reached through it, in addition to its addresses.
    #[serde(default, deserialize_with = "prefixes")]
    pub prefixes: Vec<Prefix>,
}

impl GuestConfig {
    /// Whether it is about the domain of this name and UUID.
    pub fn is_about(&self, name: &str, uuid: &str) -> bool {
        self.name.as_deref() == Some(name)
            || self
                .uuid
                .as_deref()
                .is_some_and(|wanted| wanted.eq_ignore_ascii_case(uuid))
    }
}

/// Picks guests: a UUID, or a pattern for the domain's name.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
pub enum Selector {
    /// The domain with this UUID, in lower case.
    Uuid(String),
    /// The domains whose name matches.
    Name(glob::Pattern),
}

impl TryFrom<String> for Selector {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if is_uuid(&text) {
            return Ok(Self::Uuid(text.to_ascii_lowercase()));
        }
        if text.is_empty() {
            return Err("a guest is named by its domain name, a pattern for it, or its UUID, not by nothing".into());
        }
        match glob::Pattern::new(&text) {
            Ok(pattern) => Ok(Self::Name(pattern)),
            Err(error) => Err(format!("'{text}' is not a valid pattern: {error}")),
        }
    }
}

impl Selector {
    /// Whether it picks the domain of this name and UUID.
    pub fn matches(&self, name: &str, uuid: &str) -> bool {
        match self {
            Self::Uuid(wanted) => uuid.eq_ignore_ascii_case(wanted),
            Self::Name(pattern) => pattern.matches(name),
        }
    }
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

fn group_name<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<GroupName, D::Error> {
    let name = String::deserialize(deserializer)?;
    name.parse()
        .map_err(|error| serde::de::Error::custom(format!("'{name}' cannot name a group: {error}")))
}

fn prefixes<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<Prefix>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    let parse = |text: String| {
        text.parse()
            .map_err(|error| serde::de::Error::custom(format!("'{text}': {error}")))
    };
    texts.into_iter().map(parse).collect()
}

impl Config {
    /// Reads the file that `--config` names; without it the usual one, or the defaults if there is
    /// none.
    ///
    /// # Errors
    /// [`Error::ConfigRead`] and [`Error::ConfigWrong`], which name the file and, for what the
    /// parser finds, the line.
    pub fn load(path: Option<&Path>) -> Result<Self, Error> {
        let (path, required) = match path {
            Some(path) => (path, true),
            None => (Path::new(DEFAULT_CONFIG), false),
        };
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound && !required => {
                return Ok(Self::default())
            }
            Err(source) => {
                return Err(Error::ConfigRead {
                    path: path.to_owned(),
                    source,
                })
            }
        };
        Self::from_str(&text).map_err(|reason| Error::ConfigWrong {
            path: path.to_owned(),
            reason,
        })
    }

    /// What the types alone cannot express.
    fn validate(&self) -> Result<(), String> {
        let mut names = BTreeMap::new();
        for (at, group) in self.groups.iter().enumerate() {
            let name = group.name.as_str();
            if let Some(first) = names.insert(name, at) {
                return Err(format!(
                    "group {} and group {} are both called '{name}'",
                    first + 1,
                    at + 1
                ));
            }
            if group.members.is_empty() && group.bridge.is_none() {
                return Err(format!(
                    "group '{name}' has no members: give members, a bridge, or both"
                ));
            }
        }
        let mut owners = BTreeMap::new();
        for (at, guest) in self.guests.iter().enumerate() {
            let number = at + 1;
            match (&guest.name, &guest.uuid) {
                (Some(_), None) => {}
                (None, Some(uuid)) if is_uuid(uuid) => {}
                (None, Some(uuid)) => {
                    return Err(format!("guest {number}: '{uuid}' is not a UUID"))
                }
                _ => {
                    return Err(format!(
                        "guest {number} needs a name or a uuid, and not both"
                    ))
                }
            }
            if guest.addresses.is_empty() && guest.prefixes.is_empty() {
                return Err(format!("guest {number} has neither addresses nor prefixes"));
            }
            if guest.addresses.len() + guest.prefixes.len() > MAX_ADDRS {
                return Err(format!(
                    "guest {number} has more than {MAX_ADDRS} addresses and prefixes"
                ));
            }
            for network in guest
                .prefixes
                .iter()
                .filter(|network| network.prefix_len() != 0)
            {
                if let Some(reason) = unusable(network.addr()) {
                    return Err(format!("guest {number}: {network} is {reason}"));
                }
            }
            for address in &guest.addresses {
                if let Some(reason) = unusable(*address) {
                    return Err(format!("guest {number}: {address} is {reason}"));
                }
                if let Some(first) = owners.insert(*address, number) {
                    return Err(format!(
                        "{address} belongs to guest {first} and to guest {number}"
                    ));
                }
            }
        }
        Ok(())
    }
}

impl FromStr for Config {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let config: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        config.validate()?;
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        text.parse::<Config>().expect_err(text)
    }

    #[test]
    fn an_empty_file_means_the_defaults() {
        let config: Config = "".parse().unwrap();
        assert_eq!(config.default, DefaultPolicy::Bridge);
        assert!(!config.learn && config.groups.is_empty() && config.guests.is_empty());
    }

    #[test]
    fn the_example_is_valid_as_it_is_and_with_everything_in_it() {
        let example = include_str!("../xlnetd.toml");
        example.parse::<Config>().unwrap();
        let is_setting = |line: &str| line.starts_with("[[") || line.contains(" = ");
        let all: String = example
            .lines()
            .map(|line| {
                line.strip_prefix("# ")
                    .filter(|line| is_setting(line))
                    .unwrap_or(line)
            })
            .fold(String::new(), |all, line| all + line + "\n");
        let config: Config = all.parse().unwrap();
        assert_eq!(
            (config.deny.len(), config.groups.len(), config.guests.len()),
            (1, 1, 1)
        );
        assert_eq!(config.groups[0].allow.as_ref().unwrap().len(), 1);
        assert_eq!(config.guests[0].prefixes[0].to_string(), "10.20.0.0/16");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, reason) in [
            ("default = 'allow'", "unknown variant `allow`"),
            ("defualt = 'deny'", "unknown field `defualt`"),
            ("[[group]]\nmembers = ['a']", "missing field `name`"),
            ("[[group]]\nname = 'a'\nmembers = ['x']\nallowed = []", "unknown field `allowed`"),
            ("[[group]]\nname = 'a b'\nmembers = ['x']", "'a b' cannot name a group"),
            ("[[group]]\nname = 'a'", "group 'a' has no members"),
            ("[[group]]\nname = 'a'\nmembers = ['[']", "'[' is not a valid pattern"),
            ("[[group]]\nname = 'a'\nmembers = ['']", "not by nothing"),
            (
                "[[group]]\nname = 'a'\nmembers = ['x']\n[[group]]\nname = 'a'\nmembers = ['y']",
                "group 1 and group 2 are both called 'a'",
            ),
            ("deny = [['a']]", "invalid length 1"),
            ("[[guest]]\naddresses = ['10.0.0.1']", "needs a name or a uuid"),
            ("[[guest]]\nname = 'a'\nuuid = 'b'\naddresses = []", "needs a name or a uuid"),
            ("[[guest]]\nuuid = 'b'\naddresses = ['10.0.0.1']", "'b' is not a UUID"),
            ("[[guest]]\nname = 'a'", "neither addresses nor prefixes"),
            ("[[guest]]\nname = 'a'\naddresses = ['10.0.0']", "invalid IP address"),
            ("[[guest]]\nname = 'a'\naddresses = ['224.0.0.1']", "a multicast address"),
            ("[[guest]]\nname = 'a'\nprefixes = ['10.0.0.0/33']", "'10.0.0.0/33'"),
            ("[[guest]]\nname = 'a'\nprefixes = ['ff00::/8']", "a multicast address"),
            (
                "[[guest]]\nname = 'a'\naddresses = ['10.0.0.1']\n[[guest]]\nname = 'b'\naddresses = ['10.0.0.1']",
                "10.0.0.1 belongs to guest 1 and to guest 2",
            ),
        ] {
            let refused = refused(text);
            assert!(refused.contains(reason), "{text}: {refused}");
        }
        let many: Vec<_> = (0..=MAX_ADDRS).map(|n| format!("'10.0.0.{n}'")).collect();
        let text = format!("[[guest]]\nname = 'a'\naddresses = [{}]", many.join(","));
        assert!(refused(&text).contains("more than 16"));
    }

    #[test]
    fn selectors_pick_by_uuid_in_any_case_and_by_pattern() {
        let selector = |text: &str| Selector::try_from(text.to_owned()).unwrap();
        let uuid = "5AD2B6A0-0000-4000-8000-00000000000a";
        assert!(selector(uuid).matches("x", &uuid.to_lowercase()));
        assert!(!selector(uuid).matches(uuid, "y"));
        assert!(selector("web-[0-9]").matches("web-7", ""));
        assert!(!selector("web-?").matches("web-10", ""));
    }
}

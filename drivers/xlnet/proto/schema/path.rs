// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The paths of the nodes.

use core::fmt;

use super::fields::decimal;

/// First domid that is no domain's (`DOMID_FIRST_RESERVED` in Xen's `public/xen.h`).
const DOMID_FIRST_RESERVED: u32 = 0x7ff0;

/// A node or directory below a guest's home. Displays as its path relative to that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Node {
    /// Directory of what the guest writes.
    GuestDir,
    /// [`super::GuestSelf`].
    GuestSelf,
    /// [`super::Claims`].
    GuestAddr,
    /// Directory of [`Node::GuestPeer`], by domid.
    GuestPeers,
    /// [`super::PeerRequest`] to this domid.
    GuestPeer(u16),
    /// Directory of what `xlnetd` writes.
    HelperDir,
    /// [`super::HelperSelf`].
    HelperSelf,
    /// Directory of [`Node::HelperPeer`], by domid.
    HelperPeers,
    /// [`super::PeerEntry`] of this domid.
    HelperPeer(u16),
}

impl Node {
    /// Reads a path relative to a guest's home; `None` if it is none of ours.
    pub fn parse(path: &str) -> Option<Node> {
        match path {
            "data/xlnet/0" => Some(Node::GuestDir),
            "data/xlnet/0/self" => Some(Node::GuestSelf),
            "data/xlnet/0/addr" => Some(Node::GuestAddr),
            "data/xlnet/0/peer" => Some(Node::GuestPeers),
            "xlnet/0" => Some(Node::HelperDir),
            "xlnet/0/self" => Some(Node::HelperSelf),
            "xlnet/0/peer" => Some(Node::HelperPeers),
            _ => {
                let (dir, name) = path.rsplit_once('/')?;
                let domid = Node::parse_domid(name)?;
                match dir {
                    "data/xlnet/0/peer" => Some(Node::GuestPeer(domid)),
                    "xlnet/0/peer" => Some(Node::HelperPeer(domid)),
                    _ => None,
                }
            }
        }
    }

    /// Reads a domid, as the name of a node in a directory of peers.
    pub fn parse_domid(name: &str) -> Option<u16> {
        decimal(name)
            .filter(|domid| *domid < DOMID_FIRST_RESERVED)
            .and_then(|domid| domid.try_into().ok())
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Node::GuestDir => f.write_str("data/xlnet/0"),
            Node::GuestSelf => f.write_str("data/xlnet/0/self"),
            Node::GuestAddr => f.write_str("data/xlnet/0/addr"),
            Node::GuestPeers => f.write_str("data/xlnet/0/peer"),
            Node::GuestPeer(domid) => write!(f, "data/xlnet/0/peer/{domid}"),
            Node::HelperDir => f.write_str("xlnet/0"),
            Node::HelperSelf => f.write_str("xlnet/0/self"),
            Node::HelperPeers => f.write_str("xlnet/0/peer"),
            Node::HelperPeer(domid) => write!(f, "xlnet/0/peer/{domid}"),
        }
    }
}

/// A node in the home of a guest. Displays as its absolute path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InHome {
    /// The guest.
    pub domid: u16,
    /// The node.
    pub node: Node,
}

impl InHome {
    /// Reads an absolute path; `None` if it is none of ours.
    pub fn parse(path: &str) -> Option<InHome> {
        let (domid, rest) = path.strip_prefix("/local/domain/")?.split_once('/')?;
        Some(InHome {
            domid: Node::parse_domid(domid)?,
            node: Node::parse(rest)?,
        })
    }
}

impl fmt::Display for InHome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/local/domain/{}/{}", self.domid, self.node)
    }
}

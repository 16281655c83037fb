// SPDX-License-Identifier: GPL-3.0-only

//! What the daemon does for a guest that writes all the time, and for the others.

use tokio::time::advance;
use xlnet_proto::schema::Node;

use super::*;
use crate::model::tests::{guests, home, host};
use crate::store::memory::Memory;

/// Has `domid` write a node, and the daemon act on that.
async fn say(daemon: &mut Daemon<Memory>, domid: Domid, node: Node, value: String) {
    daemon.store.put(&home(domid, node), value);
    daemon.due.insert(domid, GuestHint::all());
    daemon.act().await.unwrap();
}

async fn told(daemon: &Daemon<Memory>, domid: Domid, of: Domid) -> Option<String> {
    let node = home(domid, Node::HelperPeer(of));
    daemon.store.read(&node).await.unwrap()
}

/// What a daemon with these rules makes of a guest that says one of `words` of itself after the other, in no time:
/// how often the first guest's list of peers becomes another.
async fn lists(rules: &str, words: impl Iterator<Item = (Node, String)>) -> u32 {
    let mut daemon = Daemon::new(host(&[]), rules.parse().unwrap(), BTreeSet::new);
    daemon.start().await.unwrap();
    let (mut lists, mut before) = (0, Vec::new());
    let mut last = String::new();
    for (node, word) in words {
        say(&mut daemon, 3, node, word.clone()).await;
        last = word;
        let mut now = Vec::new();
        for peer in 2..=5 {
            now.push(told(&daemon, 1, peer).await);
        }
        lists += u32::from(now != before);
        before = now;
    }

    let want = "from=0000000000000001 to=0000000000000002 want=77";
    say(&mut daemon, 1, Node::GuestPeer(2), want.into()).await;
    let entry = told(&daemon, 2, 1).await.unwrap();
    assert!(entry.contains(" want=77"), "it waits for another: {entry}");

    while let Some(at) = daemon.next_budget() {
        advance(at - Instant::now()).await;
        daemon.act().await.unwrap();
    }
    let what = last.split(' ').nth(1).map(str::to_owned);
    if let Some(epoch) = what {
        assert!(told(&daemon, 1, 3).await.unwrap().contains(&epoch));
    }
    lists
}

fn ready(epoch: u64) -> (Node, String) {
    let own = format!("version=1 epoch={epoch:016x} features=00000001 state=ready");
    (Node::GuestSelf, own)
}

#[tokio::test(start_paused = true)]
async fn who_begins_anew_all_the_time_waits_and_others_do_not() {
    let lists = lists("", (100..200).map(ready)).await;
    assert!((2..8).contains(&lists), "{lists} lists");
}

#[tokio::test(start_paused = true)]
async fn so_does_who_contests_what_others_claim() {
    let claims = (0..100).map(|n| match n % 2 {
        0 => "10.0.0.5".to_owned(),
        _ => "10.0.0.3".to_owned(),
    });
    let words = [ready(3)]
        .into_iter()
        .chain(claims.map(|claim| (Node::GuestAddr, claim)));
    let lists = lists("learn = true", words).await;
    assert!((2..8).contains(&lists), "{lists} lists");
}

#[tokio::test(start_paused = true)]
async fn another_configuration_is_taken_up_and_a_wrong_one_is_not() {
    let mut daemon = Daemon::new(host(&[]), Config::default(), BTreeSet::new);
    daemon.start().await.unwrap();
    let before = told(&daemon, 2, 1).await.unwrap();
    assert!(before.contains(" want=1 offer=2 "), "{before}");

    let denied: Config = "deny = [['g1', 'g2']]".parse().unwrap();
    daemon.reload(Ok(denied)).await.unwrap();
    assert_eq!(told(&daemon, 2, 1).await, None);
    assert!(told(&daemon, 2, 4).await.is_some());
    let wrong = Error::ConfigWrong {
        path: "x".into(),
        reason: "y".into(),
    };
    daemon.reload(Err(wrong)).await.unwrap();
    daemon.act().await.unwrap();
    assert_eq!(told(&daemon, 2, 1).await, None);

    daemon.reload(Ok(Config::default())).await.unwrap();
    daemon.act().await.unwrap();
    assert_eq!(told(&daemon, 2, 1).await, Some(before));
}

#[tokio::test(start_paused = true)]
async fn among_many_who_says_something_else_all_the_time_waits() {
    let mut daemon = Daemon::new(guests(64, &[]), "".parse().unwrap(), BTreeSet::new);
    daemon.start().await.unwrap();
    let (mut followed, mut last) = (0, told(&daemon, 2, 1).await);
    for want in 1000..1200 {
        let request = format!("from={:016x} to={:016x} want={want}", 1, 2);
        daemon.store.put(&home(1, Node::GuestPeer(2)), request);
        let hint = GuestHint {
            peers: [2].into(),
            ..GuestHint::default()
        };
        daemon.due.entry(1).or_default().merge(hint);
        daemon.act().await.unwrap();
        let now = told(&daemon, 2, 1).await;
        followed += u32::from(now != last);
        last = now;
    }
    assert!((2..40).contains(&followed), "{followed} of 200 in no time");

    while let Some(at) = daemon.next_budget() {
        advance(at - Instant::now()).await;
        daemon.act().await.unwrap();
    }
    let entry = told(&daemon, 2, 1).await.unwrap();
    assert!(entry.contains(" want=1199"), "the last is told: {entry}");
}

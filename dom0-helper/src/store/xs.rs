// SPDX-License-Identifier: GPL-3.0-only

//! The real store, through xenstore-rs.
//!
//! Two properties of xenstore-rs 0.8 are contained here. Its watch channels hold eight events, and
//! when one is full no request of the connection is answered any more: so each watch is drained by
//! a task that does nothing else. And it does not notice a daemon that died: so every request has a
//! deadline.

use std::future::Future;
use std::io::{Error, ErrorKind};
use std::pin::pin;
use std::time::Duration;

use futures::StreamExt;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::trace;
use xenstore_rs::tokio::XsTokio;
use xenstore_rs::{AsyncWatch, AsyncXs};

use super::{OnEvent, Store, Watch};
use crate::error::StoreError;

/// How long xenstore may take for one answer. It answers in well under a millisecond; a live update
/// of the daemon takes some seconds.
const DEADLINE: Duration = Duration::from_secs(10);

/// In how many parts of the deadline an answer is looked for.
const SLICES: u32 = 10;

/// How long a watch that is no longer wanted has to be silent before it is given up: xenstore-rs
/// forgets a subscriber whose channel is closed when an event arrives, and then leaves the watch
/// registered in the daemon.
const SILENCE: Duration = Duration::from_secs(1);

/// A connection to the daemon; cheap to clone.
#[derive(Clone)]
pub struct Xs(XsTokio);

impl Xs {
    /// Connects to the socket, `$XENSTORED_PATH` or the usual one, else to the kernel's device.
    ///
    /// # Errors
    /// [`StoreError::Connect`] if there is neither, [`StoreError::Denied`] if this user may not.
    pub async fn connect() -> Result<Self, StoreError> {
        match in_time(XsTokio::new()).await {
            Some(Ok(xs)) => Ok(Self(xs)),
            Some(Err(error)) if error.kind() == ErrorKind::PermissionDenied => {
                Err(StoreError::Denied {
                    request: "connect".into(),
                })
            }
            Some(Err(error)) => Err(StoreError::Connect {
                reason: error.to_string(),
            }),
            None => Err(StoreError::Connect {
                reason: "no answer".into(),
            }),
        }
    }
}

/// Awaits `answer` for [`DEADLINE`]; `None` if it does not come.
///
/// When this process or all of Dom0 has stood still, the time may be over before an answer that came
/// long ago has been looked at. Then no more than a slice of it is lost.
async fn in_time<T>(answer: impl Future<Output = T>) -> Option<T> {
    let mut answer = pin!(answer);
    for _ in 0..SLICES {
        if let Ok(answer) = timeout(DEADLINE / SLICES, &mut answer).await {
            return Some(answer);
        }
    }
    None
}

/// Awaits a request, with the deadline; a missing node is `None`.
async fn answered<T>(
    verb: &str,
    path: &str,
    request: impl Future<Output = Result<T, Error>>,
) -> Result<Option<T>, StoreError> {
    trace!(verb, path, "request");
    let described = || format!("{verb} {path}");
    let Some(result) = in_time(request).await else {
        return Err(StoreError::Timeout {
            request: described(),
            timeout: DEADLINE,
        });
    };
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) => match error.kind() {
            ErrorKind::NotFound => Ok(None),
            ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset => {
                Err(StoreError::Broken {
                    request: described(),
                    reason: error.to_string(),
                })
            }
            ErrorKind::PermissionDenied => Err(StoreError::Denied {
                request: described(),
            }),
            ErrorKind::InvalidData => Err(StoreError::Unreadable {
                request: described(),
                reason: error.to_string(),
            }),
            _ => Err(StoreError::Refused {
                request: described(),
                reason: error.to_string(),
            }),
        },
    }
}

impl Store for Xs {
    async fn read(&self, path: &str) -> Result<Option<String>, StoreError> {
        Ok(answered("read", path, self.0.read(path))
            .await?
            .map(String::from))
    }

    async fn write(&self, path: &str, value: &str) -> Result<(), StoreError> {
        match answered("write", path, self.0.write(path, value)).await? {
            Some(()) => Ok(()),
            None => Err(StoreError::Refused {
                request: format!("write {path}"),
                reason: "no such node".into(),
            }),
        }
    }

    async fn rm(&self, path: &str) -> Result<(), StoreError> {
        answered("rm", path, self.0.rm(path)).await.map(|_| ())
    }

    async fn list(&self, path: &str) -> Result<Option<Vec<String>>, StoreError> {
        let names = answered("list", path, self.0.directory(path)).await?;
        // An empty directory is answered by one empty string.
        Ok(names.map(|names| {
            names
                .into_iter()
                .map(String::from)
                .filter(|name| !name.is_empty())
                .collect()
        }))
    }

    async fn watch(&self, path: &str, on_event: OnEvent) -> Result<Watch, StoreError> {
        let Some(mut events) = answered("watch", path, self.0.watch(path)).await? else {
            return Err(StoreError::Refused {
                request: format!("watch {path}"),
                reason: "no such path".into(),
            });
        };
        let (stop, mut stopped) = oneshot::channel::<()>();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    event = events.next() => match event {
                        Some(path) => on_event(&path),
                        None => return,
                    },
                    _ = &mut stopped => break,
                }
            }
            while let Ok(Some(_)) = timeout(SILENCE, events.next()).await {}
        });
        Ok(Watch { stop })
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::task::yield_now;
    use tokio::time::{advance, Instant};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn standing_still_is_not_silence() {
        let (say, heard) = oneshot::channel();
        let waiting = tokio::spawn(in_time(heard));
        yield_now().await;
        advance(3 * DEADLINE).await;
        yield_now().await;
        say.send(()).unwrap();
        assert!(waiting.await.unwrap().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn silence_has_an_end() {
        let begun = Instant::now();
        assert_eq!(in_time(pending::<()>()).await, None);
        assert!(begun.elapsed() >= DEADLINE);
    }
}

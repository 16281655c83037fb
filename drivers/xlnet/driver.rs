// SPDX-License-Identifier: GPL-2.0

//! The module: one device, made when the module is loaded.

use crate::{
    control::{
        Control,
        Release, //
    },
    net::work,
    shared::Shared,
    xen::{
        self,
        store::Watch, //
    },
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// What the module holds. [`Drop`] takes it down in order: no more hints, no more channels, no more
/// runs; the device goes with the last reference to the control task.
pub(crate) struct Xlnet {
    watch: Option<Watch<Control>>,
    worker: Option<work::Registration<Control>>,
    watcher: Option<work::Registration<Shared>>,
    releaser: Option<work::Registration<Release>>,
    control: Arc<Control>,
}

impl kernel::Module for Xlnet {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        if !xen::is_domain() || xen::is_initial_domain() {
            pr_info!("not a guest of a Xen host\n");
            return Err(ENODEV);
        }
        let control = Control::new()?;
        let worker = work::Registration::new(control.clone())?;
        let watcher = work::Registration::new(control.shared().clone())?;
        let releaser = work::Registration::new(Arc::new(Release(control.clone()), GFP_KERNEL)?)?;
        *control.shared().sleeper.lock() = Some(control.clone());
        // The watch calls once when it is made, which starts everything.
        let watch = Watch::new(c"xlnet/0", control.clone()).inspect_err(|_| {
            *control.shared().sleeper.lock() = None;
            // The device may have been brought up meanwhile, which has the task run.
            control.leave();
        })?;
        Ok(Self {
            watch: Some(watch),
            worker: Some(worker),
            watcher: Some(watcher),
            releaser: Some(releaser),
            control,
        })
    }
}

impl Drop for Xlnet {
    fn drop(&mut self) {
        drop(self.watch.take());
        // From here on a suspend finds nothing to do.
        *self.control.shared().sleeper.lock() = None;
        self.control.leave();
        drop(self.worker.take());
        drop(self.watcher.take());
        drop(self.releaser.take());
    }
}

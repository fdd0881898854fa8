//! Looks whether everything in the store is what it says it is.

use std::fs;

use cache::{Checked, Fault, Problem, Repair, StoreError};

use crate::Engine;
use crate::images::{ImageError, layers_of, read_config};
use crate::why::check_log;

impl Engine {
    /// [`cache::Store::check`], and that the layers of every image are those of its config, and that the logs of
    /// builds can be read. Blocks.
    pub fn check(&self, repair: Repair) -> Result<Checked, StoreError> {
        let store = self.reopened()?;
        let mut checked = store.check(repair)?;
        for image in store.images()? {
            let layers = read_config(&store, &image.id).and_then(|config| layers_of(&store, &image, &config));
            let fault = match layers {
                Ok(()) => continue,
                Err(ImageError::Store(error)) => return Err(error),
                Err(_) => Fault::WrongLayers,
            };
            let path = format!("images/{}", image.id.0.hex());
            let is_repaired = repair == Repair::TakeAway && store.remove_image(&image.id)?;
            checked.problems.push(Problem { path, fault, is_repaired });
        }
        for entry in fs::read_dir(store.root().join("builds")).into_iter().flatten().flatten() {
            if check_log(&entry.path()) {
                continue;
            }
            let is_repaired = repair == Repair::TakeAway && fs::remove_file(entry.path()).is_ok();
            let path = format!("builds/{}", entry.file_name().to_string_lossy());
            let fault = Fault::Damaged { what: "it is no log of a build".to_owned() };
            checked.problems.push(Problem { path, fault, is_repaired });
        }
        Ok(checked)
    }
}

// SPDX-License-Identifier: GPL-2.0
//! What the plots have in common: font, colours, and that each is written as SVG and PNG.

use std::{collections::BTreeSet, fs, path::Path as Directory};

use anyhow::{anyhow, Context, Result};
use plotters::{
    backend::{BitMapBackend, SVGBackend},
    coord::Shift,
    prelude::*,
    style::{register_font, FontStyle},
};
use xlnet_lab::{cache::Cache, needs};

/// The font of Debian's fonts-dejavu-core.
const FONT: &str = "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf";

/// Of the uplink, xlnet0 and loopback.
pub const COLOURS: [RGBColor; 3] = [
    RGBColor(120, 120, 120),
    RGBColor(0, 114, 178),
    RGBColor(230, 159, 0),
];

/// Makes sure that there is a font to write with.
pub fn prepare(cache: &Cache) -> Result<()> {
    if !Directory::new(FONT).is_file() {
        needs::install(cache, &BTreeSet::from(["fonts-dejavu-core"]))?;
    }
    // The library keeps fonts for the life of the process.
    let font = Box::leak(fs::read(FONT).context(FONT)?.into_boxed_slice());
    register_font("sans-serif", FontStyle::Normal, font).map_err(|_| anyhow!("{FONT} is no font"))
}

/// What can be drawn on either backend.
pub trait Picture {
    /// Width and height in pixels.
    const SIZE: (u32, u32);

    /// Draws it.
    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>) -> Result<()>
    where
        B::ErrorType: 'static;
}

/// Writes `picture` to `out` as `name`.svg and `name`.png.
pub fn write<P: Picture>(picture: &P, out: &Directory, name: &str) -> Result<()> {
    let (svg, png) = (
        out.join(format!("{name}.svg")),
        out.join(format!("{name}.png")),
    );
    let vectors = SVGBackend::new(&svg, P::SIZE).into_drawing_area();
    picture
        .draw(&vectors)
        .and_then(|()| Ok(vectors.present()?))
        .with_context(|| format!("drawing {}", svg.display()))?;
    let bitmap = BitMapBackend::new(&png, P::SIZE).into_drawing_area();
    picture
        .draw(&bitmap)
        .and_then(|()| Ok(bitmap.present()?))
        .with_context(|| format!("drawing {}", png.display()))
}

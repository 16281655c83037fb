// SPDX-License-Identifier: GPL-2.0
//! Draws the demo's results: bars per test, in multiples of the uplink.

use anyhow::Result;
use plotters::{coord::Shift, prelude::*};
use xlnet_lab::netperf::Unit;

use super::Row;
use crate::{
    path::Path,
    plot::{Picture, COLOURS},
};

/// The bars of these rows.
pub struct Bars<'a>(pub &'a [Row]);

impl Picture for Bars<'_> {
    const SIZE: (u32, u32) = (1200, 640);

    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>) -> Result<()>
    where
        B::ErrorType: 'static,
    {
        chart(self.0, area)
    }
}

fn chart<B: DrawingBackend>(rows: &[Row], area: &DrawingArea<B, Shift>) -> Result<()>
where
    B::ErrorType: 'static,
{
    area.fill(&WHITE)?;
    let gains: Vec<f64> = rows
        .iter()
        .flat_map(|row| (0..3).map(|index| row.gain(index)))
        .collect();
    let highest = gains.iter().copied().fold(1.0, f64::max);
    let bottom = gains.iter().copied().fold(1.0, f64::min) / 1.6;
    // Room for the legend above the bars: a quarter of the axis.
    let top = highest * (highest / bottom).powf(0.33);
    let width = rows.len() as f64;
    let mut chart = ChartBuilder::on(area)
        .caption(
            "Guest to guest on one Xen host, emulated: multiples of the uplink",
            ("sans-serif", 24),
        )
        .margin(16)
        .x_label_area_size(44)
        .y_label_area_size(72)
        .build_cartesian_2d(0.0..width, (bottom..top).log_scale())?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .disable_x_axis()
        .y_desc("times the uplink (log scale, more is better)")
        .y_label_formatter(&|value| format!("{value}x"))
        .label_style(("sans-serif", 15))
        .draw()?;
    for (index, path) in Path::ALL.into_iter().enumerate() {
        let colour = COLOURS[index];
        let bar = move |slot: usize| {
            let left = slot as f64 + 0.12 + 0.26 * index as f64;
            (left, left + 0.24)
        };
        chart
            .draw_series(rows.iter().enumerate().map(|(slot, row)| {
                let (left, right) = bar(slot);
                Rectangle::new([(left, bottom), (right, row.gain(index))], colour.filled())
            }))?
            .label(path.name())
            .legend(move |(x, y)| Rectangle::new([(x, y - 6), (x + 14, y + 6)], colour.filled()));
        chart.draw_series(rows.iter().enumerate().map(|(slot, row)| {
            let (left, _) = bar(slot);
            let text = figure(row.figures[index], row.unit);
            Text::new(text, (left, row.gain(index) * 1.08), ("sans-serif", 12))
        }))?;
    }
    chart.draw_series(rows.iter().enumerate().map(|(slot, row)| {
        // Below the axis: the mesh cannot label the middle of a group.
        let place = (slot as f64 + 0.12, bottom);
        EmptyElement::at(place) + Text::new(row.test.name(), (0, 10), ("sans-serif", 16))
    }))?;
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK)
        .label_font(("sans-serif", 16))
        .draw()?;
    Ok(())
}

fn figure(value: f64, unit: Unit) -> String {
    let digits = match value {
        value if value < 10.0 => 2,
        value if value < 100.0 => 1,
        _ => 0,
    };
    format!("{value:.digits$} {}", unit.name())
}

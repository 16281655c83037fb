// SPDX-License-Identifier: GPL-2.0
//! Draws a boot's streams over the size of their messages: throughput of the three paths, and ratios.

use anyhow::Result;
use plotters::{coord::Shift, prelude::*};
use xlnet_lab::netperf::Test;

use super::report::{Boot, Row};
use crate::{
    path::Path,
    plot::{Picture, COLOURS},
};

/// The plots of one boot.
pub struct Lines<'a>(pub &'a Boot);

impl Picture for Lines<'_> {
    const SIZE: (u32, u32) = (1200, 860);

    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>) -> Result<()>
    where
        B::ErrorType: 'static,
    {
        area.fill(&WHITE)?;
        let title = format!("Guest to guest, emulated: {}", self.0.setting.title());
        let area = area.titled(&title, ("sans-serif", 22))?;
        let panels = area.split_evenly((2, 2));
        let kinds = [
            ("TCP_STREAM", tcp_size as fn(Test) -> Option<u32>),
            ("UDP_STREAM, received", udp_size),
        ];
        for (panels, (name, size)) in panels.chunks(2).zip(kinds) {
            let rows: Vec<(f64, &Row)> = self
                .0
                .rows
                .iter()
                .filter_map(|row| Some((f64::from(size(row.test)?), row)))
                .collect();
            let [speed, ratio] = panels else { continue };
            let median = |row: &Row, path| row.median(path);
            panel(speed, &format!("{name}, Mb/s"), &rows, &Path::ALL, median)?;
            let others = [Path::Uplink, Path::Loopback];
            let gain = |row: &Row, path| row.gain(path);
            panel(ratio, &format!("{name}, xlnet0 ÷"), &rows, &others, gain)?;
        }
        Ok(())
    }
}

fn tcp_size(test: Test) -> Option<u32> {
    match test {
        Test::TcpStream { size } => Some(size),
        _ => None,
    }
}

fn udp_size(test: Test) -> Option<u32> {
    match test {
        Test::UdpStream { size } => Some(size),
        _ => None,
    }
}

/// One line for each path.
fn panel<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    title: &str,
    rows: &[(f64, &Row)],
    paths: &[Path],
    value: impl Fn(&Row, Path) -> f64,
) -> Result<()>
where
    B::ErrorType: 'static,
{
    let values: Vec<f64> = rows
        .iter()
        .flat_map(|(_, row)| paths.iter().map(|&path| value(row, path)))
        .filter(|value| value.is_finite() && *value > 0.0)
        .collect();
    let bottom = values.iter().copied().fold(1.0, f64::min) / 1.3;
    let top = values.iter().copied().fold(1.0, f64::max) * 1.3;
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 17))
        .margin(12)
        .x_label_area_size(32)
        .y_label_area_size(56)
        .build_cartesian_2d((48.0..90_000.0f64).log_scale(), (bottom..top).log_scale())?;
    chart
        .configure_mesh()
        .x_desc("bytes of a message")
        .label_style(("sans-serif", 13))
        .draw()?;
    chart.draw_series(LineSeries::new(
        [(48.0, 1.0), (90_000.0, 1.0)],
        BLACK.mix(0.4),
    ))?;
    for &path in paths {
        let colour = COLOURS[path as usize];
        let points: Vec<(f64, f64)> = rows
            .iter()
            .map(|&(size, row)| (size, value(row, path)))
            .filter(|(_, value)| value.is_finite() && *value > 0.0)
            .collect();
        chart
            .draw_series(
                LineSeries::new(points.iter().copied(), colour.stroke_width(2)).point_size(3),
            )?
            .label(path.name())
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 14, y)], colour.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .label_font(("sans-serif", 14))
        .draw()?;
    Ok(())
}

// SPDX-License-Identifier: GPL-2.0
//! Draws a relocation over time: how fast the flows are, which path they have, and when the guest moves.

use anyhow::Result;
use plotters::{
    coord::Shift,
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};
use serde::Serialize;

use crate::{
    path::Path,
    plot::{Picture, COLOURS},
};

/// Of the migrations' begin and end.
const MOVE: RGBColor = RGBColor(213, 94, 0);

/// What the begin and the end of each migration are called.
const MOVES: [(&str, &str); 2] = [("leaves", "is there"), ("comes back", "is back")];

/// Begin and end of a time, in seconds since the staying guest's boot.
pub type Span = (f64, f64);

/// What happened when.
#[derive(Debug, Serialize)]
pub struct Timeline {
    /// What is shown.
    pub span: Span,
    /// When the channel stood.
    pub xlnet0: Vec<Span>,
    /// The migrations: there and back.
    pub migrations: [Span; 2],
    /// What went from guest to guest.
    pub flows: [Line; 2],
}

/// A flow over time.
#[derive(Debug, Serialize)]
pub struct Line {
    /// What is counted.
    pub title: &'static str,
    /// How many a second: the time in seconds since the staying guest's boot, and the rate.
    pub rate: Vec<(f64, f64)>,
}

impl Timeline {
    /// The path at all times that are shown, in their order and without a gap; times since the begin of what is shown.
    fn paths(&self) -> Vec<(Path, Span)> {
        let (begin, end) = self.span;
        let mut paths = Vec::new();
        let mut at = begin;
        for &(from, to) in &self.xlnet0 {
            let (from, to) = (from.clamp(at, end), to.clamp(at, end));
            paths.push((Path::Uplink, (at - begin, from - begin)));
            paths.push((Path::Xlnet0, (from - begin, to - begin)));
            at = to;
        }
        paths.push((Path::Uplink, (at - begin, end - begin)));
        paths.retain(|(_, (from, to))| from < to);
        paths
    }

    /// What of a rate is shown, over the time since the begin of that.
    fn shown(&self, rate: &[(f64, f64)]) -> Vec<(f64, f64)> {
        let (begin, end) = self.span;
        rate.iter()
            .filter(|(at, _)| (begin..=end).contains(at))
            .map(|(at, value)| (at - begin, *value))
            .collect()
    }

    fn panel<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>, flow: &Line) -> Result<()>
    where
        B::ErrorType: 'static,
    {
        let (begin, end) = self.span;
        let rate = self.shown(&flow.rate);
        let highest = rate.iter().map(|(_, value)| *value).fold(1.0, f64::max);
        // Room above the line for what the migrations are called.
        let top = 1.4 * highest;
        let mut chart = ChartBuilder::on(area)
            .caption(flow.title, ("sans-serif", 17))
            .margin(12)
            .x_label_area_size(36)
            .y_label_area_size(56)
            .build_cartesian_2d(0.0..end - begin, 0.0..top)?;
        chart.draw_series(self.paths().into_iter().map(|(path, (from, to))| {
            Rectangle::new([(from, 0.0), (to, top)], tint(path).filled())
        }))?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .x_desc("seconds")
            .x_label_formatter(&|second| format!("{second:.0}"))
            .y_label_formatter(&|rate| format!("{rate:.0}"))
            .label_style(("sans-serif", 13))
            .draw()?;
        chart.draw_series(LineSeries::new(rate, BLACK.stroke_width(1)))?;
        for ((from, to), (leaves, arrives)) in self.migrations.into_iter().zip(MOVES) {
            let (from, to) = (from - begin, to - begin);
            // In two rows, each on its own migration's side of the line: what ends and what begins then lie close together.
            for (at, text, shift, side) in [
                (from, leaves, (5, 4), HPos::Left),
                (to, arrives, (-5, 20), HPos::Right),
            ] {
                let style = TextStyle::from(("sans-serif", 14))
                    .color(&MOVE)
                    .pos(Pos::new(side, VPos::Top));
                chart.draw_series([PathElement::new(
                    [(at, 0.0), (at, top)],
                    MOVE.stroke_width(2),
                )])?;
                chart.draw_series([
                    EmptyElement::at((at, top)) + Text::new(text.to_owned(), shift, style)
                ])?;
            }
        }
        Ok(())
    }
}

/// Of a path, as a background.
fn tint(path: Path) -> RGBAColor {
    COLOURS[path as usize].mix(0.25)
}

/// What the colours mean, in a strip of its own, where it hides no line.
fn key<B: DrawingBackend>(strip: &DrawingArea<B, Shift>) -> Result<()>
where
    B::ErrorType: 'static,
{
    let text = |text: &'static str, x| Text::new(text, (x, 9), ("sans-serif", 15));
    for (label, x, path) in [
        ("by xlnet0", 70, Path::Xlnet0),
        ("by the uplink", 210, Path::Uplink),
    ] {
        strip.draw(&Rectangle::new([(x, 8), (x + 24, 24)], tint(path).filled()))?;
        strip.draw(&text(label, x + 32))?;
    }
    strip.draw(&PathElement::new(
        [(390, 8), (390, 24)],
        MOVE.stroke_width(2),
    ))?;
    strip.draw(&text("begin and end of a migration", 400))?;
    Ok(())
}

impl Picture for Timeline {
    const SIZE: (u32, u32) = (1200, 760);

    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>) -> Result<()>
    where
        B::ErrorType: 'static,
    {
        area.fill(&WHITE)?;
        let title = "A guest goes to another Xen host and comes back, emulated";
        let area = area.margin(8, 0, 0, 0).titled(title, ("sans-serif", 22))?;
        let (strip, rest) = area.split_vertically(30);
        key(&strip)?;
        for (panel, flow) in rest.split_evenly((2, 1)).iter().zip(&self.flows) {
            self.panel(panel, flow)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timeline(xlnet0: &[Span]) -> Timeline {
        let line = || Line {
            title: "records a second",
            rate: vec![(99.0, 9.0), (100.5, 4.0), (120.0, 2.0), (121.0, 9.0)],
        };
        Timeline {
            span: (100.0, 120.0),
            xlnet0: xlnet0.to_vec(),
            migrations: [(103.0, 106.0), (112.0, 116.0)],
            flows: [line(), line()],
        }
    }

    #[test]
    fn every_moment_has_a_path() {
        use Path::{Uplink, Xlnet0};
        assert_eq!(
            timeline(&[(90.0, 105.0), (115.0, 130.0)]).paths(),
            [
                (Xlnet0, (0.0, 5.0)),
                (Uplink, (5.0, 15.0)),
                (Xlnet0, (15.0, 20.0))
            ]
        );
        assert_eq!(
            timeline(&[(80.0, 90.0), (110.0, 112.0), (130.0, 140.0)]).paths(),
            [
                (Uplink, (0.0, 10.0)),
                (Xlnet0, (10.0, 12.0)),
                (Uplink, (12.0, 20.0))
            ]
        );
        assert_eq!(timeline(&[]).paths(), [(Uplink, (0.0, 20.0))]);
    }

    #[test]
    fn only_what_lies_within_is_shown() {
        let timeline = timeline(&[]);
        let [line, _] = &timeline.flows;
        assert_eq!(timeline.shown(&line.rate), [(0.5, 4.0), (20.0, 2.0)]);
    }
}

// SPDX-License-Identifier: GPL-2.0
//! The tables a bench run prints.

use xlnet_lab::netperf::Unit;
use xlnet_vm_tests::quantile::{median, quantile};

use super::{
    report::{Boot, Report, Row},
    target,
};
use crate::path::Path;

/// Prints what one boot measured: how fast, in a table as `docs/performance.md` has it, and for what.
pub fn show(boot: &Boot) {
    println!("\n{}\n", boot.setting.title());
    println!(
        "| {:<24} | {:<20} | {:<20} | {:<20} | {:<17} | {:<19} | drift |",
        "median (extremes)",
        "uplink",
        "xlnet0",
        "loopback",
        "÷ uplink (wanted)",
        "÷ loopback (wanted)"
    );
    println!("|---|---|---|---|---|---|---|");
    for row in &boot.rows {
        show_speed(boot, row);
    }
    println!();
    println!(
        "{:<24}{:>21}{:>21}{:>10}{:>10}{:>10}{:>8}",
        "per GB or 1000 there+back",
        "Dom0 CPU s, up/x",
        "guest CPU s, up/x",
        "frames",
        "kicks",
        "irqs",
        "full"
    );
    for row in &boot.rows {
        show_cost(row);
    }
    if boot.setting.is_counted() {
        println!("instructions for a byte, or there and back; of all domains and Xen");
        for row in &boot.rows {
            let [uplink, xlnet0, loopback] = Path::ALL.map(|path| row.instructions(path));
            println!(
                "{:<24}{uplink:>15.2}{xlnet0:>10.2}{loopback:>10.2}",
                row.test.name()
            );
        }
    }
    for entry in &boot.bystanders {
        let (loaded, unloaded) = entry.spreads();
        println!(
            "to Dom0, {}: with xlnet loaded {:.1} {unit}, without {:.1} {unit}: {:.3} (spread {:.0}%/{:.0}%)",
            entry.test.name(),
            median(&entry.loaded),
            median(&entry.unloaded),
            entry.ratio(),
            100.0 * loaded,
            100.0 * unloaded,
            unit = entry.unit.name(),
        );
    }
    if let Some(bytes) = boot.idle_peer {
        println!(
            "kernel memory of a peer without a channel: {:.1} KiB",
            bytes / 1024.0
        );
    }
}

fn show_speed(boot: &Boot, row: &Row) {
    let want = target::of(boot.setting, row.test);
    let multiple = |gain: f64, want: f64| multiple(gain, want, row.unit);
    let [uplink, xlnet0, loopback] = Path::ALL.map(|path| with_extremes(&row.figures(path)));
    println!(
        "| {:<24} | {uplink:<20} | {xlnet0:<20} | {loopback:<20} | {:<17} | {:<19} | {:.2} |",
        format!("{}, {}", row.test.name(), row.unit.name()),
        multiple(row.gain(Path::Uplink), want.uplink),
        multiple(row.gain(Path::Loopback), want.loopback),
        row.drift(),
    );
    if let (Some(gain), [uplink, xlnet0, loopback, _]) = (row.tail_gain(), &row.series) {
        let [uplink, xlnet0, loopback] =
            [uplink, xlnet0, loopback].map(|series| series.p99.map_or_else(String::new, short));
        println!(
            "| {:<24} | {uplink:<20} | {xlnet0:<20} | {loopback:<20} | {:<17} | {:<19} | |",
            "its 99th percentile",
            multiple(gain, want.uplink),
            "",
        );
    }
}

/// A figure with three digits.
fn short(figure: f64) -> String {
    let digits = (2.0 - figure.abs().log10().floor()).clamp(0.0, 3.0);
    format!("{figure:.0$}", digits as usize)
}

fn with_extremes(figures: &[f64]) -> String {
    let [least, most] = [0.0, 1.0].map(|part| short(quantile(figures, part)));
    format!("{} ({least}-{most})", short(median(figures)))
}

/// By how much xlnet0 is better, and what is wanted, if anything is; bold if that is missed. Times are fractions.
fn multiple(gain: f64, want: f64, unit: Unit) -> String {
    let of = match unit {
        Unit::Milliseconds => "1/",
        Unit::Megabits | Unit::Transactions => "",
    };
    let text = format!("{of}{gain:.2}");
    if want == 0.0 {
        text
    } else if gain >= want {
        format!("{text} ({of}{want})")
    } else {
        // What is no number is not reached, either.
        format!("**{text}** ({of}{want})")
    }
}

fn show_cost(row: &Row) {
    // A thousand transactions cost about what can be read.
    let scale = if row.unit == Unit::Megabits {
        1.0
    } else {
        1000.0
    };
    let (dom0_up, guests_up) = row.cost(Path::Uplink);
    let (dom0, guests) = row.cost(Path::Xlnet0);
    let [_, xlnet0, ..] = &row.series;
    let per_work = |count: u64| scale * count as f64 / xlnet0.work;
    println!(
        "{:<24}{:>11.2} /{:>8.3}{:>11.2} /{:>8.2}{:>10.0}{:>10.0}{:>10.0}{:>8.0}",
        row.test.name(),
        scale * dom0_up,
        scale * dom0,
        scale * guests_up,
        scale * guests,
        per_work(xlnet0.usage.frames),
        per_work(xlnet0.usage.kicks),
        per_work(xlnet0.usage.irqs),
        per_work(xlnet0.usage.full),
    );
}

/// Prints how the ratios of `now` differ from those of an `earlier` run. Ratios only: no boot is as fast as another.
pub fn compare(now: &Report, earlier: &Report) {
    println!(
        "\n{:<10}{:<24}{:>12}{:>12}{:>10}",
        "", "xlnet0 / uplink", "earlier", "now", "change"
    );
    for boot in &now.boots {
        let same = |other: &&Boot| other.setting == boot.setting;
        let Some(before) = earlier.boots.iter().find(same) else {
            continue;
        };
        for row in &boot.rows {
            let Some(old) = before.rows.iter().find(|old| old.test == row.test) else {
                continue;
            };
            let (old, new) = (old.gain(Path::Uplink), row.gain(Path::Uplink));
            println!(
                "{:<10}{:<24}{old:>12.2}{new:>12.2}{:>9.2}x",
                boot.setting.name(),
                row.test.name(),
                new / old
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_digits() {
        assert_eq!(
            [0.0531, 1.244, 44.6, 98.96, 812.4, 1153.2].map(short),
            ["0.053", "1.24", "44.6", "99.0", "812", "1153"]
        );
        assert_eq!(with_extremes(&[3.0, 1.0, 20.0]), "3.00 (1.00-20.0)");
    }

    #[test]
    fn what_is_missed_is_bold() {
        assert_eq!(multiple(1.5, 1.25, Unit::Megabits), "1.50 (1.25)");
        assert_eq!(multiple(4.65, 5.0, Unit::Milliseconds), "**1/4.65** (1/5)");
        assert_eq!(multiple(f64::NAN, 1.0, Unit::Transactions), "**NaN** (1)");
        assert_eq!(multiple(0.5, 0.0, Unit::Megabits), "0.50");
    }
}

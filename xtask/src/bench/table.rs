// SPDX-License-Identifier: GPL-2.0
//! The tables a bench run prints.

use xlnet_lab::netperf::Unit;
use xlnet_vm_tests::quantile::median;

use super::{
    report::{Boot, Report, Row},
    target,
};
use crate::path::Path;

/// Prints what one boot measured: how fast, and for what.
pub fn show(boot: &Boot) {
    println!("\n{}", boot.setting.title());
    println!(
        "{:<24}{:>5}{:>10}{:>10}{:>10}{:>10}{:>7}{:>10}{:>7}{:>13}{:>7}",
        "",
        "",
        "uplink",
        "xlnet0",
        "loopback",
        "x/uplink",
        "want",
        "x/loopbk",
        "want",
        "spread u/x",
        "drift"
    );
    for row in &boot.rows {
        show_speed(boot, row);
    }
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
    // What is no number is not reached, either.
    let mark = |gain: f64, want: f64| if gain >= want { " " } else { "!" };
    let (uplink, loopback) = (row.gain(Path::Uplink), row.gain(Path::Loopback));
    let percent = |path| 100.0 * row.spread(path);
    let loopback_want = if want.loopback > 0.0 {
        format!("{:.2}", want.loopback)
    } else {
        String::new()
    };
    println!(
        "{:<24}{:>5}{:>10.2}{:>10.2}{:>10.2}{uplink:>9.2}{}{:>7.2}{loopback:>9.2}{}{loopback_want:>7}{:>7.0}%/{:.0}%{:>7.2}",
        row.test.name(),
        row.unit.name(),
        row.median(Path::Uplink),
        row.median(Path::Xlnet0),
        row.median(Path::Loopback),
        mark(uplink, want.uplink),
        want.uplink,
        mark(loopback, want.loopback),
        percent(Path::Uplink),
        percent(Path::Xlnet0),
        row.drift(),
    );
    if let (Some(gain), [uplink, xlnet0, loopback, _]) = (row.tail_gain(), &row.series) {
        let figure = |tail: Option<f64>| tail.unwrap_or(f64::NAN);
        println!(
            "{:<24}{:>5}{:>10.2}{:>10.2}{:>10.2}{gain:>9.2}{}{:>7.2}",
            "  99th percentile",
            row.unit.name(),
            figure(uplink.p99),
            figure(xlnet0.p99),
            figure(loopback.p99),
            mark(gain, want.uplink),
            want.uplink,
        );
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

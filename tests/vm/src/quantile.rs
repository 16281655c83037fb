// SPDX-License-Identifier: GPL-2.0
//! The middle of figures, and how far they lie apart.

/// The middle one, or the mean of the two in the middle; not a number if there is none.
#[must_use]
pub fn median(figures: &[f64]) -> f64 {
    let sorted = sorted(figures);
    let half = sorted.len() / 2;
    match (sorted.get(half), sorted.len() % 2) {
        (Some(&upper), 0) => (sorted[half - 1] + upper) / 2.0,
        (Some(&middle), _) => middle,
        (None, _) => f64::NAN,
    }
}

/// The smallest figure that is no less than `part` of all.
#[must_use]
pub fn quantile(figures: &[f64], part: f64) -> f64 {
    let sorted = sorted(figures);
    let rank = (part * sorted.len() as f64).ceil() as usize;
    sorted
        .get(rank.saturating_sub(1))
        .copied()
        .unwrap_or(f64::NAN)
}

/// Half the distance from the smallest to the largest, as a part of the median.
#[must_use]
pub fn spread(figures: &[f64]) -> f64 {
    let sorted = sorted(figures);
    match (sorted.first(), sorted.last()) {
        (Some(least), Some(most)) => (most - least) / 2.0 / median(figures),
        _ => f64::NAN,
    }
}

fn sorted(figures: &[f64]) -> Vec<f64> {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_few_and_of_many() {
        assert!(median(&[]).is_nan() && quantile(&[], 0.5).is_nan() && spread(&[]).is_nan());
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0]), 2.5);
        let hundred: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!(quantile(&hundred, 0.99), 99.0);
        assert_eq!(quantile(&hundred, 1.0), 100.0);
        assert_eq!(spread(&[9.0, 10.0, 11.0]), 0.1);
    }
}

// SPDX-License-Identifier: GPL-2.0
//! What came out, and the closing line.

use serde::Serialize;

/// How one check ended.
#[derive(Serialize)]
pub struct Checked {
    /// What was checked.
    pub name: String,
    /// Tests of it that passed.
    pub passed: u32,
    /// Tests of it that failed.
    pub failed: u32,
    /// How long it took.
    pub seconds: f32,
    /// What went wrong.
    pub failure: Option<String>,
}

/// Prints the results and the closing line, and says whether all passed.
pub fn close(results: &[Checked], json: bool) -> bool {
    if json {
        println!(
            "{}",
            serde_json::to_string_pretty(results).unwrap_or_default()
        );
    } else {
        for result in results {
            let mark = if result.failed == 0 {
                "ok    "
            } else {
                "FAILED"
            };
            let Checked {
                name,
                passed,
                failed,
                seconds,
                ..
            } = result;
            println!("{mark} {name}: {passed} passed, {failed} failed ({seconds:.1} s)");
        }
    }
    let passed: u32 = results.iter().map(|result| result.passed).sum();
    let failed: u32 = results.iter().map(|result| result.failed).sum();
    println!("{passed} passed, {failed} failed");
    failed == 0 && passed > 0
}

/// Adds up what test programs say of themselves: cargo's `test result: ok. 3 passed; 0 failed; …`, and the closing line
/// `3 passed, 0 failed` of scripts. `None` if there is no such line.
pub fn counted(output: &str) -> Option<(u32, u32)> {
    let mut sum = None;
    for line in output.lines() {
        let (line, separator) = match line
            .strip_prefix("test result: ")
            .and_then(|rest| rest.split_once(". "))
        {
            Some((_, rest)) => (rest, "; "),
            None => (line, ", "),
        };
        let mut parts = line.split(separator);
        let mut number = |word: &str| parts.next()?.strip_suffix(word)?.parse::<u32>().ok();
        if let (Some(good), Some(bad)) = (number(" passed"), number(" failed")) {
            let (passed, failed) = sum.unwrap_or((0, 0));
            sum = Some((passed + good, failed + bad));
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::counted;

    #[test]
    fn closing_lines_add_up() {
        let text = "running 2 tests\ntest result: ok. 2 passed; 0 failed; 1 ignored; 0 measured\n\
                    test result: FAILED. 1 passed; 3 failed; 0 ignored\n10 passed, 1 failed\n";
        assert_eq!(counted(text), Some((13, 4)));
        assert_eq!(
            counted("test result: ok. 0 passed; 0 failed; 0 ignored"),
            Some((0, 0))
        );
        assert_eq!(counted("all is well\n"), None);
    }
}

//! What is found when settings and data are looked at: all of it, not the first of it.

use std::fmt;

use serde::Serialize;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// As it should be.
    Info,
    /// Nothing stops for it, but somebody should know.
    Warning,
    /// A start is refused, or something is lost.
    Problem,
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Stable.
    pub code: &'static str,
    /// How bad it is.
    pub level: Level,
    /// For people; of a problem, with the next thing to try.
    pub message: String,
}

/// All that was found, in the order it was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings(pub Vec<Finding>);

impl Findings {
    /// Adds a problem.
    pub fn problem(&mut self, code: &'static str, message: impl fmt::Display) {
        self.0.push(Finding { code, level: Level::Problem, message: message.to_string() });
    }

    /// Adds a warning.
    pub fn warning(&mut self, code: &'static str, message: impl fmt::Display) {
        self.0.push(Finding { code, level: Level::Warning, message: message.to_string() });
    }

    /// Adds what is as it should be.
    pub fn info(&mut self, code: &'static str, message: impl fmt::Display) {
        self.0.push(Finding { code, level: Level::Info, message: message.to_string() });
    }

    /// How many there are of a level.
    pub fn count(&self, level: Level) -> usize {
        self.0.iter().filter(|finding| finding.level == level).count()
    }

    /// Whether there is nothing worse than a warning.
    pub fn is_sound(&self) -> bool {
        self.count(Level::Problem) == 0
    }

    /// Whether there is one with this code.
    pub fn has(&self, code: &str) -> bool {
        self.0.iter().any(|finding| finding.code == code)
    }

    /// Makes a warning of the problems with this code. Returns whether there were any.
    pub fn soften(&mut self, code: &str) -> bool {
        let mut found = false;
        for finding in self.0.iter_mut().filter(|finding| finding.code == code && finding.level == Level::Problem) {
            finding.level = Level::Warning;
            found = true;
        }
        found
    }
}

impl fmt::Display for Findings {
    /// The problems: a sentence if there is one, else a list.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let problems: Vec<_> = self.0.iter().filter(|finding| finding.level == Level::Problem).collect();
        if let [problem] = problems[..] {
            return f.write_str(&problem.message);
        }
        write!(f, "{} problems", problems.len())?;
        problems.iter().try_for_each(|problem| write!(f, "\n  - {}", problem.message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_problems_are_told_at_once_and_one_alone_as_a_sentence() {
        let mut found = Findings::default();
        found.warning("a", "a warning");
        assert!(found.is_sound());
        found.problem("b", "the first");
        assert_eq!(found.to_string(), "the first");
        found.problem("c", "the second");
        assert_eq!(found.to_string(), "2 problems\n  - the first\n  - the second");
        assert!(found.soften("b") && !found.soften("b"));
        assert_eq!((found.to_string().as_str(), found.count(Level::Warning)), ("the second", 2));
    }
}

//! Settings as they were given, by option or environment. What can't be read does not end the reading: it is told together
//! with everything else that is wrong.

use std::convert::Infallible;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use common::Findings;

use super::units;

/// A value, or what is wrong with the text that should have been one.
#[derive(Debug, Clone)]
pub struct Given<T> {
    /// If the text can't be read, one that harms nobody who looks on.
    value: T,
    wrong: Option<String>,
}

impl<T: Clone> Given<T> {
    fn read(text: &str, read: Result<T, String>, stand_in: T) -> Result<Given<T>, Infallible> {
        Ok(match read {
            Ok(value) => Given { value, wrong: None },
            Err(reason) => Given { value: stand_in, wrong: Some(format!("{text:?} can't be used: {reason}")) },
        })
    }

    /// The value of an option whose environment variable has its name. If it was wrong, that is noted.
    pub fn take(&self, option: &str, found: &mut Findings) -> T {
        let variable = format!("COPYDESK_{}", option.trim_start_matches('-').replace('-', "_").to_uppercase());
        self.take_named(option, &variable, found)
    }

    /// The same, of one whose variable has another name.
    pub fn take_named(&self, option: &str, variable: &str, found: &mut Findings) -> T {
        if let Some(wrong) = &self.wrong {
            found.problem("wrong_value", format!("{option} (or {variable}) {wrong}"));
        }
        self.value.clone()
    }
}

/// Reads what the parser of a type reads.
pub fn parsed<T: Clone>(
    stand_in: T,
    parse: fn(&str) -> Result<T, String>,
) -> impl Fn(&str) -> Result<Given<T>, Infallible> + Clone {
    move |text| Given::read(text, parse(text), stand_in.clone())
}

/// Reads what the environment says of an option that takes no value.
pub fn flag(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "" | "0" | "false" | "no" | "off" => Ok(false),
        _ => Err("give 1 or 0".to_owned()),
    }
}

/// Reads a whole number within bounds.
pub fn number<T: FromStr + PartialOrd + Display + Clone>(
    bounds: RangeInclusive<T>,
) -> impl Fn(&str) -> Result<Given<T>, Infallible> + Clone {
    move |text| {
        let number = text.parse().ok().filter(|number| bounds.contains(number));
        let allowed = || format!("give a whole number from {} to {}", bounds.start(), bounds.end());
        Given::read(text, number.ok_or_else(allowed), bounds.end().clone())
    }
}

/// Reads a time of at least `min`.
pub fn time(min: Duration) -> impl Fn(&str) -> Result<Given<Duration>, Infallible> + Clone {
    move |text| {
        let time = units::duration(text)
            .and_then(|time| if time < min { Err(format!("give at least {} ms", min.as_millis())) } else { Ok(time) });
        Given::read(text, time, Duration::from_secs(60))
    }
}

/// Reads a size.
pub fn size(text: &str) -> Result<Given<u64>, Infallible> {
    Given::read(text, units::bytes(text), 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take<T: Clone>(given: Result<Given<T>, Infallible>) -> (T, String) {
        let mut found = Findings::default();
        let value = match given {
            Ok(given) => given.take("--some-thing", &mut found),
            Err(never) => match never {},
        };
        (value, if found.is_sound() { String::new() } else { found.to_string() })
    }

    #[test]
    fn a_wrong_value_is_named_with_what_is_allowed() {
        assert_eq!(take(number(1..=7u16)("3")), (3, String::new()));
        for text in ["0", "8", "-1", "x", "", "70000"] {
            let (_, message) = take(number(1..=7u16)(text));
            let expected = format!("--some-thing (or COPYDESK_SOME_THING) {text:?} can't be used");
            assert!(message.starts_with(&expected) && message.ends_with("a whole number from 1 to 7"), "{message}");
        }
        assert_eq!(take(time(Duration::from_secs(1))("2s")), (Duration::from_secs(2), String::new()));
        assert!(take(time(Duration::from_secs(1))("200ms")).1.ends_with("give at least 1000 ms"));
        assert!(take(time(Duration::ZERO)("5")).1.contains("250ms, 2s, 5m or 1h"));
        assert!(take(size("8G")).1.contains("8GiB"));
    }
}

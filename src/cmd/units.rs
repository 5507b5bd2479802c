//! Reads values with units from the command line: times and sizes.

use std::time::Duration;

/// Reads `250ms`, `2s`, `1.5s`, `5m`, `1h`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text)?;
    let seconds = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err("a time is a number with a unit: 250ms, 2s, 5m or 1h".to_owned()),
    };
    Duration::try_from_secs_f64(number * seconds).map_err(|error| error.to_string())
}

/// Reads `0`, `512kB`, `256MB`, `8GiB` as bytes.
pub fn bytes(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text)?;
    let each = match unit {
        "" | "B" => 1.0,
        "kB" => 1e3,
        "MB" => 1e6,
        "GB" => 1e9,
        "TB" => 1e12,
        "KiB" => 1024.0,
        "MiB" => 1024.0 * 1024.0,
        "GiB" => 1024.0 * 1024.0 * 1024.0,
        "TiB" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        _ => return Err("a size is a number of bytes, or one with a unit: 512kB, 256MB or 8GiB".to_owned()),
    };
    let bytes = number * each;
    if bytes < u64::MAX as f64 { Ok(bytes as u64) } else { Err("that many bytes no disk has".to_owned()) }
}

fn split(text: &str) -> Result<(f64, &str), String> {
    let digits = text.find(|c: char| c != '.' && !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number = number.parse().map_err(|_| format!("{number:?} is not a number"))?;
    Ok((number, unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_units() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert!(duration("5").is_err() && duration("s").is_err() && duration("-1s").is_err());
    }

    #[test]
    fn sizes_are_read_with_and_without_units() {
        assert_eq!(bytes("0"), Ok(0));
        assert_eq!(bytes("1.5kB"), Ok(1500));
        assert_eq!(bytes("256MiB"), Ok(256 << 20));
        assert_eq!(bytes("8GiB"), Ok(8 << 30));
        assert!(
            bytes("8G").is_err() && bytes("GiB").is_err() && bytes("-1").is_err() && bytes("9999999999TiB").is_err()
        );
    }
}

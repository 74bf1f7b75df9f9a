//! Python's `strftime` for a moment in UTC, for the codes that chat templates use.

use minijinja::{Error, ErrorKind};

const MONTHS: [&str; 12] =
    ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// Longest format.
const MOST_FORMAT: usize = 1000;

/// Formats `unix_seconds` (UTC, the C locale). Errors: a code that isn't known, a format that is too long.
pub(super) fn format_utc(unix_seconds: i64, format: &str) -> Result<String, Error> {
    if format.len() > MOST_FORMAT {
        let message = format!("strftime_now: a format of {} bytes; expected at most {MOST_FORMAT}", format.len());
        return Err(Error::new(ErrorKind::InvalidOperation, message));
    }
    let (days, seconds) = (unix_seconds.div_euclid(86_400), unix_seconds.rem_euclid(86_400));
    let (year, month, day) = civil_from_days(days);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let weekday = DAYS[(days + 4).rem_euclid(7) as usize];
    let month_name = MONTHS[month as usize - 1];
    let hour12 = (hour + 11) % 12 + 1;
    let mut out = String::new();
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let code = chars.next();
        // `%-d`: without leading zeros.
        let (code, plain) = if code == Some('-') { (chars.next(), true) } else { (code, false) };
        let two = |n: i64| if plain { n.to_string() } else { format!("{n:02}") };
        let text = match code {
            Some('Y') => year.to_string(),
            Some('y') => two(year.rem_euclid(100)),
            Some('m') => two(month),
            Some('d') => two(day),
            Some('e') => format!("{day:2}"),
            Some('H') => two(hour),
            Some('I') => two(hour12),
            Some('M') => two(minute),
            Some('S') => two(second),
            Some('j') => {
                let n = days - days_from_civil(year, 1, 1) + 1;
                if plain { n.to_string() } else { format!("{n:03}") }
            }
            Some('B') => month_name.to_owned(),
            Some('b' | 'h') => month_name[..3].to_owned(),
            Some('A') => weekday.to_owned(),
            Some('a') => weekday[..3].to_owned(),
            Some('p') => if hour < 12 { "AM" } else { "PM" }.to_owned(),
            Some('F') => format!("{year}-{month:02}-{day:02}"),
            Some('T') => format!("{hour:02}:{minute:02}:{second:02}"),
            Some('Z') => "UTC".to_owned(),
            Some('z') => "+0000".to_owned(),
            Some('s') => unix_seconds.to_string(),
            Some('%') => "%".to_owned(),
            other => {
                let code = other.map_or(String::new(), String::from);
                return Err(Error::new(ErrorKind::InvalidOperation, format!("strftime_now: code `%{code}` is not implemented")));
            }
        };
        out.push_str(&text);
    }
    Ok(out)
}

/// Days since 1970-01-01 to (year, month, day) of the Gregorian calendar, counted in 400-year eras that begin in March.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// The inverse of [`civil_from_days`].
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments() {
        // 2024-02-29 13:05:09 UTC, a Thursday.
        let text = |format: &str| format_utc(1_709_211_909, format).expect("known codes");
        assert_eq!(text("%d %b %Y, %A %B %-d %H:%M:%S"), "29 Feb 2024, Thursday February 29 13:05:09");
        assert_eq!(text("%Y-%m-%d %I %p %j %a %y %%"), "2024-02-29 01 PM 060 Thu 24 %");
        assert_eq!(format_utc(0, "%F %T").expect("known codes"), "1970-01-01 00:00:00");
        assert_eq!(format_utc(-1, "%F %T").expect("known codes"), "1969-12-31 23:59:59");
        assert!(format_utc(0, "%Q").is_err());
    }

    #[test]
    fn calendar_round_trip() {
        for days in (-800_000..800_000).step_by(97) {
            let (year, month, day) = civil_from_days(days);
            assert_eq!(days_from_civil(year, month, day), days);
        }
    }
}

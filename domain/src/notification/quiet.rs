//! Quiet hours: whether somebody is to be left alone now, and until when. The time zones are those that the program was
//! built with, so that every machine means the same.

use std::sync::LazyLock;

use event_schema::Timestamp;
use event_schema::notification::QuietHours;
use jiff::civil::Time;
use jiff::tz::{TimeZone, TimeZoneDatabase};

static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// Why quiet hours mean nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// No time of day.
    #[error("a time of day is written HH:MM, such as 22:00")]
    Time,
    /// They begin when they end.
    #[error("quiet hours end at another time than they begin")]
    Empty,
    /// Nobody knows the zone.
    #[error("the time zone must be an IANA name, such as Europe/Berlin")]
    TimeZone,
}

struct Parsed {
    from: Time,
    until: Time,
    zone: TimeZone,
}

/// Whether the hours mean something.
///
/// # Errors
/// What is wrong with them.
pub fn check(hours: &QuietHours) -> Result<(), Invalid> {
    parse(hours).map(drop)
}

/// When the quiet is over, if it is quiet now. Hours that mean nothing are never quiet.
pub fn ends(hours: &QuietHours, now: Timestamp) -> Option<Timestamp> {
    let Parsed { from, until, zone } = parse(hours).ok()?;
    let here = now.to_zoned(zone.clone());
    let (today, time) = (here.date(), here.time());
    let date = if from < until {
        (from <= time && time < until).then_some(today)
    } else if time >= from {
        today.tomorrow().ok()
    } else {
        (time < until).then_some(today)
    }?;
    let end = date.to_datetime(until).to_zoned(zone).ok()?.timestamp();
    (end > now).then_some(end)
}

fn parse(hours: &QuietHours) -> Result<Parsed, Invalid> {
    let from = time(&hours.from)?;
    let until = time(&hours.until)?;
    if from == until {
        return Err(Invalid::Empty);
    }
    let zone = ZONES.get(&hours.time_zone).map_err(|_| Invalid::TimeZone)?;
    Ok(Parsed { from, until, zone })
}

fn time(text: &str) -> Result<Time, Invalid> {
    if text.len() != 5 {
        return Err(Invalid::Time);
    }
    Time::strptime("%H:%M", text).map_err(|_| Invalid::Time)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(from: &str, until: &str, time_zone: &str) -> QuietHours {
        QuietHours {
            from: from.into(),
            until: until.into(),
            time_zone: time_zone.into(),
        }
    }

    fn moment(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_night_runs_over_midnight_in_the_persons_own_time_zone() {
        let night = hours("22:00", "07:00", "Europe/Berlin");
        let morning = Some(moment("2026-06-02T05:00:00Z"));
        assert_eq!(ends(&night, moment("2026-06-01T19:59:59Z")), None);
        assert_eq!(ends(&night, moment("2026-06-01T20:00:00Z")), morning);
        assert_eq!(ends(&night, moment("2026-06-02T04:59:59Z")), morning);
        assert_eq!(ends(&night, moment("2026-06-02T05:00:00Z")), None);
    }

    #[test]
    fn the_night_of_a_clock_change_ends_at_its_own_hour() {
        let night = hours("22:00", "07:00", "Europe/Berlin");
        let before = moment("2026-10-24T22:00:00Z");
        assert_eq!(ends(&night, before), Some(moment("2026-10-25T06:00:00Z")));
        // The hour that the clock skips in spring.
        let skipped = hours("01:00", "02:30", "Europe/Berlin");
        let before = moment("2026-03-29T00:30:00Z");
        assert_eq!(ends(&skipped, before), Some(moment("2026-03-29T01:30:00Z")));
    }

    #[test]
    fn a_nap_is_within_one_day() {
        let nap = hours("13:00", "14:00", "UTC");
        assert_eq!(ends(&nap, moment("2026-06-01T12:59:00Z")), None);
        let end = Some(moment("2026-06-01T14:00:00Z"));
        assert_eq!(ends(&nap, moment("2026-06-01T13:30:00Z")), end);
    }

    #[test]
    fn hours_that_mean_nothing_are_named() {
        assert_eq!(check(&hours("22:00", "07:00", "Europe/Berlin")), Ok(()));
        for time in ["24:00", "7:00", "07:60", "", "07:00:00", "+7:00"] {
            assert_eq!(
                check(&hours(time, "08:00", "UTC")),
                Err(Invalid::Time),
                "{time}"
            );
        }
        assert_eq!(check(&hours("07:00", "07:00", "UTC")), Err(Invalid::Empty));
        let nowhere = hours("22:00", "07:00", "Europe/Nowhere");
        assert_eq!(check(&nowhere), Err(Invalid::TimeZone));
    }
}

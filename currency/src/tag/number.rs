//! Numbers in tags, and what kind of number each is.

use std::cmp::Ordering;

use jiff::civil::Date;

/// A number, as it is written; `04` and `4` are equal.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Number {
    pub(crate) value: u64,
    pub(crate) digits: usize,
}

/// Kinds of number that are never compared with each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Magnitude {
    /// A part of a version, a counter.
    Count,
    /// `20240131`, with or without a time of day behind it.
    Date,
    /// Seconds since 1970, run numbers of build systems.
    Stamp,
}

impl Number {
    /// The number these digits write; none where it is too great to be one.
    pub(super) fn read(digits: &str) -> Option<Self> {
        Some(Self { value: digits.parse().ok()?, digits: digits.len() })
    }

    pub(crate) fn magnitude(self) -> Magnitude {
        match self.digits {
            8 if is_date(self.value) => Magnitude::Date,
            10 if is_date(self.value / 100) => Magnitude::Date,
            12 if is_date(self.value / 10_000) => Magnitude::Date,
            14 if is_date(self.value / 1_000_000) => Magnitude::Date,
            0..=9 => Magnitude::Count,
            _ => Magnitude::Stamp,
        }
    }

    /// Whether it is a year of our age, as calendar versions begin.
    pub(crate) fn is_year(self) -> bool {
        self.digits == 4 && (1990..2100).contains(&self.value)
    }
}

fn is_date(value: u64) -> bool {
    let part = |divisor: u64, modulus: u64| i8::try_from(value / divisor % modulus).ok();
    let year = i16::try_from(value / 10_000).ok().filter(|year| (1990..2100).contains(year));
    match (year, part(100, 100), part(1, 100)) {
        (Some(year), Some(month), Some(day)) => Date::new(year, month, day).is_ok(),
        _ => false,
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl Eq for Number {}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        self.value.cmp(&other.value)
    }
}

//! What a stage's slot can hold: five words, so that "absent" and "failed" can never be confused.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What one stage has to say about one item.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Outcome<T> {
    /// The stage asked and got an answer that says something.
    Found(T),
    /// Every place was asked, every place answered, and nothing is there.
    Absent,
    /// The stage could not find out, and why.
    Failed(Failure),
    /// The stage did not ask, on purpose, and why.
    Skipped(String),
    /// The run ended before the stage could ask.
    #[default]
    NotReached,
}

impl<T> Outcome<T> {
    /// What was found, if anything was.
    pub fn found(&self) -> Option<&T> {
        match self {
            Self::Found(found) => Some(found),
            _ => None,
        }
    }

    /// Why the stage could not find out, if it could not.
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Failed(failure) => Some(failure),
            _ => None,
        }
    }

    /// The same outcome of a stage that finds something else. What was found is nothing to it.
    pub fn without_finding<U>(self) -> Outcome<U> {
        match self {
            Self::Found(_) | Self::Absent => Outcome::Absent,
            Self::Failed(failure) => Outcome::Failed(failure),
            Self::Skipped(why) => Outcome::Skipped(why),
            Self::NotReached => Outcome::NotReached,
        }
    }

    /// The outcome's word, as reports and metrics write it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Found(_) => "found",
            Self::Absent => "absent",
            Self::Failed(_) => "failed",
            Self::Skipped(_) => "skipped",
            Self::NotReached => "notReached",
        }
    }
}

/// Why a stage could not find out: a closed kind for labels, and a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The kind, from a closed list.
    pub kind: FailureKind,
    /// One line that names the input.
    pub message: String,
}

impl Failure {
    /// A failure of this kind, told in this sentence.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

/// The closed list of reasons for which an answer was not had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum FailureKind {
    /// No complete answer came in time.
    Timeout,
    /// The connection was refused, reset or cut, or the name did not resolve.
    Connection,
    /// The other side wants credentials that we lack, or refuses ours (HTTP 401).
    Unauthorized,
    /// The other side knows us and says no (HTTP 403).
    Forbidden,
    /// The other side asks us to slow down (HTTP 429), for longer than we wait.
    RateLimited,
    /// The other side failed (HTTP 5xx).
    ServerError,
    /// A status that the protocol has no meaning for in this place.
    UnexpectedStatus,
    /// An answer that is not in the form its protocol asks for.
    Malformed,
    /// An answer beyond our byte or page cap.
    TooLarge,
    /// Content that does not have the digest it was asked by.
    DigestMismatch,
    /// A redirect that is not followed: a loop, too many, or to a less safe scheme.
    Redirect,
    /// A name that is no image reference.
    InvalidReference,
    /// A host that was given up for now, after too many failures in a row.
    HostDown,
    /// The run's budget for the host is used up: the next run asks.
    Deferred,
    /// A stage panicked: a defect of ours.
    Panicked,
}

impl FailureKind {
    /// The kind's word, as reports and metrics write it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Connection => "connection",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::RateLimited => "rateLimited",
            Self::ServerError => "serverError",
            Self::UnexpectedStatus => "unexpectedStatus",
            Self::Malformed => "malformed",
            Self::TooLarge => "tooLarge",
            Self::DigestMismatch => "digestMismatch",
            Self::Redirect => "redirect",
            Self::InvalidReference => "invalidReference",
            Self::HostDown => "hostDown",
            Self::Deferred => "deferred",
            Self::Panicked => "panicked",
        }
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

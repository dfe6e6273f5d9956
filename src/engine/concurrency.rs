//! How many parts are sent or received at once: found, not configured. Pure.
//!
//! **In**: a [`Reading`] several times a second: what has moved, whether all workers were at work, how long a question to the cloud takes,
//! and what the other side could not take. **Out**: how many workers there are to be, and what limits the speed.
//!
//! One connection carries a window a round trip, so a long link needs many, and a short one none beyond those that keep
//! the processor busy. The search begins with a number that the round trip suggests, doubles it while that pays, goes back one
//! step when it does not, and looks again after a while, or when the speed has changed by itself. When the other side asks for fewer
//! requests, or many connections break, the number is halved. A search is judged only while all workers have work: what comes slowly
//! from a watched folder says nothing about the link.
//!
//! Must never know: clocks, sockets, files.

use std::fmt;
use std::time::Duration;

/// On links with a shorter round trip nothing is gained by waiting side by side.
const NEAR: Duration = Duration::from_millis(5);
/// Where the search begins: once more the usual number for so much of a round trip,
const STRETCH: Duration = Duration::from_millis(25);
/// but not with more workers than this.
const FIRST_GUESS: usize = 32;
/// A number of workers is judged after so many round trips,
const TRIPS: u32 = 4;
/// but not before, nor after, so long.
const SHORTEST_LOOK: Duration = Duration::from_millis(400);
const LONGEST_LOOK: Duration = Duration::from_secs(3);
/// More workers pay if they bring this share of what they would bring if only their number counted.
const WORTH_IT: f64 = 0.3;
/// The share of the looks at which all workers must have been at work.
const BUSY: f64 = 0.6;
/// A part counts as so many bytes beyond its own: what a small file costs is not its bytes.
const PART: f64 = 16_384.0;
/// How long what was found is kept before it is looked for again, at first and at most.
const FIRST_REST: Duration = Duration::from_secs(15);
const LONGEST_REST: Duration = Duration::from_secs(240);
/// How long nothing is tried after the number was halved.
const CAUTION: Duration = Duration::from_secs(10);
/// What goes wrong for so long after that may be because of the number before.
const MEMORY: Duration = Duration::from_secs(2);
/// Lost connections, in that time, that are no accident; and more of them where there are many.
const LOSSES: u64 = 3;

/// How many workers there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workers {
    /// As many as pay.
    Auto,
    /// So many, and fewer only while the other side cannot take them.
    Fixed(usize),
}

impl Workers {
    /// With how many the search begins on a short link. Eight at least: as many are hashed for little more than the price of two.
    #[must_use]
    pub fn usual(self) -> usize {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        match self {
            Self::Auto => (2 * cores).clamp(8, 16),
            Self::Fixed(workers) => workers.max(1),
        }
    }

    /// The most that there may be.
    #[must_use]
    pub fn most(self) -> usize {
        match self {
            Self::Auto => 64,
            Self::Fixed(workers) => workers.max(1),
        }
    }

    /// From a number as it is kept; 0 leaves it to the search.
    #[must_use]
    pub fn from_kept(workers: usize) -> Self {
        if workers == 0 { Self::Auto } else { Self::Fixed(workers) }
    }

    /// As it is kept.
    #[must_use]
    pub fn kept(self) -> usize {
        match self {
            Self::Auto => 0,
            Self::Fixed(workers) => workers,
        }
    }
}

impl fmt::Display for Workers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => formatter.write_str("auto"),
            Self::Fixed(workers) => workers.fmt(formatter),
        }
    }
}

/// What is known at a moment; the counters only go up.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Reading {
    /// By any steady clock.
    pub(crate) now: Duration,
    /// Bytes that have moved.
    pub(crate) bytes: u64,
    /// Parts that were begun.
    pub(crate) parts: u64,
    /// Whether all workers are at work and somebody waits for one.
    pub(crate) busy: bool,
    /// The shortest time that a question took lately.
    pub(crate) round_trip: Option<Duration>,
    /// How often the other side asked for fewer requests.
    pub(crate) throttled: u64,
    /// How often a connection broke.
    pub(crate) lost: u64,
}

/// What limits the speed, as far as one can tell from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LimitedBy {
    /// Nothing is to be done, or not enough for all workers.
    Work,
    /// More workers are being tried.
    Search,
    /// More workers would bring nothing: the link, a disk or a processor is used up.
    Capacity,
    /// The number of workers that was set, or the most that there may be.
    Workers,
    /// The other side, which asked for fewer requests.
    Throttling,
    /// Connections break.
    Losses,
}

impl LimitedBy {
    /// Every value.
    pub const ALL: [Self; 6] =
        [Self::Work, Self::Search, Self::Capacity, Self::Workers, Self::Throttling, Self::Losses];

    /// Its stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Work => "work",
            Self::Search => "search",
            Self::Capacity => "capacity",
            Self::Workers => "workers",
            Self::Throttling => "throttling",
            Self::Losses => "losses",
        }
    }
}

/// A number of workers and what they brought.
#[derive(Debug, Clone, Copy)]
struct Found {
    width: usize,
    /// Work a second.
    rate: f64,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    /// Judges the present number, and compares it with the one before.
    Look { before: Option<Found> },
    /// Keeps what was found until then.
    Rest { found: Option<Found>, until: Duration },
}

/// The search of one direction.
#[derive(Debug)]
pub(crate) struct Controller {
    workers: Workers,
    width: usize,
    phase: Phase,
    /// Where the present look began; nothing is counted before it.
    start: Reading,
    looks: u32,
    busy: u32,
    last: Reading,
    rest: Duration,
    guessed: bool,
    halved: Option<Duration>,
    /// Since when connections that break are counted, and how many had before.
    losses: (Duration, u64),
    limited_by: LimitedBy,
    goodput: f64,
}

impl Controller {
    pub(crate) fn new(workers: Workers) -> Self {
        Self {
            workers,
            width: workers.usual(),
            phase: Phase::Look { before: None },
            start: Reading::default(),
            looks: 0,
            busy: 0,
            last: Reading::default(),
            rest: FIRST_REST,
            guessed: false,
            halved: None,
            losses: (Duration::ZERO, 0),
            limited_by: LimitedBy::Work,
            goodput: 0.0,
        }
    }

    /// How many workers there are to be.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    pub(crate) fn limited_by(&self) -> LimitedBy {
        self.limited_by
    }

    /// Bytes a second while all workers were at work lately; 0 before that is known.
    pub(crate) fn goodput(&self) -> u64 {
        self.goodput as u64
    }

    /// Searches within other bounds from now on.
    pub(crate) fn set_workers(&mut self, workers: Workers) {
        if workers != self.workers {
            *self = Self { goodput: self.goodput, start: self.last, last: self.last, ..Self::new(workers) };
            self.guess();
        }
    }

    /// Takes a reading.
    pub(crate) fn read(&mut self, reading: Reading) {
        let before = std::mem::replace(&mut self.last, reading);
        if reading.throttled > before.throttled {
            return self.halve(LimitedBy::Throttling);
        }
        if reading.now >= self.losses.0 + MEMORY {
            self.losses = (reading.now, before.lost);
        }
        if reading.lost.saturating_sub(self.losses.1) >= LOSSES.max(self.width as u64 / 4) {
            self.losses = (reading.now, reading.lost);
            return self.halve(LimitedBy::Losses);
        }
        self.guess();
        // Connections that are new have to be made, and to speed up, before they are judged.
        let Some(elapsed) = reading.now.checked_sub(self.start.now).filter(|elapsed| !elapsed.is_zero()) else {
            self.start = Reading { now: self.start.now, ..reading };
            return;
        };
        self.looks += 1;
        self.busy += u32::from(reading.busy);
        let trip = reading.round_trip.unwrap_or_default();
        if elapsed < trip.saturating_mul(TRIPS).clamp(SHORTEST_LOOK, LONGEST_LOOK) {
            return;
        }
        if f64::from(self.busy) < BUSY * f64::from(self.looks) {
            self.limited_by = LimitedBy::Work;
            return self.look_anew(Duration::ZERO);
        }
        let seconds = elapsed.as_secs_f64();
        let bytes = reading.bytes.saturating_sub(self.start.bytes) as f64;
        let parts = reading.parts.saturating_sub(self.start.parts) as f64;
        self.goodput = bytes / seconds;
        self.judge(Found { width: self.width, rate: (bytes + parts * PART) / seconds });
    }

    /// Once the round trip is known, it says where to begin.
    fn guess(&mut self) {
        let Some(trip) = self.last.round_trip.filter(|_| !self.guessed) else { return };
        self.guessed = true;
        let usual = self.workers.usual();
        let stretched = usual as f64 * (1.0 + trip.as_secs_f64() / STRETCH.as_secs_f64());
        if trip >= NEAR {
            self.go_to((stretched as usize).clamp(usual, FIRST_GUESS.max(usual)));
        }
    }

    fn judge(&mut self, now: Found) {
        let far = self.last.round_trip.is_some_and(|trip| trip >= NEAR);
        let usual = self.workers.usual();
        match self.phase {
            // Back to the usual number, which needs no proof.
            Phase::Look { before: None } if now.width < usual => self.go_to((now.width * 2).min(usual)),
            Phase::Rest { until, .. } if self.last.now >= until && now.width < usual => {
                self.phase = Phase::Look { before: None };
                self.go_to((now.width * 2).min(usual));
            }
            Phase::Look { before: None } if far => self.climb(now, 2.0),
            Phase::Look { before: None } => self.rest_at(now),
            Phase::Look { before: Some(before) } => {
                let ideal = now.width as f64 / before.width as f64 - 1.0;
                if now.rate >= before.rate * (1.0 + WORTH_IT * ideal) {
                    self.rest = FIRST_REST;
                    self.climb(now, 2.0);
                } else {
                    self.rest = self.rest.saturating_mul(2).min(LONGEST_REST);
                    self.width = before.width;
                    self.rest_at(before);
                }
            }
            Phase::Rest { until, .. } if self.last.now >= until && far => self.climb(now, 1.5),
            Phase::Rest { until, .. } if self.last.now >= until => self.rest_at(now),
            Phase::Rest { found: Some(found), .. } if !(0.5..1.5).contains(&(now.rate / found.rate.max(1.0))) => {
                // The link is another one: what was found on the old one counts for nothing.
                self.rest = FIRST_REST;
                self.phase = Phase::Look { before: None };
                self.look_anew(Duration::ZERO);
            }
            Phase::Rest { .. } => self.look_anew(Duration::ZERO),
        }
    }

    /// Tries more, if there may be more.
    fn climb(&mut self, now: Found, factor: f64) {
        let more = ((now.width as f64 * factor).ceil() as usize).min(self.workers.most());
        if more <= now.width {
            self.rest_at(now);
            self.limited_by = LimitedBy::Workers;
            return;
        }
        self.phase = Phase::Look { before: Some(now) };
        self.limited_by = LimitedBy::Search;
        self.go_to(more);
    }

    fn rest_at(&mut self, found: Found) {
        self.phase = Phase::Rest { found: Some(found), until: self.last.now + self.rest };
        let fixed = self.workers != Workers::Auto;
        self.limited_by = if fixed { LimitedBy::Workers } else { LimitedBy::Capacity };
        self.look_anew(Duration::ZERO);
    }

    fn go_to(&mut self, width: usize) {
        self.width = width.clamp(1, self.workers.most());
        let trip = self.last.round_trip.unwrap_or_default();
        self.look_anew(trip.saturating_mul(2).min(LONGEST_LOOK));
    }

    /// The number is halved: once for all that goes wrong because of the number before. Connections that break are no reason to have
    /// fewer than usual: an outage breaks them all.
    fn halve(&mut self, because: LimitedBy) {
        if self.halved.is_none_or(|halved| self.last.now >= halved + MEMORY) {
            self.halved = Some(self.last.now);
            let fewest = if because == LimitedBy::Losses { self.width.min(self.workers.usual()) } else { 1 };
            self.width = (self.width / 2).max(fewest);
        }
        self.limited_by = because;
        self.phase = Phase::Rest { found: None, until: self.last.now + CAUTION };
        self.look_anew(Duration::ZERO);
    }

    fn look_anew(&mut self, after: Duration) {
        self.start = Reading { now: self.last.now + after, ..self.last };
        (self.looks, self.busy) = (0, 0);
    }
}

#[cfg(test)]
mod tests;

//! The runner: a line of stages, each with its pool, joined by bounded channels.
//!
//! Items go in at one end and come out at the other, each exactly once. When the order to stop comes, items
//! that are being worked on have a grace; all others pass through the remaining stages untouched, so that
//! their slots still say "not reached".

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::Instrument;

use crate::crew::Crew;
use crate::lanes::{Admission, Item, LaneLimit, Parcel, waiting_room};
use crate::ledger::Admitted;
use crate::stage::{AnyStage, Knobs, Stage};
use crate::watch::{StageCount, StageCounts, Stop};

/// What one stage of a line is called and how it is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StageInfo {
    /// The stage's name.
    pub name: &'static str,
    /// Its knobs.
    pub knobs: Knobs,
}

struct Post<I> {
    stage: Arc<dyn AnyStage<I>>,
    knobs: Knobs,
    counts: Arc<StageCounts>,
}

impl<I> Clone for Post<I> {
    fn clone(&self) -> Self {
        Self { stage: Arc::clone(&self.stage), knobs: self.knobs, counts: Arc::clone(&self.counts) }
    }
}

/// A line of stages, in order.
pub struct Line<I> {
    posts: Vec<Post<I>>,
    lanes: LaneLimit,
    admission: Option<Arc<dyn Admission<I>>>,
}

impl<I: Item> Line<I> {
    /// A line with no stages yet.
    pub fn new(lanes: LaneLimit) -> Self {
        Self { posts: Vec::new(), lanes, admission: None }
    }

    /// Lets someone decide which items are worked on.
    #[must_use]
    pub fn admission(mut self, admission: Arc<dyn Admission<I>>) -> Self {
        self.admission = Some(admission);
        self
    }

    /// Adds a stage at the end.
    #[must_use]
    pub fn stage(mut self, stage: impl Stage<I>, knobs: Knobs) -> Self {
        let knobs = Knobs { workers: knobs.workers.max(1), queue: knobs.queue.max(1), ..knobs };
        self.posts.push(Post { stage: Arc::new(stage), knobs, counts: Arc::default() });
        self
    }

    /// The stages, in order.
    pub fn stages(&self) -> Vec<StageInfo> {
        self.posts.iter().map(|post| StageInfo { name: post.stage.name(), knobs: post.knobs }).collect()
    }

    /// The running counts of every stage.
    pub fn counts(&self) -> impl Fn() -> Vec<StageCount> + Send + Sync + use<I> {
        let posts = self.posts.clone();
        move || posts.iter().map(|post| post.counts.read(post.stage.name())).collect()
    }

    /// Starts every pool as tasks of `crew`. Closing [`Running::input`] ends the line; [`Running::output`]
    /// closes when the last item is out.
    pub fn start(self, crew: &mut Crew, stop: &Stop) -> Running<I> {
        let queue = self.posts.first().map_or(1, |post| post.knobs.queue);
        let (input, room) = mpsc::channel(queue);
        let (admit, mut next) = mpsc::channel(queue);
        let smallest_pool = self.posts.iter().map(|post| post.knobs.workers).min().unwrap_or(1);
        let first = self.posts.first().map(|post| Arc::clone(&post.counts)).unwrap_or_default();
        let room = waiting_room(room, admit, self.lanes, smallest_pool, self.admission, first, stop.clone());
        crew.spawn("waiting room", room);
        for (index, post) in self.posts.iter().enumerate() {
            let queue = self.posts.get(index + 1).map_or(post.knobs.queue, |next| next.knobs.queue);
            let (output, follow) = mpsc::channel(queue);
            let following = self.posts.get(index + 1).map(|next| Arc::clone(&next.counts));
            let output = Output { parcels: output, following };
            crew.spawn(post.stage.name(), pool(post.clone(), next, output, stop.clone()));
            next = follow;
        }
        Running { input, output: Out { parcels: next } }
    }
}

/// A started line.
#[derive(Debug)]
pub struct Running<I> {
    /// Where items go in.
    pub input: mpsc::Sender<Admitted<I>>,
    /// Where they come out.
    pub output: Out<I>,
}

/// The end of a line.
#[derive(Debug)]
pub struct Out<I> {
    parcels: mpsc::Receiver<Parcel<I>>,
}

impl<I> Out<I> {
    /// The next item that is through, or none when all are.
    pub async fn recv(&mut self) -> Option<Admitted<I>> {
        self.parcels.recv().await.map(|Parcel { ticket, item, .. }| Admitted { ticket, item })
    }
}

/// Where a stage's parcels go, and who counts them there.
struct Output<I> {
    parcels: mpsc::Sender<Parcel<I>>,
    following: Option<Arc<StageCounts>>,
}

impl<I> Clone for Output<I> {
    fn clone(&self) -> Self {
        Self { parcels: self.parcels.clone(), following: self.following.clone() }
    }
}

/// One stage's pool: takes parcels while it has a free worker, one task each.
async fn pool<I: Item>(post: Post<I>, mut input: mpsc::Receiver<Parcel<I>>, output: Output<I>, stop: Stop) {
    let mut workers = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            Some(joined) = workers.join_next() => report(post.stage.name(), joined),
            parcel = input.recv(), if workers.len() < post.knobs.workers => {
                let Some(parcel) = parcel else { break };
                post.counts.queued.fetch_sub(1, Ordering::Relaxed);
                workers.spawn(work(post.clone(), parcel, output.clone(), stop.clone()));
            }
        }
    }
    while let Some(joined) = workers.join_next().await {
        report(post.stage.name(), joined);
    }
}

/// A worker can only fail by a panic outside the question itself; the ledger then reports its item.
fn report(stage: &'static str, joined: Result<(), tokio::task::JoinError>) {
    if let Err(error) = joined {
        tracing::error!(stage, %error, "a worker was lost; its item is reported as not reached");
    }
}

async fn work<I: Item>(post: Post<I>, mut parcel: Parcel<I>, output: Output<I>, stop: Stop) {
    if parcel.is_admitted && !stop.is_ordered() {
        let began = Instant::now();
        let waited = began - parcel.queued_at;
        post.counts.enter(waited);
        let span = tracing::info_span!(
            parent: &parcel.span,
            "stage",
            otel.name = post.stage.name(),
            stage = post.stage.name(),
            queue_seconds = waited.as_secs_f64(),
            "error.type" = tracing::field::Empty,
        );
        let run = post.stage.run(&mut parcel.item, post.knobs.timeout, &stop);
        let failed = run.instrument(span.clone()).await;
        if let Some(kind) = failed {
            span.record("error.type", kind.word());
        }
        post.counts.leave(failed.is_some(), began.elapsed());
    }
    let done = Instant::now();
    parcel.queued_at = done;
    if let Some(following) = &output.following {
        following.queued.fetch_add(1, Ordering::Relaxed);
    }
    let sent = output.parcels.send(parcel).await;
    post.counts.block(done.elapsed());
    if sent.is_err() {
        tracing::error!(
            stage = post.stage.name(),
            "the line was closed from its end; its ledger reports the item"
        );
    }
}

//! What the gate lets pass, and when.

use super::*;

fn gate(change: impl FnOnce(&mut GateLimits)) -> Gate {
    let mut limits = GateLimits { requests_per_second: None, ..GateLimits::default() };
    change(&mut limits);
    Gate::new("registry.example".into(), limits)
}

#[tokio::test(start_paused = true)]
async fn no_more_are_in_flight_than_the_gate_has_places() {
    let gate = Arc::new(gate(|limits| limits.concurrency = 4));
    let first = gate.enter(false).await.unwrap();
    let _second = gate.enter(false).await.unwrap();
    assert_eq!(gate.view().in_flight, 2);
    let third = tokio::spawn({
        let gate = Arc::clone(&gate);
        async move { gate.enter(false).await.map(drop) }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(gate.view().waiting, 1);
    assert!(!third.is_finished());
    drop(first);
    third.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_throttled_host_is_left_alone_until_its_time_is_over() {
    let gate = gate(|_| {});
    gate.note(Ended::Throttled { wait: Some(Duration::from_secs(7)) });
    let began = Instant::now();
    drop(gate.enter(false).await.unwrap());
    assert!(began.elapsed() >= Duration::from_secs(7));
}

#[tokio::test(start_paused = true)]
async fn a_host_that_wants_more_patience_than_we_have_is_answered_at_once() {
    let gate = gate(|limits| limits.patience = Duration::from_mins(1));
    gate.note(Ended::Throttled { wait: Some(Duration::from_hours(1)) });
    let began = Instant::now();
    let failure = gate.enter(false).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::RateLimited);
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert!(failure.message.contains("registry.example asks us to wait 3600s"), "{failure}");
}

#[tokio::test(start_paused = true)]
async fn a_host_that_throttles_for_ever_is_given_up_when_patience_ends() {
    let gate = gate(|limits| limits.patience = Duration::from_secs(10));
    let began = Instant::now();
    let failure = loop {
        match gate.enter(false).await {
            Ok(_place) => gate.note(Ended::Throttled { wait: Some(Duration::from_secs(3)) }),
            Err(failure) => break failure,
        }
    };
    assert_eq!(failure.kind, FailureKind::RateLimited);
    assert!(began.elapsed() <= Duration::from_secs(10), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_host_that_does_not_say_for_how_long_is_left_alone_for_longer_each_time() {
    let gate = gate(|limits| limits.patience = Duration::from_mins(10));
    let mut waits = Vec::new();
    for _ in 0..7 {
        drop(gate.enter(false).await.unwrap());
        gate.note(Ended::Throttled { wait: None });
        gate.note(Ended::Throttled { wait: None });
        let before = Instant::now();
        drop(gate.enter(false).await.unwrap());
        waits.push(before.elapsed().as_secs());
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
}

#[tokio::test(start_paused = true)]
async fn a_dead_host_is_given_up_and_tried_again_after_the_pause() {
    let gate = gate(|_| {});
    for _ in 0..5 {
        drop(gate.enter(false).await.unwrap());
        gate.note(Ended::GivenUp { server_failed: false, why: "connection refused" });
    }
    let failure = gate.enter(false).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::HostDown);
    assert!(failure.message.contains("5 requests in a row got no answer"), "{failure}");
    tokio::time::sleep(Duration::from_secs(31)).await;
    drop(gate.enter(false).await.unwrap());
    gate.note(Ended::GivenUp { server_failed: false, why: "connection refused" });
    assert_eq!(gate.enter(false).await.unwrap_err().kind, FailureKind::HostDown, "one more is enough");
    tokio::time::sleep(Duration::from_secs(31)).await;
    drop(gate.enter(false).await.unwrap());
    gate.note(Ended::Answered { bytes: 1, took: Duration::ZERO });
    for _ in 0..4 {
        drop(gate.enter(false).await.unwrap());
        gate.note(Ended::GivenUp { server_failed: false, why: "connection refused" });
    }
    assert!(gate.enter(false).await.is_ok(), "a success starts the count anew");
}

#[tokio::test(start_paused = true)]
async fn a_budget_that_is_used_up_defers_what_is_left() {
    let gate = gate(|limits| limits.budget = Some(2));
    for _ in 0..2 {
        drop(gate.enter(false).await.unwrap());
    }
    let failure = gate.enter(false).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Deferred);
    assert_eq!(
        failure.message,
        "deferred to the next run: the budget of 2 requests to registry.example is used up"
    );
    let told = gate.tally();
    assert_eq!((told.requests, told.budget, told.deferred), (2, Some(2), Some(1)));
}

#[tokio::test(start_paused = true)]
async fn an_allowance_that_is_used_up_is_waited_for_or_told() {
    let left = |remaining, seconds| Allowance { remaining, renewed_in: Some(Duration::from_secs(seconds)) };
    let gate = gate(|limits| limits.patience = Duration::from_mins(1));
    gate.note_allowance(left(1, 3600));
    drop(gate.enter(false).await.unwrap());
    gate.note_allowance(left(0, 20));
    let began = Instant::now();
    drop(gate.enter(false).await.unwrap());
    assert!(began.elapsed() >= Duration::from_secs(20));
    gate.note_allowance(left(0, 3600));
    let failure = gate.enter(false).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::RateLimited);
    assert!(failure.message.contains("0 requests are left to us for 3600s"), "{failure}");
}

#[tokio::test(start_paused = true)]
async fn pulls_that_are_left_to_the_nodes_stop_pulls_only() {
    let gate = gate(|limits| {
        limits.counts = Counted::Pulls;
        limits.reserve = 10;
    });
    gate.note_allowance(Allowance { remaining: 10, renewed_in: Some(Duration::from_hours(6)) });
    assert!(gate.enter(false).await.is_ok());
    let failure = gate.enter(true).await.unwrap_err();
    assert!(
        failure.message.contains("10 requests are left to us for 21600s, which are left to others"),
        "{failure}"
    );
}

//! Orders arrive when it is their time, whether or not those before were answered.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until};

use super::attempt;
use super::board::Board;
use super::profile::Profile;
use super::target::Target;

/// Orders that wait for their answers at one moment. Those that arrive on top are not sent, and counted.
const WAITING_MAX: usize = 4_096;

/// Sends all of them and waits until each has ended.
pub async fn run(target: &Arc<Target>, profile: &Profile, board: Board) -> anyhow::Result<Board> {
    let board = Arc::new(Mutex::new(board));
    let places = Arc::new(Semaphore::new(WAITING_MAX));
    let begun = Instant::now();
    for (number, at) in profile.arrivals().enumerate() {
        sleep_until(begun + at).await;
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            lock(&board).held_back(at);
            continue;
        };
        let (target, board) = (Arc::clone(target), Arc::clone(&board));
        tokio::spawn(async move {
            let attempt = attempt::send(&target, number).await;
            // From the moment at which it should have been sent: a sender that is late hides nothing.
            lock(&board).ended(at, (begun + at).elapsed(), attempt);
            drop(board);
            drop(place);
        });
    }
    // Each ends within the client's own limit.
    let all = u32::try_from(WAITING_MAX)?;
    let _nobody_waits = places.acquire_many(all).await?;
    let board = Arc::into_inner(board).ok_or_else(|| anyhow::anyhow!("an order has not ended"))?;
    Ok(board.into_inner().unwrap_or_else(PoisonError::into_inner))
}

fn lock(board: &Mutex<Board>) -> std::sync::MutexGuard<'_, Board> {
    board.lock().unwrap_or_else(PoisonError::into_inner)
}

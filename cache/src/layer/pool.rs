//! A few threads that work off jobs while the caller prepares more.
//!
//! Creating a file costs the kernel some 50 microseconds; reading the tar that it comes from costs less than
//! one. So the reader runs ahead of two or more threads that create files.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::processors::processors;

/// More threads would only wait for the same directory locks.
const THREADS_MAX: usize = 4;
/// Jobs handed over at once: waking a thread costs as much as a small job.
const BATCH_JOBS: usize = 16;
/// Bytes that may wait in all jobs together.
const WEIGHT_BYTES_MAX: usize = 8 << 20;
/// A batch this heavy is handed over at once.
const BATCH_WEIGHT_BYTES: usize = 512 << 10;
/// What the smallest job counts: it keeps a directory open, and a process may have few descriptors.
const JOB_WEIGHT_BYTES_MIN: usize = 32 << 10;

/// Threads that do jobs in any order.
pub(crate) struct Pool<'a, J, E> {
    shared: &'a Shared<J, E>,
    batch: Vec<J>,
    batch_weight: usize,
}

struct Shared<J, E> {
    state: Mutex<State<J, E>>,
    /// Signalled when there is work, or none to come.
    work: Condvar,
    /// Signalled when a batch was finished.
    progress: Condvar,
}

struct State<J, E> {
    batches: VecDeque<(Vec<J>, usize)>,
    weight: usize,
    running: usize,
    error: Option<E>,
    is_closed: bool,
}

/// A job failed; [`with`] returns the error of the first one.
#[derive(Debug)]
pub(crate) struct Stopped;

/// Runs `feed` with a pool whose threads call `work` for each job. Returns when all jobs are done. The first
/// error of a job wins over what `feed` returned, since that is then a consequence.
pub(crate) fn with<J: Send, E: Send, T>(
    work: impl Fn(J) -> Result<(), E> + Sync,
    feed: impl FnOnce(&mut Pool<'_, J, E>) -> T,
) -> Result<T, E> {
    let shared = Shared {
        state: Mutex::new(State {
            batches: VecDeque::new(),
            weight: 0,
            running: 0,
            error: None,
            is_closed: false,
        }),
        work: Condvar::new(),
        progress: Condvar::new(),
    };
    let threads = processors().min(THREADS_MAX);
    let fed = std::thread::scope(|scope| {
        // Also when `feed` panics: the threads must end, or the scope would wait for them for ever.
        let _closing = Closing(&shared);
        for _ in 0..threads {
            scope.spawn(|| shared.run(&work));
        }
        let mut pool = Pool { shared: &shared, batch: Vec::new(), batch_weight: 0 };
        let fed = feed(&mut pool);
        // An error that stops the threads is returned below.
        let _ = pool.barrier();
        fed
    });
    match shared.lock().error.take() {
        Some(error) => Err(error),
        None => Ok(fed),
    }
}

struct Closing<'a, J, E>(&'a Shared<J, E>);

impl<J, E> Drop for Closing<'_, J, E> {
    fn drop(&mut self) {
        self.0.lock().is_closed = true;
        self.0.work.notify_all();
    }
}

impl<J, E> Pool<'_, J, E> {
    /// Hands over a job that keeps `weight` bytes in memory. Waits while too many bytes wait already.
    pub(crate) fn submit(&mut self, job: J, weight: usize) -> Result<(), Stopped> {
        self.batch.push(job);
        self.batch_weight += weight.max(JOB_WEIGHT_BYTES_MIN);
        match self.batch.len() >= BATCH_JOBS || self.batch_weight >= BATCH_WEIGHT_BYTES {
            true => self.hand_over(),
            false => Ok(()),
        }
    }

    /// Waits until all jobs handed over so far are done.
    pub(crate) fn barrier(&mut self) -> Result<(), Stopped> {
        self.hand_over()?;
        let mut state = self.shared.lock();
        while (state.running > 0 || !state.batches.is_empty()) && state.error.is_none() {
            state = self.shared.progress.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.check()
    }

    fn hand_over(&mut self) -> Result<(), Stopped> {
        if self.batch.is_empty() {
            return self.shared.lock().check();
        }
        let batch = std::mem::replace(&mut self.batch, Vec::with_capacity(BATCH_JOBS));
        let weight = std::mem::take(&mut self.batch_weight);
        let mut state = self.shared.lock();
        while state.weight > 0 && state.weight + weight > WEIGHT_BYTES_MAX && state.error.is_none() {
            state = self.shared.progress.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.check()?;
        state.weight += weight;
        state.batches.push_back((batch, weight));
        drop(state);
        self.shared.work.notify_one();
        Ok(())
    }
}

impl<J, E> State<J, E> {
    fn check(&self) -> Result<(), Stopped> {
        match self.error {
            Some(_) => Err(Stopped),
            None => Ok(()),
        }
    }
}

impl<J, E> Shared<J, E> {
    fn lock(&self) -> MutexGuard<'_, State<J, E>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, work: &(impl Fn(J) -> Result<(), E> + Sync)) {
        let mut state = self.lock();
        loop {
            if let Some((batch, weight)) = state.batches.pop_front() {
                state.running += 1;
                drop(state);
                let running = Running { shared: self, weight };
                let result = batch.into_iter().try_for_each(work);
                state = running.finish(result);
            } else if state.is_closed {
                return;
            } else {
                state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }
}

/// A batch in work. Dropped by a panic, it still counts as done, so that nobody waits for it.
struct Running<'a, J, E> {
    shared: &'a Shared<J, E>,
    weight: usize,
}

impl<'a, J, E> Running<'a, J, E> {
    fn finish(self, result: Result<(), E>) -> MutexGuard<'a, State<J, E>> {
        let mut state = self.shared.lock();
        if let Err(error) = result {
            state.error.get_or_insert(error);
            state.batches.clear();
        }
        drop(state);
        let shared = self.shared;
        drop(self);
        shared.lock()
    }
}

impl<J, E> Drop for Running<'_, J, E> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.running -= 1;
        state.weight -= self.weight;
        drop(state);
        self.shared.progress.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn all_jobs_are_done_before_the_barrier_returns() {
        let sum = AtomicU64::new(0);
        let add = |job: u64| {
            sum.fetch_add(job, Ordering::SeqCst);
            Ok::<(), ()>(())
        };
        let feed = |pool: &mut Pool<'_, u64, ()>| {
            for job in 0..1000 {
                pool.submit(job, 100 << 10).expect("no job fails");
            }
            pool.barrier().expect("no job fails");
            sum.load(Ordering::SeqCst)
        };
        assert_eq!(with(add, feed), Ok(499_500));
    }

    #[test]
    fn the_first_error_stops_the_feeder() {
        let fail = |job: u64| if job == 500 { Err(job) } else { Ok(()) };
        let feed = |pool: &mut Pool<'_, u64, u64>| {
            let mut fed = 0;
            while pool.submit(fed, 1).is_ok() {
                fed += 1;
            }
            assert!(fed >= 500, "stopped after the failing job, not before");
        };
        assert_eq!(with(fail, feed), Err(500));
    }

    #[test]
    fn a_panic_in_a_job_ends_the_pool() {
        let panics = |_: u64| -> Result<(), ()> { panic!("a job panics") };
        let run = || with(panics, |pool: &mut Pool<'_, u64, ()>| pool.submit(1, 1).is_ok());
        assert!(std::panic::catch_unwind(run).is_err());
    }
}

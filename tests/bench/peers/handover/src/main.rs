// The hand-over workloads on Tokio's current_thread runtime.
// usage: handover WORKLOAD N. Prints ns=<nanoseconds of the timed part> ops=<operations>.
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{broadcast, mpsc, watch, Mutex, Semaphore};
use tokio::task::{yield_now, JoinSet};

const RECEIVERS: u64 = 4;

// A value to four receivers, each of which acknowledges it; an operation is one delivery.
async fn broadcasts(n: u64) -> u64 {
    let (values, _) = broadcast::channel::<u64>(64);
    let (ack, mut acks) = mpsc::channel::<u64>(RECEIVERS as usize);
    for _ in 0..RECEIVERS {
        let (mut from, ack) = (values.subscribe(), ack.clone());
        tokio::spawn(async move {
            while let Ok(v) = from.recv().await {
                ack.send(v).await.unwrap();
            }
        });
    }
    for i in 0..n {
        values.send(i).unwrap();
        for _ in 0..RECEIVERS {
            acks.recv().await.unwrap();
        }
    }
    n * RECEIVERS
}

// Round trips over two watches.
async fn watches(n: u64) -> u64 {
    let (there, mut at_there) = watch::channel(0);
    let (back, mut at_back) = watch::channel(0);
    tokio::spawn(async move {
        while at_there.changed().await.is_ok() {
            let v = *at_there.borrow_and_update();
            back.send_replace(v);
        }
    });
    for i in 1..=n {
        there.send_replace(i);
        at_back.changed().await.unwrap();
        assert_eq!(*at_back.borrow_and_update(), i);
    }
    n
}

// Two tasks take turns with one mutex: each keeps it over a yield, so that the other waits.
async fn mutexes(n: u64) -> u64 {
    let (mutex, mut tasks) = (Arc::new(Mutex::new(())), JoinSet::new());
    for _ in 0..2 {
        let mutex = mutex.clone();
        tasks.spawn(async move {
            for _ in 0..n / 2 {
                let _held = mutex.lock().await;
                yield_now().await;
            }
        });
    }
    while tasks.join_next().await.is_some() {}
    n / 2 * 2
}

// Four tasks share two permits, each kept over a yield.
async fn semaphores(n: u64) -> u64 {
    let (permits, mut tasks) = (Arc::new(Semaphore::new(2)), JoinSet::new());
    for _ in 0..4 {
        let permits = permits.clone();
        tasks.spawn(async move {
            for _ in 0..n / 4 {
                let _held = permits.acquire().await.unwrap();
                yield_now().await;
            }
        });
    }
    while tasks.join_next().await.is_some() {}
    n / 4 * 4
}

async fn workload(name: &str, n: u64) -> u64 {
    match name {
        "broadcast" => broadcasts(n).await,
        "watch" => watches(n).await,
        "mutex" => mutexes(n).await,
        "semaphore" => semaphores(n).await,
        _ => std::process::exit(3),
    }
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if args.len() != 3 {
        std::process::exit(3);
    }
    let n = args[2].parse().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let begun = Instant::now();
    let ops = runtime.block_on(workload(&args[1], n));
    println!("ns={} ops={}", begun.elapsed().as_nanos(), ops);
}

// Channels between two workers of Tokio's multi_thread runtime.
// usage: more_cores WORKLOAD N. Prints ns=<nanoseconds of the timed part> ops=<operations>.
use std::time::Instant;
use tokio::sync::mpsc;

// Values through a bounded channel to a task on the other worker.
async fn throughput(n: u64) -> u64 {
    let (tx, mut rx) = mpsc::channel::<u64>(128);
    let sum = tokio::spawn(async move {
        let mut sum = 0;
        while let Some(v) = rx.recv().await {
            sum += v;
        }
        sum
    });
    tokio::spawn(async move {
        for i in 0..n {
            tx.send(i).await.unwrap();
        }
    })
    .await
    .unwrap();
    assert_eq!(sum.await.unwrap(), n * (n - 1) / 2);
    n
}

// A value there and one back, over two channels of capacity 1.
async fn roundtrip(n: u64) -> u64 {
    let (there, mut at_there) = mpsc::channel::<u64>(1);
    let (back, mut at_back) = mpsc::channel::<u64>(1);
    tokio::spawn(async move {
        while let Some(v) = at_there.recv().await {
            back.send(v).await.unwrap();
        }
    });
    tokio::spawn(async move {
        for i in 0..n {
            there.send(i).await.unwrap();
            assert_eq!(at_back.recv().await, Some(i));
        }
    })
    .await
    .unwrap();
    n
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let n: u64 = args[2].parse().unwrap();
    let rt = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let begun = Instant::now();
    let ops = rt.block_on(async {
        match args[1].as_str() {
            "throughput" => throughput(n).await,
            "roundtrip" => roundtrip(n).await,
            _ => std::process::exit(3),
        }
    });
    println!("ns={} ops={}", begun.elapsed().as_nanos(), ops);
}

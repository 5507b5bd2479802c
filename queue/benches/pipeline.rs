//! What a message costs the manager. The server is a process of its own (this program again), so that its CPU time is
//! its own; clients are in this one. Figures are CPU seconds per 100,000 messages of 4 KB, in batches of 256.
//!
//! `cargo bench -p queue --bench pipeline [-- --json]`

#![expect(clippy::unwrap_used, reason = "a bench that can't measure has nothing to say")]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use queue::*;

const MESSAGE: usize = 4096;
const BATCH: u32 = 256;
/// A worker settles this many posts with one output, as large as two of them.
const POSTS_PER_OUTPUT: usize = 4;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if let Some(dir) = args.iter().position(|arg| arg == "--serve").and_then(|at| args.get(at + 1)) {
        return serve_in(Path::new(dir));
    }
    let is_json = args.iter().any(|arg| arg == "--json");
    let messages = args.iter().find_map(|arg| arg.strip_prefix("--messages=")?.parse().ok()).unwrap_or(200_000);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(run(messages, is_json));
}

fn settings(dir: &Path) -> ManagerSettings {
    let mut settings = ManagerSettings::pipeline(dir);
    settings.disk_free_min = 0;
    settings
}

/// The server: prints how long opening took, and ends when its standard input does.
fn serve_in(dir: &Path) {
    let (manager, recovery) = Manager::open(settings(dir)).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = Listener::bind(&Address::Unix(dir.join("queue.sock"))).await.unwrap();
        println!("{} {}", recovery.took.as_secs_f64(), recovery.bytes);
        let end = tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new()));
        serve(manager, vec![listener], None, async {
            let _ = end.await;
        })
        .await;
    });
}

struct Server {
    child: Child,
    opened: f64,
    bytes: f64,
}

impl Server {
    fn start(dir: &Path) -> Server {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--serve", dir.to_str().unwrap()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let mut figures = line.split_whitespace().map(|figure| figure.parse::<f64>().unwrap());
        let (opened, bytes) = (figures.next().unwrap(), figures.next().unwrap());
        Server { child, opened, bytes }
    }

    async fn client(&self, dir: &Path) -> Client {
        let address = Address::Unix(dir.join("queue.sock"));
        Client::connect(ClientSettings { address, ..ClientSettings::default() }).await.unwrap()
    }

    fn cpu(&self) -> f64 {
        cpu(self.child.id())
    }

    fn rss_mb(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
    }

    fn stop(mut self) {
        drop(self.child.stdin.take());
        self.child.wait().unwrap();
    }
}

/// CPU seconds of a process, of all its threads.
fn cpu(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let after_name = &stat[stat.rfind(')').unwrap() + 2..];
    let fields: Vec<&str> = after_name.split(' ').collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    // Linux counts in hundredths of a second for everybody.
    ticks / 100.0
}

fn text(seed: u32) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    let mut letter = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        b"etaoin shrdlu cmfwyp"[state as usize % 20]
    };
    (0..MESSAGE).map(|_| letter()).collect()
}

async fn put_all(client: Client, producer: u32, batches: u32) {
    let payload = bytes::Bytes::from(text(producer));
    for batch in 0..batches {
        let items = (0..BATCH)
            .map(|item| Item { id: format!("{producer}-{batch}-{item}-0123456789"), payload: payload.clone() });
        while let Err(error) = client.put(POSTS, items.clone().collect()).await {
            assert!(error.retryable(), "{error}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn work(client: Client, items_max: u32) {
    let output = bytes::Bytes::from(text(7).repeat(2));
    let mut number = 0;
    loop {
        let want = Want { items_max, bytes_max: 8 << 20, wait: Duration::from_secs(5) };
        match client.lease(POSTS, want).await.unwrap() {
            Leased::Items { deliveries, .. } => {
                let leases: Vec<_> = deliveries.iter().map(|delivery| delivery.lease).collect();
                let outputs = deliveries.len().div_ceil(POSTS_PER_OUTPUT);
                let items = (0..outputs)
                    .map(|output_number| Item { id: format!("out-{number}-{output_number}"), payload: output.clone() });
                let outputs = Outputs { queue: RESULTS, items: items.collect() };
                number += 1;
                client.settle(POSTS, leases, Some(outputs)).await.unwrap();
            }
            Leased::Empty | Leased::Flush => {}
            Leased::Stop => return,
        }
    }
}

async fn save(client: Client, total: usize) {
    let mut saved = 0;
    while saved < total {
        let want = Want { items_max: 64, bytes_max: 8 << 20, wait: Duration::from_secs(5) };
        if let Leased::Items { deliveries, .. } = client.lease(RESULTS, want).await.unwrap() {
            saved += deliveries.len();
            let leases = deliveries.iter().map(|delivery| delivery.lease).collect();
            client.settle(RESULTS, leases, None).await.unwrap();
        }
    }
}

async fn producers(server: &Server, dir: &Path, batches: u32) -> tokio::task::JoinSet<()> {
    let mut set = tokio::task::JoinSet::new();
    for producer in 0..4 {
        set.spawn(put_all(server.client(dir).await, producer, batches / 4));
    }
    set
}

/// Writes and removes a file as large as all that follows. The first touch of a page that a virtual machine has never
/// used costs it more than everything that is measured here, and whoever runs for an hour pays it once.
fn touch_memory(dir: &Path, bytes: f64) {
    let path = dir.join("touch");
    let mut file = std::fs::File::create(&path).unwrap();
    let chunk = vec![1; 1 << 20];
    for _ in 0..(bytes / chunk.len() as f64) as usize {
        file.write_all(&chunk).unwrap();
    }
    std::fs::remove_file(path).unwrap();
}

async fn run(messages: u32, is_json: bool) {
    let own = std::process::id();
    let new_dir = || {
        tempfile::tempdir_in(std::env::var("BENCH_DIR").unwrap_or_else(|_| env!("CARGO_TARGET_TMPDIR").into())).unwrap()
    };
    let dir = new_dir();
    let batches = messages / BATCH / 4 * 4;
    let messages = f64::from(batches * BATCH);
    touch_memory(dir.path(), messages * MESSAGE as f64 * 2.0);
    let per_100k = |seconds: f64| seconds / messages * 100_000.0;

    // Put alone, and the memory with all of it waiting.
    let server = Server::start(dir.path());
    let (began, cpu_before) = (Instant::now(), server.cpu());
    producers(&server, dir.path(), batches).await.join_all().await;
    let put_rate = messages / began.elapsed().as_secs_f64();
    let put_cpu = per_100k(server.cpu() - cpu_before);
    let rss = server.rss_mb();
    server.stop();
    // Opening it all again.
    let server = Server::start(dir.path());
    let reopen = server.opened / (server.bytes / 1e9);
    server.stop();

    // The whole pipeline, in a fresh directory, with the memory of the old one.
    drop(dir);
    let dir = new_dir();
    let server = Server::start(dir.path());
    let (began, cpu_before, own_before) = (Instant::now(), server.cpu(), cpu(own));
    let producing = producers(&server, dir.path(), batches).await;
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..2 {
        workers.spawn(work(server.client(dir.path()).await, 64));
    }
    // Full leases of 64 make 16 outputs; smaller ones make a few more.
    let saver = tokio::spawn(save(server.client(dir.path()).await, messages as usize / POSTS_PER_OUTPUT));
    producing.join_all().await;
    saver.await.unwrap();
    let pipeline_rate = messages / began.elapsed().as_secs_f64();
    let pipeline_cpu = per_100k(server.cpu() - cpu_before);
    let client_cpu = per_100k(cpu(own) - own_before);
    let pipeline_rss = server.rss_mb();
    workers.shutdown().await;
    server.stop();

    let cache = settings(dir.path()).cache_bytes as f64 / f64::from(1 << 20);
    if is_json {
        println!(
            "{{\"messages\":{messages},\"put_cpu_s_per_100k\":{put_cpu:.2},\"put_per_s\":{put_rate:.0},\
             \"pipeline_cpu_s_per_100k\":{pipeline_cpu:.2},\"pipeline_per_s\":{pipeline_rate:.0},\
             \"client_cpu_s_per_100k\":{client_cpu:.2},\"rss_mb\":{rss:.0},\"pipeline_rss_mb\":{pipeline_rss:.0},\
             \"cache_mb\":{cache:.0},\"reopen_s_per_gb\":{reopen:.2}}}"
        );
        return;
    }
    println!("{messages} messages of {MESSAGE} bytes, {BATCH} a put, over a Unix socket, every answer synced");
    println!("                        server CPU-s/100k   messages/s   goal");
    println!("put alone               {put_cpu:>17.2}   {put_rate:>10.0}   1.00");
    println!(
        "whole pipeline          {pipeline_cpu:>17.2}   {pipeline_rate:>10.0}   2.00   (clients: {client_cpu:.2})"
    );
    println!("memory, all waiting     {rss:>14.0} MB                < {:.0} (cache {cache:.0})", 64.0 + cache);
    println!("memory, pipeline        {pipeline_rss:>14.0} MB");
    println!("reopen                  {reopen:>12.2} s/GB                < 1");
}

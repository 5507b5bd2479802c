//! What the edge costs: `cargo run --release -p frontend --example ingest -- ARTICLES.ndjson`. Sends the file's lines over
//! a real socket to an edge in front of a queue in memory, and prints the processor time of the edge alone, without the
//! client's.

#[path = "../tests/http/support.rs"]
#[expect(dead_code, reason = "the tests need more of it")]
mod support;

use std::time::{Duration, Instant};

use nix::sys::resource::{Usage, UsageWho, getrusage};
use support::{Client, Edge, head};
use tokio::io::AsyncWriteExt;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = std::env::args().nth(1).ok_or("name a file of articles, one JSON object a line")?;
    let text = std::fs::read_to_string(file)?;
    let lines: Vec<_> = text.lines().collect();
    println!("{} articles of {} bytes", lines.len(), text.len() / lines.len());
    println!("{:<28}{:>12}{:>12}", "body", "us/article", "articles/s");
    for (name, articles, encoding) in [
        ("500 articles", 500, "identity"),
        ("5,000 articles", 5_000, "identity"),
        ("500 articles, gzip", 500, "gzip"),
        ("500 articles, zstd", 500, "zstd"),
        ("1 article", 1, "identity"),
    ] {
        let edge = Edge::start();
        let body = lines.iter().cycle().take(articles).flat_map(|line| [line, "\n"]).collect::<String>();
        let body = compress(encoding, body.as_bytes())?;
        let requests = (60_000 / articles).min(20_000);
        let mut client = Client::new(edge.address);
        let headers = [("content-type", "application/x-ndjson"), ("content-encoding", encoding)];
        let request = [head("POST", "/v1/posts", &headers, Some(body.len())).into_bytes(), body].concat();
        let (start, before) = (Instant::now(), edge_time()?);
        for _ in 0..requests {
            client.send(&request);
            let reply = client.reply();
            let (accepted, duplicates, _) = reply.outcome();
            assert_eq!((reply.status, accepted + duplicates), (202, articles as u64), "{reply:?}");
            // As new, for measuring the same thing again.
            edge.queue.with(|state| {
                state.items.clear();
                state.puts.clear();
                state.ids.clear();
            });
        }
        let total = (articles * requests) as f64;
        let (spent, wall) = (edge_time()?.saturating_sub(before), start.elapsed());
        println!("{name:<28}{:>12.2}{:>12.0}", spent.as_secs_f64() * 1e6 / total, total / wall.as_secs_f64());
    }
    Ok(())
}

/// The process without this thread, which is the client's.
fn edge_time() -> Result<Duration, nix::Error> {
    let sum = |usage: Usage| {
        let time = [usage.user_time(), usage.system_time()];
        time.iter()
            .map(|time| Duration::from_micros((time.tv_sec() * 1_000_000 + time.tv_usec()) as u64))
            .sum::<Duration>()
    };
    Ok(sum(getrusage(UsageWho::RUSAGE_SELF)?).saturating_sub(sum(getrusage(UsageWho::RUSAGE_THREAD)?)))
}

fn compress(encoding: &str, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(async {
        Ok(match encoding {
            "gzip" => {
                let mut encoder = async_compression::tokio::write::GzipEncoder::new(Vec::new());
                encoder.write_all(bytes).await?;
                encoder.shutdown().await?;
                encoder.into_inner()
            }
            "zstd" => {
                let mut encoder = async_compression::tokio::write::ZstdEncoder::new(Vec::new());
                encoder.write_all(bytes).await?;
                encoder.shutdown().await?;
                encoder.into_inner()
            }
            _ => bytes.to_vec(),
        })
    })
}

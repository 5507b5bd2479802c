//! How fast an engine is on one core, from text to mentions.
//!
//! `cargo run --release -p entities --example speed -- POSTS.ndjson [MODEL]`

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use common::Post;
use entities::text::analysis::Analysis;
use entities::text::stretch::stretches;

const ROUNDS: usize = 5;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let path = args.first().ok_or("give a file of posts, one JSON object a line")?;
    let file = std::fs::read(path)?;
    let records = file.split(|&byte| byte == b'\n').filter(|record| !record.is_empty());
    let posts = records.map(Post::parse).collect::<Result<Vec<_>, _>>()?;

    let begin = Instant::now();
    let mut engine = entities::open("desk", args.get(1).map(Path::new))?;
    println!("open: {:.2} ms", begin.elapsed().as_secs_f64() * 1e3);

    let mut analysis = Analysis::default();
    let mut tokens = 0;
    for post in &posts {
        for stretch in stretches(&post.content) {
            analysis.read(&post.content[stretch]);
            tokens += analysis.tokens.len();
        }
    }
    let mut best = Duration::MAX;
    let mut mentions = 0;
    for _ in 0..ROUNDS {
        let begin = Instant::now();
        mentions = posts.iter().map(|post| engine.find(&post.content).len()).sum();
        best = best.min(begin.elapsed());
    }
    println!("{}: {} posts, {tokens} tokens, {mentions} mentions", engine.name(), posts.len());
    println!("{:.0} tokens/s on one core, best of {ROUNDS} rounds", tokens as f64 / best.as_secs_f64());
    Ok(())
}

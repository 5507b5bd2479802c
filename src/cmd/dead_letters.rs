//! `copydesk dead-letters`: what nobody could process: look at it, let it try again, or forget it.
//!
//! Talks to the queue itself, so that it works where no frontend runs.

use std::path::PathBuf;
use std::time::Duration;

use frontend::letter::{LetterName, QUEUES, Summary, Whole};
use queue::{Address, Client, ClientSettings, DeadLetter, Queue, QueueError, QueueId, Secret};
use tokio::task::JoinSet;

use super::output::{cell, print, print_bytes, table};
use crate::failure::Failure;

/// How long a backend that is away is waited for: about what a restart of it takes.
const RECONNECT_FOR: Duration = Duration::from_secs(3);
/// Letters asked for at a time; the queue sends fewer if they are long.
const PAGE: u32 = 500;
/// Letters retried or dropped at the same time, so that they share the disk's syncs.
const TOGETHER: usize = 256;

/// Arguments of `copydesk dead-letters`.
#[derive(clap::Args)]
#[command(arg_required_else_help = true)]
#[command(after_help = "Examples:
  copydesk dead-letters list
  copydesk dead-letters show posts-17
  copydesk dead-letters show posts-17 --payload > post.json
  copydesk dead-letters retry posts-17 results-3
  copydesk dead-letters retry --all --reason 'engine panicked'
  copydesk dead-letters drop --all --only posts")]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    /// What there is, oldest first, posts before results
    List(List),
    /// One of them with what it carries
    Show(Show),
    /// Puts them back into their queue, with failed deliveries forgotten
    #[command(override_usage = "copydesk dead-letters retry [OPTIONS] <LETTER>...
       copydesk dead-letters retry [OPTIONS] --all [--only <QUEUE>] [--reason <TEXT>]")]
    #[command(after_help = "One that fails again comes back as a dead letter, under the same name.")]
    Retry(Raise),
    /// Forgets them for good
    #[command(override_usage = "copydesk dead-letters drop [OPTIONS] <LETTER>...
       copydesk dead-letters drop [OPTIONS] --all [--only <QUEUE>] [--reason <TEXT>]")]
    #[command(after_help = "The id of a dropped post stays known: sent again, it is a duplicate and is not counted. \
To have a corrected article counted, send it under another id.")]
    Drop(Raise),
}

/// Where the queue is.
#[derive(clap::Args)]
struct Reach {
    /// Data directory of the backend, where its Unix socket is
    #[arg(long, value_name = "DIR", env = "COPYDESK_DATA_DIR", default_value = "copydesk-data")]
    data_dir: PathBuf,

    /// The backend's queue: unix:PATH or tcp://HOST:PORT [default: unix:DIR/queue.sock in the data directory]
    #[arg(long, value_name = "ADDR", env = "COPYDESK_QUEUE")]
    queue: Option<Address>,

    /// File with the secret that both sides of the queue share
    #[arg(long, value_name = "FILE", env = "COPYDESK_QUEUE_SECRET_FILE")]
    queue_secret_file: Option<PathBuf>,
}

/// Which letters.
#[derive(clap::Args, Clone)]
struct Filter {
    /// Only those of this queue
    #[arg(long, value_name = "QUEUE", value_parser = QUEUES.map(|(_, name)| name))]
    only: Option<String>,

    /// Only those whose reason contains this
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

#[derive(clap::Args)]
struct List {
    #[command(flatten)]
    filter: Filter,

    /// The first so many; 0 is all
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,

    /// Print a JSON array instead of a table
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    reach: Reach,
}

#[derive(clap::Args)]
struct Show {
    /// Its name, as in the list: posts-17
    letter: LetterName,

    /// Print a JSON object, with a payload that is JSON as it came
    #[arg(long, conflicts_with = "payload")]
    json: bool,

    /// Print nothing but the payload, byte by byte
    #[arg(long)]
    payload: bool,

    #[command(flatten)]
    reach: Reach,
}

#[derive(clap::Args)]
struct Raise {
    /// Their names, as in the list: posts-17
    #[arg(value_name = "LETTER", required_unless_present = "all", conflicts_with_all = ["all", "only", "reason"])]
    letters: Vec<LetterName>,

    /// All that there are, or that fit --only and --reason
    #[arg(long)]
    all: bool,

    #[command(flatten)]
    filter: Filter,

    /// Print a line of JSON instead of text
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    reach: Reach,
}

/// What became of letters.
#[derive(Default)]
struct Raised {
    done: usize,
    missing: Vec<LetterName>,
}

/// Runs the command.
pub fn run(Args { action }: Args) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::new)?;
    runtime.block_on(async {
        match action {
            Action::List(args) => list(&args.reach.connect().await?, &args).await,
            Action::Show(args) => show(&args.reach.connect().await?, &args).await,
            Action::Retry(args) => raise(&args.reach.connect().await?, &args, true).await,
            Action::Drop(args) => raise(&args.reach.connect().await?, &args, false).await,
        }
    })
}

impl Reach {
    async fn connect(&self) -> Result<Client, Failure> {
        let secret = self.queue_secret_file.as_ref().map(Secret::from_file).transpose().map_err(Failure::settings)?;
        let address = self.queue.clone().unwrap_or_else(|| backend::host::socket(&self.data_dir));
        let name = format!("dead-letters {}", std::process::id());
        let settings = ClientSettings { address, secret, name, reconnect_for: RECONNECT_FOR };
        Client::connect(settings).await.map_err(failed)
    }
}

/// The next thing to try depends on what went wrong.
fn failed(error: QueueError) -> Failure {
    match error {
        QueueError::Disconnected(_) => {
            Failure::new(format!("{error}; see that `copydesk backend` runs, and say where with --data-dir or --queue"))
        }
        QueueError::Closed => Failure::new(format!("{error}; try again when it has been started again")),
        QueueError::Poisoned(_) => Failure::new(format!("{error}; check the disk, start it again, then try again")),
        _ => Failure::new(error),
    }
}

/// Walks through letters, a page at a time.
struct Pages<'a> {
    client: &'a Client,
    filter: &'a Filter,
    queue: Option<QueueId>,
    after: Option<(QueueId, u64)>,
}

impl<'a> Pages<'a> {
    fn new(client: &'a Client, filter: &'a Filter) -> Pages<'a> {
        let named = |(_, name): &(QueueId, &str)| filter.only.as_deref() == Some(name);
        let queue = QUEUES.into_iter().find(named).map(|(queue, _)| queue);
        let after = queue.and_then(|queue| LetterName { queue, seq: 0 }.before());
        Pages { client, filter, queue, after }
    }

    /// Those of the next page that fit, which may be none; `None` after the last page.
    async fn next(&mut self) -> Result<Option<Vec<DeadLetter>>, Failure> {
        let mut page = self.client.dead_letters(self.after, PAGE).await.map_err(failed)?;
        let Some(last) = page.last().map(|letter| (letter.queue, letter.seq)) else { return Ok(None) };
        self.after = Some(last);
        // Queues come one after the other.
        if self.queue.is_some_and(|queue| page.iter().all(|letter| letter.queue != queue)) {
            return Ok(None);
        }
        let Pages { filter, queue, .. } = self;
        page.retain(|letter| {
            queue.is_none_or(|queue| letter.queue == queue)
                && filter.reason.as_ref().is_none_or(|reason| letter.reason.contains(reason))
        });
        Ok(Some(page))
    }
}

async fn list(client: &Client, args: &List) -> Result<(), Failure> {
    let limit = if args.limit == 0 { usize::MAX } else { args.limit };
    let mut pages = Pages::new(client, &args.filter);
    let mut letters: Vec<Summary> = Vec::new();
    while letters.len() <= limit
        && let Some(page) = pages.next().await?
    {
        letters.extend(page.iter().map(Summary::from));
    }
    let is_cut = letters.len() > limit;
    letters.truncate(limit);
    if args.json {
        print(&(serde_json::to_string(&letters).map_err(Failure::new)? + "\n"))?;
    } else if letters.is_empty() {
        eprintln!("copydesk: no dead letters");
    } else {
        let rows = letters.into_iter().map(|letter| {
            let id = letter.id.unwrap_or_else(|| "(damaged)".to_owned());
            [letter.letter, letter.died_at, letter.attempts.to_string(), letter.bytes.to_string(), id, letter.reason]
        });
        print(&table(["letter", "died at", "attempts", "bytes", "id", "reason"], rows))?;
    }
    if is_cut {
        eprintln!("copydesk: there are more than these {limit}; --limit 0 lists all");
    }
    Ok(())
}

async fn show(client: &Client, args: &Show) -> Result<(), Failure> {
    let name = args.letter;
    let found = client.dead_letters(name.before(), 1).await.map_err(failed)?;
    let letter = found.first().filter(|letter| LetterName::of(letter) == name).ok_or_else(|| missing(&[name]))?;
    if args.payload {
        return print_bytes(&letter.payload);
    }
    if args.json {
        return print(&(serde_json::to_string(&Whole::from(letter)).map_err(Failure::new)? + "\n"));
    }
    let Summary { letter: name, queue: _, id, reason, attempts, died_at, bytes } = Summary::from(letter);
    let id = id.unwrap_or_else(|| "(damaged)".to_owned());
    let facts = [
        ("letter", name),
        ("id", id),
        ("reason", reason),
        ("attempts", attempts.to_string()),
        ("died at", died_at),
        ("bytes", bytes.to_string()),
    ];
    let mut text: String =
        facts.map(|(fact, value)| format!("{fact:<8}  {}\n", cell(&value, usize::MAX))).concat() + "\n";
    for line in String::from_utf8_lossy(&letter.payload).lines() {
        // Strangers' bytes: nothing of them commands a terminal.
        text += &cell(line, usize::MAX);
        text.push('\n');
    }
    print(&text)
}

async fn raise(client: &Client, args: &Raise, is_retry: bool) -> Result<(), Failure> {
    let mut raised = Raised::default();
    let outcome = if args.all {
        raise_all(client, &args.filter, is_retry, &mut raised).await
    } else {
        raise_these(client, &args.letters, is_retry, &mut raised).await
    };
    let (done, verb) = (raised.done, if is_retry { "retried" } else { "dropped" });
    // Also where it broke off: what is done is done.
    if args.json {
        let missing: Vec<_> = raised.missing.iter().map(ToString::to_string).collect();
        print(&format!("{}\n", serde_json::json!({verb: done, "missing": missing})))?;
    } else {
        print(&format!("{done} {} {verb}\n", if done == 1 { "dead letter" } else { "dead letters" }))?;
    }
    outcome?;
    // Among all of them, those that somebody else was faster with are not missed.
    if raised.missing.is_empty() || args.all { Ok(()) } else { Err(missing(&raised.missing)) }
}

async fn raise_all(client: &Client, filter: &Filter, is_retry: bool, raised: &mut Raised) -> Result<(), Failure> {
    let mut pages = Pages::new(client, filter);
    // Each is met once: one that fails again is behind the place that has been reached.
    while let Some(page) = pages.next().await? {
        let names: Vec<_> = page.iter().map(LetterName::of).collect();
        drop(page);
        raise_these(client, &names, is_retry, raised).await?;
    }
    Ok(())
}

async fn raise_these(
    client: &Client,
    names: &[LetterName],
    is_retry: bool,
    raised: &mut Raised,
) -> Result<(), Failure> {
    for together in names.chunks(TOGETHER) {
        let mut calls = JoinSet::new();
        for &name in together {
            let client = client.clone();
            calls.spawn(async move {
                let LetterName { queue, seq } = name;
                let call = if is_retry { client.retry_dead(queue, seq) } else { client.drop_dead(queue, seq) };
                (name, call.await)
            });
        }
        let mut failure = None;
        for (name, outcome) in calls.join_all().await {
            match outcome {
                Ok(()) => raised.done += 1,
                Err(QueueError::NotFound(_)) => raised.missing.push(name),
                Err(error) => failure = Some(error),
            }
        }
        raised.missing.sort_unstable();
        if let Some(error) = failure {
            return Err(failed(error));
        }
    }
    Ok(())
}

fn missing(names: &[LetterName]) -> Failure {
    let names: Vec<_> = names.iter().map(ToString::to_string).collect();
    Failure::new(format!(
        "there is no dead letter {}; perhaps it was retried or dropped before; `copydesk dead-letters list` lists what \
         there is",
        names.join(", nor ")
    ))
}

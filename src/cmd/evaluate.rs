//! `copydesk evaluate`: measures an engine against annotated text.

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

use entities::evaluate::{Report, Score, evaluate};
use entities::{Scheme, corpus, scheme};

use super::output::print;
use super::shared::EngineArgs;
use crate::failure::Failure;

/// Arguments of `copydesk evaluate`.
#[derive(clap::Args)]
#[command(
    after_help = "The file has one token a line, TOKEN<TAB>TAG (BIOES, BIO or IO), an empty line between sequences, \
and a line `# doc = ID` before each article. The articles' texts are put together from the tokens, with a space between \
them and a line a sequence; the engine splits them by its own rules, and mentions are compared by their place in that \
text. A mention is right if both its ends and its label are. Figures are per cent; overall is the micro average.

Label schemes, applied to both sides:
  four    Person=PER, Organization=ORG, Location=LOC, Facility=LOC, NORP=MISC, Misc=MISC, Product=MISC; others dropped
  core    the same with PER, ORG and LOC alone, and without Facility
  A=B,C=  pairs: A is read as B, C is dropped, labels that are not named stay

Examples:
  copydesk evaluate news.tsv
  copydesk evaluate news.tsv --map core --json
  copydesk evaluate mine.tsv --model mine.bin"
)]
pub struct Args {
    /// Annotated text
    #[arg(value_name = "FILE.tsv")]
    file: PathBuf,

    /// How labels are read [default: four if the engine has these four and the file nine, else as they are]
    #[arg(long, value_name = "SCHEME")]
    map: Option<Scheme>,

    /// Print one JSON object
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    engine: EngineArgs,
}

/// Runs the command.
pub fn run(args: Args) -> Result<(), Failure> {
    let mut engine = entities::open(&args.engine.engine, args.engine.model.as_deref()).map_err(Failure::settings)?;
    let unreadable = |error: &dyn std::fmt::Display| Failure::new(format!("{}: {error}", args.file.display()));
    let file = File::open(&args.file).map_err(|error| unreadable(&error))?;
    let documents = corpus::read(BufReader::new(file)).map_err(|error| unreadable(&error))?;
    let scheme = args
        .map
        .unwrap_or_else(|| Scheme::between(engine.labels().iter().map(String::as_str), scheme::labels(&documents)));
    let report = evaluate(engine.as_mut(), &documents, &scheme);
    let text = match args.json {
        true => serde_json::to_string(&report).map_err(Failure::new)? + "\n",
        false => table(&report),
    };
    print(&text)
}

fn table(report: &Report) -> String {
    let width = report.labels.keys().map(|label| label.chars().count()).max().unwrap_or(0).max("overall".len());
    let line = |(label, score): (&str, &Score)| {
        let Score { precision, recall, f1, support } = score;
        format!("{label:width$}  {precision:>9.2}  {recall:>9.2}  {f1:>9.2}  {support:>9}\n")
    };
    let header = format!("{:width$}  {:>9}  {:>9}  {:>9}  {:>9}\n", "", "precision", "recall", "F1", "support");
    let labels = report.labels.iter().map(|(label, score)| (label.as_str(), score));
    header + &labels.chain([("overall", &report.overall)]).map(line).collect::<String>()
}

//! docs/operators.md, run line by line against a whole shop: what it prints is what the page says.

mod shape;
mod stand_in;

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use testkit::Shop;
use tokio::process::Command;

use crate::WAYBILL;
use stand_in::StandIn;

const PAGE: &str = include_str!("../../../../docs/operators.md");
/// All of the page's lines have to be through within this.
const PAGE_LIMIT: Duration = Duration::from_secs(150);
/// Parts the blocks' outputs.
const MARK: &str = "@@block";

/// A fenced block of lines to run, and what the page says that they print.
#[derive(Debug)]
struct Block {
    lines: String,
    /// Only a terminal gets an answer.
    needs_terminal: bool,
    printed: Option<Printed>,
}

#[derive(Debug)]
struct Printed {
    text: String,
    /// The form is the `nats` CLI's own.
    only_by_the_cli: bool,
}

fn blocks() -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    for fenced in PAGE.split("```").skip(1).step_by(2) {
        let (kind, text) = fenced.split_once('\n').unwrap();
        match kind {
            "sh" | "sh terminal" => blocks.push(Block {
                lines: text.to_owned(),
                needs_terminal: kind != "sh",
                printed: None,
            }),
            "text" | "text nats" => {
                let before = blocks.last_mut().expect("an answer without a question");
                let printed = Printed {
                    text: text.to_owned(),
                    only_by_the_cli: kind != "text",
                };
                assert!(before.printed.replace(printed).is_none(), "{text}");
            }
            other => panic!("the page has a block of an unknown kind {other:?}"),
        }
    }
    blocks
}

/// The page as a script: the helpers that the shop has printed, then every block under its mark.
fn script(helpers: &str, blocks: &[Block], folder: &Path, by_cli: bool) -> String {
    let mut script = format!("exec 2>&1\n{helpers}\nset -euo pipefail\n");
    for (number, block) in blocks.iter().enumerate() {
        script.push_str(&format!("echo '{MARK} {number}'\n"));
        if block.needs_terminal && by_cli {
            let file = folder.join(format!("{number}.sh"));
            std::fs::write(&file, &block.lines).unwrap();
            let inside = format!("bash {}", file.display());
            script.push_str(&format!("script -qec '{inside}' /dev/null < /dev/null\n"));
        } else {
            script.push_str(&block.lines);
        }
    }
    script
}

/// What every block has printed.
async fn run(script: &str, folder: &Path, path: &str, stand_in: &str) -> Vec<String> {
    let file = folder.join("page.sh");
    std::fs::write(&file, script).unwrap();
    let page = Command::new("bash")
        .arg(&file)
        .env("PATH", path)
        .env("NATS_STAND_IN", stand_in)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PAGE_LIMIT, page)
        .await
        .expect("the page does not come to its end")
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).replace('\r', "");
    assert!(output.status.success(), "{said}");
    let parts = said.split(MARK).skip(1);
    parts
        .map(|part| part.split_once('\n').unwrap().1.to_owned())
        .collect()
}

async fn the_page_is_true(by_cli: bool) {
    let mut shop = Shop::start(WAYBILL, &[]).await;
    let story = shop.story();
    let helpers: Vec<&str> = story
        .lines()
        .take_while(|line| !line.starts_with('#'))
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let stand_in = StandIn::start(&shop.exported("NATS_URL"), folder.path()).await;
    let tools = Path::new(WAYBILL).parent().unwrap().display();
    let path = std::env::var("PATH").unwrap();
    let path = match by_cli {
        true => format!("{tools}:{path}"),
        false => format!("{}:{tools}:{path}", folder.path().display()),
    };
    let blocks = blocks();
    assert!(blocks.len() > 15, "{blocks:#?}");
    let script = script(&helpers.join("\n"), &blocks, folder.path(), by_cli);
    let said = run(&script, folder.path(), &path, &stand_in.url).await;
    assert_eq!(said.len(), blocks.len());
    for (block, said) in blocks.iter().zip(&said) {
        let Some(printed) = &block.printed else {
            continue;
        };
        if printed.only_by_the_cli && !by_cli {
            continue;
        }
        for line in printed.text.lines() {
            assert!(
                shape::says(said, line),
                "the page says\n{line}\nfor\n{}but it prints\n{said}",
                block.lines
            );
        }
    }
    shop.stop().await;
}

/// Whether the CLI is on the path.
fn has_the_cli() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join("nats").is_file())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_line_of_the_operators_page_does_what_the_page_says() {
    // What the CLI would ask the broker for, asked by a client: for machines that do not have the CLI.
    the_page_is_true(false).await;
    if has_the_cli() {
        the_page_is_true(true).await;
    }
}

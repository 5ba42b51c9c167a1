//! Scores and tokens are those of the public coco-caption tool.
//!
//! `scores/make_cases.py` made `scores/reference.json`: sentences, the tool's tokens and its scores. A second file of the
//! same form has real captions, which belong to their authors; where it is absent, the test says so and passes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod front_door;
#[path = "support/paths.rs"]
mod paths;

use std::collections::BTreeMap;
use std::fs;

use engine::score::{self, Corpus, References, spaced, tokenize};
use front_door::{Room, report};
use paths::in_workspace;
use serde::Deserialize;
use serde_json::Value;

const REAL: &str = "../shared/metrics/flickr8k_reference.json";

/// What the tool made of a set of captions.
#[derive(Deserialize)]
struct Case {
    references: BTreeMap<String, Vec<String>>,
    candidates: BTreeMap<String, String>,
    tokenized_references: BTreeMap<String, Vec<String>>,
    tokenized_candidates: BTreeMap<String, String>,
    scores: BTreeMap<String, Expected>,
}

#[derive(Deserialize)]
struct Expected {
    corpus: f64,
    per_image: BTreeMap<String, f64>,
}

/// The cases that are at hand, by name.
fn cases() -> Vec<(&'static str, Case)> {
    let made = in_workspace("tests/scores/reference.json");
    let read = |path| serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let mut cases = vec![("made", read(made))];
    match in_workspace(REAL) {
        real if real.is_file() => cases.push(("real", read(real))),
        _ => println!("{REAL} is absent: skipped"),
    }
    cases
}

type Tokens = (Vec<Vec<Vec<String>>>, Vec<Vec<String>>);

impl Case {
    fn raw(&self) -> Tokens {
        let references = self.references.values().map(|r| r.iter().map(|s| tokenize(s)).collect());
        (references.collect(), self.candidates.values().map(|s| tokenize(s)).collect())
    }

    fn tokenized(&self) -> Tokens {
        let references =
            self.tokenized_references.values().map(|r| r.iter().map(|s| spaced(s)).collect());
        (references.collect(), self.tokenized_candidates.values().map(|s| spaced(s)).collect())
    }
}

/// The scores that are the tool's own.
const SAME: [&str; 6] = ["BLEU_1", "BLEU_2", "BLEU_3", "BLEU_4", "ROUGE_L", "CIDEr"];

fn agrees(case: &str, (references, candidates): Tokens, expected: &BTreeMap<String, Expected>) {
    let references = References::new(&references).unwrap();
    let corpus = Corpus::new(&references, &candidates).unwrap();
    for name in SAME {
        let scored = score::named(name).unwrap().of(&corpus);
        let expected = &expected[name];
        let corpus = (scored.corpus - expected.corpus).abs();
        let each = scored.per_image.iter().zip(expected.per_image.values());
        let each = each.map(|(found, expected)| (found - expected).abs()).fold(0.0, f64::max);
        println!(
            "{case} {name:8} corpus {:.6} off by {corpus:.1e}, an image by {each:.1e}",
            scored.corpus
        );
        assert_eq!(scored.per_image.len(), expected.per_image.len());
        assert!(corpus <= 1e-9 && each <= 1e-9, "{case} {name}");
    }
}

#[test]
fn scores_are_the_tools_from_its_tokens() {
    for (name, case) in cases() {
        agrees(&format!("{name}, tokens"), case.tokenized(), &case.scores);
    }
}

#[test]
fn scores_are_the_tools_from_raw_sentences() {
    for (name, case) in cases() {
        agrees(&format!("{name}, raw"), case.raw(), &case.scores);
    }
}

#[test]
fn tokens_are_the_tools() {
    for (name, case) in cases() {
        let references = case
            .references
            .iter()
            .flat_map(|(id, sentences)| sentences.iter().zip(&case.tokenized_references[id]));
        let candidates = case.candidates.iter().map(|(id, s)| (s, &case.tokenized_candidates[id]));
        let (mut all, mut other) = (0, 0);
        for (raw, tokens) in references.chain(candidates) {
            all += 1;
            let found = tokenize(raw).join(" ");
            if found != *tokens {
                other += 1;
                println!("{raw:?}: expected {tokens:?}, found {found:?}");
            }
        }
        println!("{name}: {} of {all} sentences have the tool's tokens", all - other);
        assert!(other * 200 <= all, "{name}: {other} of {all} differ");
    }
}

/// Pearson's correlation.
/// `scores/tokens.py` writes what the tool makes of any sentences; `ENGINE_TOKENS` names the file.
#[test]
fn tokens_of_other_sentences_are_the_tools() {
    let Ok(path) = std::env::var("ENGINE_TOKENS") else {
        println!("skipped: ENGINE_TOKENS names no file");
        return;
    };
    let pairs: Vec<(String, String)> =
        serde_json::from_slice(&fs::read(path).unwrap()).expect("pairs of sentence and tokens");
    let differs = |(raw, tokens): &&(String, String)| tokenize(raw).join(" ") != *tokens;
    let different: Vec<_> = pairs.iter().filter(differs).collect();
    for (raw, tokens) in &different {
        println!("{raw}\n  the tool  {tokens}\n  here      {}", tokenize(raw).join(" "));
    }
    println!("{} of {} sentences differ", different.len(), pairs.len());
    assert!(different.len() * 200 <= pairs.len(), "{} of {}", different.len(), pairs.len());
}

fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
    let (mean_a, mean_b) = (mean(a), mean(b));
    let product = |x: &[f64], x0: f64, y: &[f64], y0: f64| {
        x.iter().zip(y).map(|(x, y)| (x - x0) * (y - y0)).sum::<f64>()
    };
    product(a, mean_a, b, mean_b)
        / (product(a, mean_a, a, mean_a) * product(b, mean_b, b, mean_b)).sqrt()
}

/// METEOR 1.5 knows synonyms and paraphrases and has other weights, so the numbers are others; they rank captions alike.
#[test]
fn exact_and_stem_meteor_ranks_as_meteor_does() {
    for (name, case) in cases() {
        let (references, candidates) = case.tokenized();
        let references = References::new(&references).unwrap();
        let corpus = Corpus::new(&references, &candidates).unwrap();
        let scored = score::named("METEOR_exact_stem").unwrap().of(&corpus);
        let expected: Vec<f64> = case.scores["METEOR"].per_image.values().copied().collect();
        let r = correlation(&scored.per_image, &expected);
        let differences = scored.per_image.iter().zip(&expected).map(|(a, b)| a - b);
        let difference = differences.sum::<f64>() / expected.len() as f64;
        let corpus = case.scores["METEOR"].corpus;
        println!(
            "{name}: correlation {r:.3}, mean difference {difference:.3}, corpus {:.3} and {corpus:.3}",
            scored.corpus
        );
        assert!(r > 0.85, "{name}: {r}");
    }
}

const CAPTIONS: &str =
    r#"[{"image_id": 1, "caption": "A dog runs."}, {"image_id": "2", "caption": "A red bus"}]"#;
const REFERENCES: &str =
    r#"{"1.jpg": ["a dog runs fast", "The dog runs!"], "images/2.jpg": ["a big red bus"]}"#;
const EVAL: [&str; 5] = ["eval", "--captions", "c.json", "--references", "r.json"];

/// A room with captions and references.
fn desk() -> Room {
    let room = Room::new();
    room.write("c.json", CAPTIONS);
    room.write("r.json", REFERENCES);
    room
}

fn json(room: &Room, name: &str) -> Value {
    serde_json::from_str(&room.read(name)).unwrap()
}

#[test]
fn the_command_prints_and_writes_scores() {
    let room = desk();
    let outcome = room.runs(&[&EVAL[..], &["--json", "s.json", "--write", "w.json"]].concat());
    for part in
        ["2 images", "BLEU_4", "CIDEr", "METEOR_exact_stem", "worst by CIDEr", "a big red bus"]
    {
        assert!(outcome.out.contains(part), "{part:?} in\n{}", outcome.out);
    }
    let scores = json(&room, "s.json");
    let words = |s: &str| tokenize(s);
    let references =
        [vec![words("a dog runs fast"), words("the dog runs")], vec![words("a big red bus")]];
    let references = References::new(&references).unwrap();
    let corpus = Corpus::new(&references, &[words("a dog runs"), words("a red bus")]).unwrap();
    for score in score::all() {
        let scored = score.of(&corpus);
        let is = |found: &Value, expected: f64| {
            // Reading JSON may miss the last bit.
            let found = found[score.name].as_f64().unwrap();
            assert!((found - expected).abs() <= 1e-14, "{}: {found}, {expected}", score.name);
        };
        is(&scores["corpus"], scored.corpus);
        is(&scores["per_image"]["1"], scored.per_image[0]);
        is(&scores["per_image"]["2"], scored.per_image[1]);
    }
    let written = json(&room, "w.json");
    assert_eq!(written[0], serde_json::json!({"image_id": 1, "caption": "A dog runs."}));

    let coco = r#"{"images": [{"id": 1, "file_name": "1.jpg"}, {"id": 2, "file_name": "2.jpg"}], "annotations": [
        {"image_id": 1, "caption": "a dog runs fast"}, {"image_id": 2, "caption": "a big red bus"},
        {"image_id": 1, "caption": "The dog runs!"}]}"#;
    room.write("r.json", coco);
    room.runs(&[&EVAL[..], &["--json", "coco.json"]].concat());
    assert_eq!(json(&room, "coco.json"), scores);
}

#[test]
fn the_command_chooses_scores_and_takes_tokens() {
    let room = desk();
    let args = ["--metrics", "cider,bleu-4", "--json", "s.json", "--tokenized", "--threads", "1"];
    room.runs(&[&EVAL[..], &args].concat());
    let scores = json(&room, "s.json");
    let names: Vec<&String> = scores["corpus"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["BLEU_4", "CIDEr"]);
    // As tokens, `A` is not `a` and `runs.` is not `runs`.
    room.runs(&[&EVAL[..], &["--json", "raw.json"]].concat());
    assert!(
        json(&room, "raw.json")["corpus"]["CIDEr"].as_f64() > scores["corpus"]["CIDEr"].as_f64()
    );
}

#[test]
fn threads_do_not_show_in_scores() {
    let room = Room::new();
    let case = serde_json::from_str::<Value>(include_str!("scores/reference.json")).unwrap();
    room.write("c.json", case["candidates"].to_string());
    room.write("r.json", case["references"].to_string());
    for (threads, file) in [("1", "1.json"), ("3", "3.json")] {
        room.runs(&[&EVAL[..], &["--json", file, "--threads", threads]].concat());
    }
    assert!(room.read("1.json") == room.read("3.json"));
}

#[test]
fn an_empty_caption_scores_nothing_and_is_counted() {
    let room = desk();
    room.write("c.json", r#"{"1": "...", "2": "a red bus"}"#);
    let outcome = room.runs(&[&EVAL[..], &["--json", "s.json"]].concat());
    assert!(outcome.err.contains("1 captions have no words"), "{}", outcome.err);
    let scores = json(&room, "s.json");
    assert!(scores["per_image"]["1"].as_object().unwrap().values().all(|score| score == 0.0));
}

#[test]
fn whatever_is_wrong_with_files_is_said() {
    let room = desk();
    let both = |captions: &str, references: &str, says: &str| {
        room.write("c.json", captions);
        room.write("r.json", references);
        room.refusal(&EVAL, says)
    };
    let mut findings = vec![
        both(
            r#"{"1": "a", "2": "b", "3": "c", "4": "d", "5": "e"}"#,
            r#"{"1": ["a"]}"#,
            "r.json has nothing for 4 of the images of c.json: 2, 3, 4, ..",
        ),
        both(r#"{"1": "a"}"#, REFERENCES, "c.json has nothing for 1 | images/2.jpg"),
        both(
            r#"{"dog_1": "a"}"#,
            r#"{"dog_l": ["a"]}"#,
            "r.json has nothing for 1 | dog_1 | did you mean `dog_l`?",
        ),
        both(r#"{"1": "a", "1": "b"}"#, REFERENCES, "c.json: image `1` comes twice"),
        both(r#"{"1": "a", "1.jpg": "b", "2": "c"}"#, REFERENCES, "comes twice"),
        both(
            r#"{"1": ["a", "b"], "2": "c"}"#,
            REFERENCES,
            "image `1` has 2 captions, expected one",
        ),
        both(CAPTIONS, r#"{"1": ["a"], "2": []}"#, "r.json: image `2` has no references"),
        both(
            CAPTIONS,
            r#"{"1": ["a", " . "], "2": ["b"]}"#,
            "reference 2 of image `1` has no words",
        ),
        both(CAPTIONS, "{}", "r.json has no image"),
        both("[\n  {]", REFERENCES, "c.json:2:4: key must be a string"),
        both(CAPTIONS, r#"{"1": ["a"]"#, "r.json:1:11: EOF"),
        both(
            "3",
            REFERENCES,
            "c.json:1:1: invalid type: integer `3`, expected a list or an object",
        ),
        both(
            r#"[{"image_id": 1}]"#,
            REFERENCES,
            "entry 1, `caption`: expected a text, found nothing",
        ),
        both(
            r#"[{"image_id": 1.5, "caption": "a"}]"#,
            REFERENCES,
            "`image_id` | found the number 1.5",
        ),
        both(r#"["a"]"#, REFERENCES, "entry 1: expected an object with `image_id` and `caption`"),
        both(r#"{"1": 7}"#, REFERENCES, "image `1`: expected a text or a list of texts"),
        both(CAPTIONS, "[]", "r.json: the file: expected an object of references, found a list"),
    ];
    room.write("c.json", CAPTIONS);
    room.write("r.json", REFERENCES);
    fs::create_dir(room.path("empty")).unwrap();
    let with = |more: &[&'static str]| [&EVAL[..], more].concat();
    let commands: [(Vec<&str>, &str); 8] = [
        (with(&["--metrics", "Cidr"]), "unknown metric `Cidr` | did you mean `CIDEr`?"),
        (with(&["--json", "no/s.json"]), "cannot write no/s.json: there is no folder no"),
        (with(&["--write", "empty"]), "cannot write empty: it is a folder"),
        (vec!["eval", "--captions", "no.json", "--references", "r.json"], "cannot read no.json"),
        (vec!["eval", "--captions", "c.json", "--references", "no.json"], "cannot read no.json"),
        (
            vec!["eval", "--captions", "c.json", "--references", "empty"],
            "empty: expected a data set | neither",
        ),
        (vec!["eval", "--captions", "c.json"], "--references"),
        (vec!["eval"], "RUN|GRAPH"),
    ];
    findings.extend(commands.iter().map(|(command, says)| room.refusal(command, says)));
    report(findings);
}

#[test]
fn a_run_is_scored_against_its_own_references() {
    let room = Room::furnished();
    room.runs(&["train", "g.ron", "--data", "D", "--epochs", "1", "--out", "run"]);
    let outcome = room.runs(&["eval", "run", "--json", "s.json", "--write", "c.json"]);
    for part in ["2 images", "perplexity a word", "not in training", "of the vocabulary"] {
        assert!(outcome.out.contains(part), "{part:?} in\n{}", outcome.out);
    }
    // Two and three words a caption by turns, `<END>` counted, so 2.5 for each caption of the mean loss.
    let metrics = room.read("run/metrics.jsonl");
    let last: Value = serde_json::from_str(metrics.lines().last().unwrap()).unwrap();
    let expected = (last["val_loss"].as_f64().unwrap() / 2.5).exp();
    let (_, rest) = outcome.out.split_once("perplexity a word").unwrap();
    let found: f64 = rest.split([' ', ',']).find_map(|word| word.parse().ok()).unwrap();
    assert!((found - expected).abs() <= 1e-3, "{found}, {expected}");
    // What it wrote scores the same against the data set, and against the same references in a file.
    room.runs(&["eval", "--captions", "c.json", "--references", "D", "--json", "again.json"]);
    assert_eq!(json(&room, "again.json"), json(&room, "s.json"));
    room.write("r.json", r#"{"0": ["a", "a b"], "1": ["a", "a b"]}"#);
    room.runs(&["eval", "run", "--references", "r.json", "--json", "file.json"]);
    assert_eq!(json(&room, "file.json"), json(&room, "s.json"));
}

//! Looking at runs, end to end: report, plot, analyze, and what a run shows and keeps while it trains.

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;

use serde_json::{Value, json};
use support::{expo_rl, fail, names, rows, succeed, text};

/// A short run with explanations; returns what it said.
fn train(out: &Path, sets: &[&str]) -> String {
    let mut args = vec!["train", "configs/exp-grpo-tiny.toml", "--out", out.to_str().unwrap()];
    for set in
        ["train.steps=2", "train.prompts_per_step=2", "rollout.num_generations=2", "rehearsal.documents_per_step=2", "exp.metrics_every=1"]
    {
        args.extend(["--set", set]);
    }
    sets.iter().for_each(|set| args.extend(["--set", set]));
    let output = expo_rl(args);
    let message = text(&output.stderr);
    assert!(output.status.success(), "{message}");
    message
}

/// The data that a report's page draws from.
fn data_of(html: &str) -> Value {
    let data = html.split_once("id=\"data\">").expect("the data").1.split_once("</script>").expect("its end").0;
    serde_json::from_str(data).expect("JSON")
}

#[test]
fn runs_are_reported_and_plotted() {
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &str| folder.path().join(path);
    let path = |name: &str| at(name).to_str().unwrap().to_owned();
    let said = train(&at("runs/exp-0"), &["train.seed=0"]);
    // No terminal: JSON for programs, and nothing that moves.
    let last: Value = said.lines().find_map(|line| serde_json::from_str(line).ok()).expect("a line of JSON");
    assert_eq!((&last["job"], &last["done"], &last["total"]), (&json!("exp-grpo"), &json!(2), &json!(2)));
    assert!(last["message"].as_str().unwrap().starts_with("2 steps in") && !said.contains('\u{1b}'), "{said}");
    assert_eq!(names(&at("runs/exp-0/tensorboard")).len(), 1);
    train(&at("runs/exp-1"), &["train.seed=1"]);
    train(&at("runs/grpo"), &["train.recipe=grpo", "train.tensorboard=false"]);
    assert!(!at("runs/grpo/tensorboard").exists());
    std::fs::create_dir_all(at("empty")).unwrap();
    // A run that was killed while it wrote.
    let metrics = at("runs/exp-1/metrics.jsonl");
    let whole = std::fs::read_to_string(&metrics).unwrap();
    std::fs::write(&metrics, &whole[..whole.len() - 40]).unwrap();

    let html = at("report.html");
    let output = expo_rl(["report", &path("runs"), &path("empty"), "--out", html.to_str().unwrap(), "--title", "Tiny <runs>"]);
    let notes = text(&output.stderr);
    assert!(output.status.success(), "{notes}");
    for note in ["exp-1: metrics.jsonl: the last line is cut off", "empty: no run in it", "not every arm has these metrics: exp/"] {
        assert!(notes.contains(note), "{note} is not in {notes}");
    }
    let html = std::fs::read_to_string(html).unwrap();
    assert!(html.contains("Tiny &lt;runs&gt;") && html.contains("the last line is cut off") && html.contains("train.recipe"));
    let data = data_of(&html);
    assert_eq!(data["arms"], json!([{"label": "exp-grpo", "runs": [0, 1]}, {"label": "grpo", "runs": [2]}]));
    let metric = |name: &str| data["metrics"].as_array().unwrap().iter().find(|metric| metric["name"] == name).unwrap()["curves"].clone();
    let curve = metric("reward/mean")[0].clone();
    // Two runs at the first step, one at the second, which the other one has lost.
    assert_eq!(
        (curve["steps"].as_array().unwrap().len(), curve["deviation"][1].is_null(), curve["runs"][1]["steps"].as_array().unwrap().len()),
        (2, true, 1)
    );
    assert_eq!(metric("exp/nll_explanation").as_array().unwrap().len(), 1);
    let completions = data["completions"]["rows"].as_array().unwrap();
    assert!(completions.iter().any(|row| row["kind"] == "explanation" && row["level"] == 5), "{completions:?}");

    for name in ["m.svg", "m.png"] {
        succeed(["plot", &path("runs"), "--metric", "reward/mean", "--metric", "groups/all_wrong", "--out", &path(name)]);
    }
    let svg = std::fs::read_to_string(at("m.svg")).unwrap();
    assert!(svg.starts_with("<svg") && svg.contains("exp-grpo, reward/mean") && svg.contains("grpo, groups/all_wrong"), "{svg}");
    assert!(std::fs::read(at("m.png")).unwrap().starts_with(b"\x89PNG"));
    fail(["plot", &path("runs"), "--metric", "accuracy", "--out", &path("n.svg")], &["no run has the metric `accuracy`", "reward/mean"]);
    fail(["plot", &path("runs"), "--metric", "loss", "--out", &path("n.gif")], &["n.gif", ".svg or .png"]);
    fail(["report", &path("empty"), "--out", &path("n.html")], &["empty: no run in it", "metrics.jsonl"]);
    fail(["report", &path("nowhere"), "--out", &path("n.html")], &["nowhere: no such folder"]);
    assert!(!at("n.svg").exists() && !at("n.html").exists());
}

/// One request's body; the stream is then to be answered.
fn body_of(stream: &TcpStream) -> Value {
    let mut reader = BufReader::new(stream);
    let (mut line, mut length) = (String::new(), 0);
    while reader.read_line(&mut line).unwrap() > 2 {
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    serde_json::from_slice(&body).unwrap()
}

/// A judge on loopback for whom whoever stands first has more correct steps. It answers as long as the tests run.
fn partial_judge() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            assert_eq!(body_of(&stream)["model"], "partial");
            let answer = json!({"choices": [{"message": {"content": "{\"correct_steps_a\": 2, \"correct_steps_b\": 1}"}}]}).to_string();
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{answer}", answer.len()).unwrap();
        }
    });
    url
}

#[test]
fn a_policy_is_analyzed() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let data = path("d.jsonl");
    succeed(["data", "make", "--level", "1,5", "-n", "6", "--out", &data]);
    let url = partial_judge();
    let (out, json, plot) = (path("rows.jsonl"), path("tables.json"), path("nll.svg"));
    let mut args = vec!["analyze", "--model", "embedded:tiny", "--config", "configs/exp-grpo-tiny.toml", "--data", &data, "--samples", "2"];
    args.extend(["--out", &out, "--json", &json, "--plot", &plot, "--judge-url", &url, "--judge-model", "partial", "--judge-limit", "3"]);
    args.extend(["--set", "data.levels=[]"]);
    let table = succeed(args);
    for part in [
        "6 problems",
        "NLL per token",
        "answer gain over own",
        "leaks the hint",
        "overlap with expert",
        "self-explanation against",
        "level  problems",
    ] {
        assert!(table.contains(part), "{part} is not in\n{table}");
    }
    let rows = rows(Path::new(&out));
    assert_eq!(rows.len(), 6);
    for row in &rows {
        assert_eq!(row["explanations"].as_array().unwrap().len(), 2);
        for cot in [&row["own"], &row["explanations"][0], &row["expert"]] {
            assert!(cot["nll"].as_f64().unwrap() > 0.0 && cot["answer_log_prob"].as_f64().unwrap() <= 0.0, "{cot}");
        }
    }
    let report: Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    let sources = report["comparison"]["sources"].as_array().unwrap();
    let mean = |source: &str, measure: &str| sources.iter().find(|s| s["source"] == source).unwrap()[measure]["mean"].as_f64().unwrap();
    let by_hand = rows.iter().map(|row| row["expert"]["nll"].as_f64().unwrap()).sum::<f64>() / 6.0;
    assert!((mean("expert", "nll") - by_hand).abs() < 1e-9);
    // The embedded model's setting: the expert's style is far from its own, and it explains well what it is shown.
    assert!(mean("expert", "nll") > 2.0 * mean("explanation", "nll"), "{report}");
    assert!(mean("explanation", "correct") > 0.5 && mean("expert", "correct") == 1.0, "{report}");
    // Whoever stands first wins: in both orders nobody.
    let own = &report["judge"]["win_rates"]["own"];
    assert_eq!((own["wins"].as_u64(), own["losses"].as_u64(), own["win_rate"].as_f64()), (Some(0), Some(0), Some(0.5)));
    assert_eq!((own["inconsistent"].as_u64(), own["ties"].as_u64()), (own["ties"].as_u64(), own["contests"].as_u64()));
    assert!(std::fs::read_to_string(&plot).unwrap().contains("expert chains of thought"));
}

#[test]
fn a_judge_that_is_not_there_takes_nothing_away() {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("tables.json");
    // Port 9 of loopback answers nobody.
    let mut args = vec!["analyze", "--model", "embedded:tiny", "--config", "configs/exp-grpo-tiny.toml", "--data", "generator:division"];
    args.extend(["--limit", "2", "--json", json.to_str().unwrap(), "--judge-max-retries", "0"]);
    args.extend(["--judge-url", "http://127.0.0.1:9/v1", "--judge-model", "m"]);
    let output = expo_rl(args);
    assert_eq!(output.status.code(), Some(1));
    support::assert_error(&text(&output.stderr), &["judge: http://127.0.0.1:9/v1/chat/completions"]);
    assert!(text(&output.stdout).contains("NLL per token"));
    let report: Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    assert_eq!(report["comparison"]["problems"], 2);
    assert!(report["judge"]["not_judged"].as_u64() > Some(0), "{report}");
}

#[test]
fn the_live_view_needs_a_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let mut args = vec!["train", "configs/grpo-tiny.toml", "--out", out.to_str().unwrap(), "--ui", "live", "--set", "train.steps=1"];
    args.extend(["--set", "train.prompts_per_step=1", "--set", "rollout.num_generations=2", "--set", "rehearsal.documents_per_step=1"]);
    let output = expo_rl(args);
    assert!(output.status.success());
    assert!(text(&output.stderr).contains("--ui live needs a terminal"));
}

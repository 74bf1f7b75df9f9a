//! Data: problems, documents, preferences, rows to score.

use crate::{Case, check};

#[test]
fn problems() {
    let cases: [(&str, &[u8], &str); 27] = [
        ("d.jsonl", b"", "FOLDER/d.jsonl: is empty; expected JSON lines, one object a line"),
        (
            "d.jsonl",
            b"{\"question\": \"12/3?\", \"answer\": \"4\"}\n{\"question\": \n",
            "FOLDER/d.jsonl:2: malformed JSON at column 13 (field `question`): EOF while parsing a value",
        ),
        (
            "d.jsonl",
            b"{\"question\": \"12/3?\", \"answer\": \"4\"}\n[1]\n",
            "FOLDER/d.jsonl:2: found a list, expected a JSON object on each line",
        ),
        (
            "d.jsonl",
            b"{\"question\": \"12/3?\", \"answer\": \"4\"}\n{\"question\": \"12/3?\"}\n",
            "FOLDER/d.jsonl:2: field `answer` is missing; name the answer's field with data.answer_field (fields found: `question`)",
        ),
        ("d.jsonl", b"{\"question\": \" \", \"answer\": \"4\"}\n", "FOLDER/d.jsonl:1: field `question` is empty"),
        (
            "d.jsonl",
            b"{\"question\": {\"a\": 1}, \"answer\": \"4\"}\n",
            "FOLDER/d.jsonl:1: field `question` is an object; expected text or a number",
        ),
        (
            "d.jsonl",
            b"{\"question\": \"12/3?\", \"answer\": \"4\", \"level\": \"hard\"}\n",
            "FOLDER/d.jsonl:1: the level is \"hard\"; expected a number or \"Level N\" (words? name them all, easiest first: data.levels = [\"easy\", \"hard\"]; another field? set data.level_field)",
        ),
        (
            "d.jsonl",
            b"{\"question\": \"\xff\", \"answer\": \"1\"}\n",
            "FOLDER/d.jsonl:1: is not UTF-8 text; expected JSON lines, one object a line",
        ),
        (
            "d.jsonl",
            b"{\"question\": \"a\", \"answer\": \"x #### 1\"}\n{\"question\": \"b\", \"answer\": \"2\"}\n",
            "FOLDER/d.jsonl:2: field `answer` has no `#### ` before the final answer, as GSM8K's has; set data.format = \"fields\" if it is the answer itself",
        ),
        ("d.json", b"{\"data\": []}", "FOLDER/d.json: is an object; expected an array of objects, or one object a line"),
        ("d.json", b"[]", "FOLDER/d.json: is an empty array; expected an array of objects, or one object a line"),
        (
            "d.json",
            b"[{\"question\": \"a\" \"answer\": \"b\"}]",
            "FOLDER/d.json:1: malformed JSON at column 19 (row 1, field `question`): expected `,` or `}`; expected an array of objects, or one object a line",
        ),
        ("d.jsonl", b"{\"question\": \"12/3?\", \"answer\": NaN}\n", "FOLDER/d.jsonl:1: field `answer` is NaN; expected text or a number"),
        (
            "d.jsonl",
            b"{\"question\": \"12/3?\", \"answer\": \"n/a\"}\n",
            "FOLDER/d.jsonl: 1 of 1 known answers can't be paid by the verifier: d.jsonl:1 \"n/a\": it says that there is no answer; give the final answer, or leave the row out; correct them, name another field (data.answer_field), or leave these rows out with data.on_bad_row = \"skip\"",
        ),
        (
            "d.jsonl",
            b"\xff\xfe{\0",
            "FOLDER/d.jsonl: is UTF-16 text; expected JSON lines, one object a line in UTF-8: save it so, or convert it with `iconv -f UTF-16 -t UTF-8`",
        ),
        ("d.csv", b"question;answer\n12/3?\n", "FOLDER/d.csv:2: found 1 values, but the line of names has 2 (separated by ';')"),
        ("d.csv", b"question,answer\n12/3?\n", "FOLDER/d.csv:2: found 1 values, but the line of names has 2"),
        ("d.csv", b"question,question\n1,2\n", "FOLDER/d.csv:1: two columns are named `question`; rename one"),
        ("d.csv", b"question,answer\n\"12/3?,4\n", "FOLDER/d.csv:2: a quote that begins in this row is never closed"),
        (
            "d.csv",
            b"frage,antwort\n12/3?,4\n",
            "FOLDER/d.csv:2: field `question` is missing; name the question's field with data.question_field (fields found: `frage`, `antwort`)",
        ),
        ("d.parquet", b"PAR1 and no more", "FOLDER/d.parquet: is cut off: a Parquet file ends with PAR1"),
        ("d.parquet", b"", "FOLDER/d.parquet: is not a Parquet file (it doesn't begin with PAR1)"),
        ("d.parquet", b"PAR1....PARE", "FOLDER/d.parquet: is an encrypted Parquet file, which is not read"),
        ("d.parquet", b"PAR1\xff\xff\xff\x7fPAR1", "FOLDER/d.parquet: says that its metadata has 2147483647 bytes, more than the file"),
        ("d.parquet", b"PAR1\x15\x02\x00\x03\x00\x00\x00PAR1", "FOLDER/d.parquet: has metadata without a schema"),
        (
            "d.txt",
            b"{\"question\": \"12/3?\", \"answer\": \"4\"}\n",
            "FOLDER/d.txt: the end of a data file's name says how to read it: .jsonl (or .ndjson), .json, .csv (or .tsv) or .parquet",
        ),
        (
            "d.jsonl.gz",
            b"{\"question\": \"12/3?\", \"answer\": \"4\"}\n",
            "FOLDER/d.jsonl.gz: the end of a data file's name says how to read it: .jsonl (or .ndjson), .json, .csv (or .tsv) or .parquet",
        ),
    ];
    for (name, content, message) in cases {
        let train = format!("data.train=FOLDER/{name}");
        let mut args = vec!["train", "configs/grpo-tiny.toml", "--out", "FOLDER/run"];
        let sets = ["train.steps=1", "train.prompts_per_step=1", "rollout.num_generations=2", "data.levels=[]", &train];
        sets.iter().for_each(|set| args.extend(["--set", set]));
        check(&Case { files: &[(name, content)], args: &args, message });
    }
}

#[test]
fn documents() {
    let args =
        ["train", "configs/pretrain-tiny.toml", "--out", "FOLDER/run", "--set", "train.steps=1", "--set", "rehearsal.data=FOLDER/d.jsonl"];
    let cases: [(&str, &str); 5] = [
        (
            "{\"prompt\": \"12/3?\"}\n",
            "FOLDER/d.jsonl:1: field `completion` is missing; each row of rehearsal.data needs `prompt` and `completion`, or `messages` (fields found: `prompt`)",
        ),
        ("{\"messages\": []}\n", "FOLDER/d.jsonl:1: field `messages` is an empty list"),
        (
            "{\"messages\": [{\"role\": \"user\", \"content\": \"u\"}]}\n",
            "FOLDER/d.jsonl:1: field `messages` ends with a message by \"user\"; expected \"assistant\"",
        ),
        ("{\"prompt\": \"1\", \"completion\": \"\"}\n", "FOLDER/d.jsonl:1: field `completion` is empty"),
        (
            "{\"prompt\": [{\"role\": \"system\", \"content\": \"s\"}], \"completion\": \"1\"}\n",
            "d.jsonl:1: assets/tiny/tokenizer_config.json: the chat template fails on this conversation (line 1): this model has no system turn: leave prompt.system empty",
        ),
    ];
    for (content, message) in cases {
        check(&Case { files: &[("d.jsonl", content.as_bytes())], args: &args, message });
    }
}

#[test]
fn preferences() {
    let args = ["train", "configs/dpo-tiny.toml", "--out", "FOLDER/run", "--set", "train.steps=1", "--set", "data.train=FOLDER/d.jsonl"];
    let cases: [(&str, &str); 5] = [
        (
            "{\"prompt\": \"1\", \"chosen\": \"2\"}\n",
            "FOLDER/d.jsonl:1: field `rejected` is missing; a preference needs `prompt`, `chosen` and `rejected`, or `chosen` and `rejected` as whole conversations (fields found: `prompt`, `chosen`)",
        ),
        (
            "{\"prompt\": \"1\", \"chosen\": \"2\", \"rejected\": \"2\"}\n",
            "FOLDER/d.jsonl:1: fields `chosen` and `rejected` are equal, so neither is preferred",
        ),
        (
            "{\"chosen\": \"2\", \"rejected\": \"3\"}\n",
            "FOLDER/d.jsonl:1: field `prompt` is missing; a preference needs `prompt`, `chosen` and `rejected`, or `chosen` and `rejected` as whole conversations (fields found: `chosen`, `rejected`)",
        ),
        (
            "{\"prompt\": \"1\", \"chosen\": [{\"role\": \"user\", \"content\": \"2\"}], \"rejected\": \"3\"}\n",
            "FOLDER/d.jsonl:1: field `chosen` ends with a message by \"user\"; expected \"assistant\"",
        ),
        (
            "{\"prompt\": [{\"role\": \"system\", \"content\": \"s\"}], \"chosen\": \"2\", \"rejected\": \"3\"}\n",
            "d.jsonl:1: side `chosen`: tokenizer_config.json: the chat template fails on this conversation (line 1): this model has no system turn: leave prompt.system empty",
        ),
    ];
    for (content, message) in cases {
        check(&Case { files: &[("d.jsonl", content.as_bytes())], args: &args, message });
    }
}

#[test]
fn rows_to_score() {
    let args = ["score", "--model", "embedded:tiny", "--data", "FOLDER/d.jsonl", "--out", "FOLDER/o.jsonl"];
    let cases: [(&str, &str); 10] = [
        (
            "{\"prompt\": \"1\", \"completion\": \"2\"}\nnot json\n",
            "FOLDER/d.jsonl:2: malformed JSON at column 2: expected ident; expected one object a line",
        ),
        ("{\"prompt\": \"1\"}\n", "FOLDER/d.jsonl:1: expected a field `completion` (text) or `completion_ids` (token ids)"),
        (
            "{\"completion\": \"1\"}\n",
            "FOLDER/d.jsonl:1: expected a field `prompt` (text), `prompt_ids` (token ids) or `messages` (a conversation)",
        ),
        (
            "{\"prompt_ids\": [1, -1], \"completion_ids\": [2]}\n",
            "FOLDER/d.jsonl:1: `prompt_ids`: found -1, expected token ids from 0 to 32",
        ),
        (
            "{\"prompt_ids\": [1], \"completion_ids\": [4000000]}\n",
            "FOLDER/d.jsonl:1: `completion_ids`: found 4000000, expected token ids from 0 to 32",
        ),
        (
            "{\"prompt_ids\": [], \"completion_ids\": [1]}\n",
            "FOLDER/d.jsonl:1: the prompt has no tokens: the first token of a sequence has no log-probability; give at least one",
        ),
        ("", "FOLDER/d.jsonl: is empty; expected JSON lines, one object a line"),
        ("{\"prompt\": [1], \"completion\": \"2\"}\n", "FOLDER/d.jsonl:1: `prompt`: found [1], expected text"),
        ("{\"prompt_ids\": 3, \"completion_ids\": [1]}\n", "FOLDER/d.jsonl:1: `prompt_ids`: found 3, expected a list of token ids"),
        ("[]\n", "FOLDER/d.jsonl:1: found JSON, but no object; expected one object a line"),
    ];
    for (content, message) in cases {
        check(&Case { files: &[("d.jsonl", content.as_bytes())], args: &args, message });
    }
}

//! Chat templates of three models on twenty conversations, against transformers (scripts/fixtures/make_templates.py).

use std::path::Path;

use expo_lm::chat::{ChatSettings, ChatTemplate};
use serde_json::Value;

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/templates").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[test]
fn templates_render_as_in_transformers() {
    let conversations: Vec<Value> = serde_json::from_str(&read("conversations.json")).expect("conversations");
    assert_eq!(conversations.len(), 20);
    for name in ["qwen2_5", "smollm2", "dated"] {
        let expected: Value = serde_json::from_str(&read(&format!("{name}.json"))).expect("expectations");
        let special_tokens = expected["special_tokens"].as_object().expect("special tokens").clone();
        let source = format!("{name}.jinja");
        let template = ChatTemplate::new(&read(&source), Path::new(&source), special_tokens).expect("compiles");
        let settings = ChatSettings { date: expected["unix_seconds"].as_i64().expect("a date"), ..ChatSettings::default() };
        for (i, conversation) in conversations.iter().enumerate() {
            let tools = expected.get("tools").filter(|_| i % 3 == 0);
            let text = template.render_json(conversation, tools, i % 2 == 0, &settings).expect("renders");
            assert_eq!(text, expected["rendered"][i].as_str().expect("text"), "{name}, conversation {i}");
        }
    }
}

//! Turns as training takes them, on nine templates and thirty conversations, against transformers (`scripts/parity/turns.py --fixtures`).

use std::path::Path;
use std::sync::Arc;

use expo_lm::chat::{Chat, ChatSettings, Conversation, Message};
use expo_lm::load::{LoadedModel, ModelFolder};
use serde_json::{Value, json};

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/turns").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The folder of a model with this template, whose end-of-sequence tokens are `eos`.
fn folder(template: &str, eos_token: &str, eos: &[u32]) -> Arc<ModelFolder> {
    let tokenizer = read("tokenizer.json");
    let tokenizer_config = json!({"bos_token": "<BOS>", "eos_token": eos_token, "pad_token": "<PAD>", "chat_template": template});
    let config = json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 2, "intermediate_size": 2, "num_hidden_layers": 1,
        "num_attention_heads": 1, "max_position_embeddings": 64, "rope_theta": 1e4, "tie_word_embeddings": true, "vocab_size": 1 << 12,
        "rms_norm_eps": 1e-6, "eos_token_id": eos,
    });
    let files =
        [("tokenizer.json", tokenizer), ("tokenizer_config.json", tokenizer_config.to_string()), ("config.json", config.to_string())];
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, text)| (*name, text.as_bytes())).collect();
    Arc::new(LoadedModel::random_from_memory(&files, 0).expect("loads").folder)
}

/// Its chat.
fn chat(template: &str, eos_token: &str, eos: &[u32]) -> Chat {
    Chat::new(folder(template, eos_token, eos), ChatSettings::default())
}

/// The same where turns end with ChatML's token.
fn chatml(template: &str) -> Chat {
    chat(template, "<|im_end|>", &[])
}

fn id(token: &str) -> u32 {
    chatml("").folder().tokenizer().expect("tokenizer").token_to_id(token).expect("a token")
}

fn rows() -> Vec<Conversation> {
    let row = |line: &str| {
        let row: Value = serde_json::from_str(line).expect("a row");
        let context = Conversation::context(row.get("tools"), row.get("chat_template_kwargs")).expect("a context");
        context.with(serde_json::from_value(row["messages"].clone()).expect("messages"))
    };
    read("rows.jsonl").lines().map(row).collect()
}

#[test]
fn turns_are_those_of_transformers() {
    let rows = rows();
    let mut compared = 0;
    for name in ["llama3", "mistral", "qwen3", "deepseek_r1_distill", "glm4moe", "phi3", "chatml", "gemma", "marked"] {
        let expected: Value = serde_json::from_str(&read(&format!("{name}.json"))).expect("expectations");
        let eos: Vec<u32> = serde_json::from_value(expected["eos_token_id"].clone()).expect("ids");
        let chat = chat(&read(&format!("{name}.jinja")), expected["eos_token"].as_str().expect("a token"), &eos);
        for turn in expected["turns"].as_array().expect("turns") {
            let [row, message] = ["row", "message"].map(|key| turn[key].as_u64().expect("a number") as usize);
            let place = format!("{name}, row {row}, message {message}");
            match (chat.turn(&rows[row], message), turn.get("completion")) {
                (Ok(found), Some(completion)) => {
                    assert_eq!((json!(found.prompt), &json!(found.completion)), (turn["prompt"].clone(), completion), "{place}");
                    let trained: Vec<[usize; 2]> = found.trained.iter().map(|range| [range.start, range.end]).collect();
                    assert_eq!(json!(trained), turn.get("trained").cloned().unwrap_or_else(|| json!([])), "{place}");
                    compared += 1;
                }
                (Err(error), None) => assert!(error.to_string().starts_with("tokenizer_config.json: the "), "{place}: {error}"),
                (found, expected) => panic!("{place}: {found:?}, expected {expected:?}"),
            }
        }
    }
    assert!(compared > 250, "{compared}");
}

fn conversation(messages: Value) -> Conversation {
    serde_json::from_value::<Vec<Message>>(messages).expect("messages").into()
}

const CHATML: &str = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}{{ m.content }}{{ '<|im_end|>\n' }}{% endfor %}\
                      {% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{# begun #}{% endif %}";

#[test]
fn what_ends_turns_has_to_end_generation() {
    let asked = conversation(json!([{"role": "user", "content": "q"}]));
    let of = |stops: &[&str]| {
        let ids: Vec<u32> = stops.iter().map(|stop| id(stop)).collect();
        chat(CHATML, stops[0], &ids).end_of_turn(&asked).map_err(|error| error.to_string())
    };
    let end = id("<|im_end|>");
    assert_eq!(of(&["</s>", "<|im_end|>"]), Ok(vec![end]));
    let expected = format!(
        "tokenizer_config.json: the chat template ends the assistant's turn with `<|im_end|>` (id {end}), which does not end generation (the end-of-sequence \
         tokens are {} `</s>`); add {end} to `eos_token_id` in generation_config.json",
        id("</s>"),
    );
    assert_eq!(of(&["</s>"]), Err(expected));
    // A template that never writes a stop token.
    let plain = "{% for m in messages %}{{ m.role + ': ' + m.content + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}";
    assert_eq!(chat(plain, "</s>", &[]).end_of_turn(&asked).expect("an end"), [id("</s>")]);
}

#[test]
fn refusals_say_what_helps() {
    let refusal = |template: &str, messages: &Value| {
        let conversation = conversation(messages.clone());
        let last = conversation.messages.len() - 1;
        chatml(template).turn(&conversation, last).expect_err("refused").to_string()
    };
    let bare = json!([{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]);
    let thinking = CHATML.replace("{# begun #}", "{% if enable_thinking is not defined or enable_thinking %}{{ '<think>\n' }}{% endif %}");
    assert_eq!(
        refusal(&thinking, &bare),
        "tokenizer_config.json: the prompt ends with \"<think>\\n\", so that a turn begins with thoughts, and this message has none; give them as \
         `reasoning_content`, or in the content as <think>...</think>, or set prompt.chat_template_kwargs = { enable_thinking = false }, or leave the row out \
         (data.on_bad_row = \"skip\")"
    );
    let closed = CHATML.replace("{# begun #}", "{{ '<think>\n\n</think>\n\n' }}");
    let thought = json!([{"role": "user", "content": "q"}, {"role": "assistant", "content": "<think>\nt\n</think>\n\na"}]);
    let error = refusal(&closed, &thought);
    assert!(error.contains("ends with thoughts that are over (\"<think>\\n\\n</think>\\n\\n\"), and this message has some"), "{error}");
    let silent = CHATML.replace("{{ m.content }}", "{% if m.role == 'user' %}{{ m.content }}{% endif %}");
    assert!(refusal(&silent, &bare).contains("leaves out the content of the assistant's message"));
    let call = json!([{"role": "user", "content": "q"}, {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f", "arguments": {}}}]}]);
    assert!(refusal(CHATML, &call).contains("leaves out `tool_calls` of the assistant's message"));
}

#[test]
fn content_comes_in_the_form_that_a_template_takes() {
    let parts = json!([
        {"role": "user", "content": [{"type": "text", "text": "q"}, {"type": "text", "text": "r"}]},
        {"role": "assistant", "content": "a"},
    ]);
    let text = json!([{"role": "user", "content": "qr"}, {"role": "assistant", "content": [{"type": "text", "text": "a"}]}]);
    let only_parts = CHATML.replace("{{ m.content }}", "{% for p in m.content %}{{ p.text }}{% endfor %}");
    for template in [CHATML, &only_parts] {
        let written =
            [&parts, &text].map(|messages| chatml(template).whole(&conversation(messages.clone())).expect("renders").text().to_owned());
        assert_eq!(written, ["<|im_start|>user\nqr<|im_end|>\n<|im_start|>assistant\na<|im_end|>\n"; 2]);
    }
}

#[test]
fn what_looks_like_a_special_token_in_a_field_is_text() {
    let template = CHATML.replace(
        "{{ m.content }}",
        "{% if m.reasoning_content %}{{ '<think>' + m.reasoning_content + '</think>' }}{% endif %}{{ m.content }}",
    );
    let chat = chatml(&template);
    let hostile =
        json!([{"role": "user", "content": "q"}, {"role": "assistant", "content": "<|im_end|>", "reasoning_content": "a<|im_end|>b"}]);
    let turn = chat.turn(&conversation(hostile), 1).expect("a turn");
    let end = id("<|im_end|>");
    assert_eq!((turn.completion.iter().filter(|token| **token == end).count(), turn.completion.last()), (1, Some(&end)));
    let text = chat.folder().tokenizer().expect("tokenizer").decode(&turn.completion, false).expect("text");
    assert_eq!(text, "<think>a<|im_end|>b</think><|im_end|><|im_end|>");
    let named = json!([{"role": "user", "content": "q"}, {"role": "assistant", "content": "a", "tool_calls": [{"<|im_end|>": 1}]}]);
    let error = chat.whole(&conversation(named)).expect_err("refused").to_string();
    assert!(error.contains("writes names of fields, and one of them has the text of the special token"), "{error}");
}

#[test]
fn a_template_that_leaves_thoughts_out_is_told_of() {
    let template = CHATML.replace("{{ m.content }}", "{{ m.content.split('</think>')[-1] }}");
    let chat = chatml(&template);
    let thoughts = json!([{"role": "user", "content": "q"}, {"role": "assistant", "content": "<think>\nt\n</think>\n\na"}]);
    let turn = chat.turn(&conversation(thoughts), 1).expect("a turn");
    let text = chat.folder().tokenizer().expect("tokenizer").decode(&turn.completion, false).expect("text");
    assert_eq!(text, "<think>\nt\n</think>\n\na<|im_end|>");
    assert!(turn.notices.iter().any(|notice| notice.contains("leaves out the thoughts")), "{:?}", turn.notices);
}

/// Two runs in one process keep their dates, in prompts and in turns, though they share the model's folder: one after the other, and from two threads at once.
#[test]
fn every_chat_has_a_date_of_its_own() {
    let dated = CHATML.replacen("{%", "{{ strftime_now('%d %b %Y') }}{%", 1);
    let folder = folder(&dated, "<|im_end|>", &[]);
    let days = [(0, "01 Jan 1970"), (1_722_038_400, "27 Jul 2024")];
    let chats = days.map(|(date, day)| (Chat::new(folder.clone(), ChatSettings { date, ..ChatSettings::default() }), day));
    let asked = conversation(json!([{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]));
    let check = |(chat, day): &(Chat, &str)| {
        let prompt = chat.turn(&asked, 1).expect("a turn").prompt;
        let prompt = chat.folder().tokenizer().expect("tokenizer").decode(&prompt, false).expect("text");
        assert!(prompt.starts_with(day), "{prompt}");
        assert!(chat.whole(&asked).expect("renders").text().starts_with(day));
    };
    for i in 0..20 {
        check(&chats[i % 2]);
    }
    std::thread::scope(|scope| {
        for chat in &chats {
            scope.spawn(|| (0..50).for_each(|_| check(chat)));
        }
    });
}

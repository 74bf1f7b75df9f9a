//! Chat templates: a conversation rendered to the text that a model was trained on, as transformers' `apply_chat_template` does it.

mod generation;
mod lexer;
mod limits;
mod python;
mod strftime;
mod syntax;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Kwargs;
use minijinja::{Environment, Error as JinjaError, ErrorKind, State, Value as JinjaValue};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::clock::since_1970;
use crate::error::{Error, Result};
use crate::marked::{MarkedText, MarkedTexts, SpecialTokens};
pub(crate) use generation::Rendering;
pub use limits::Excess;
use limits::Worker;

/// The name under which the template is kept in its environment.
const NAME: &str = "chat_template";

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `user`, `assistant`, ...
    pub role: String,
    /// What was said.
    pub content: String,
}

impl Message {
    /// A turn by `role`.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self { role: role.into(), content: content.into() }
    }
}

/// A compiled chat template with the variables that it sees in every rendering.
pub struct ChatTemplate {
    environment: Arc<Environment<'static>>,
    /// Where the template came from, for messages.
    path: PathBuf,
    variables: Map<String, Value>,
    worker: Worker,
}

impl ChatTemplate {
    /// Compiles `source`, which came from the file `path`; `special_tokens` are variables such as `bos_token`.
    /// Dates that the template asks for are those of [`run_date`]. Errors: a syntax error, with its line.
    pub fn new(source: &str, path: &Path, special_tokens: Map<String, Value>) -> Result<Self> {
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().keep_trailing_newline(true).build();
        environment.set_syntax(syntax.map_err(|e| template_error(path, "can't be set up", &e))?);
        environment.set_fuel(Some(limits::FUEL));
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        environment.set_unknown_method_callback(limits::method);
        environment.set_formatter(python::format_value);
        environment.add_function("raise_exception", |message: String| -> Result<JinjaValue, JinjaError> {
            Err(JinjaError::new(ErrorKind::InvalidOperation, message))
        });
        environment.add_filter("tojson", |state: &State, value: &JinjaValue, options: Kwargs| python::to_json(state, value, &options));
        environment.add_filter("string", limits::string);
        if source.len() > limits::MOST_SOURCE {
            let message = format!("the chat template has {} bytes; expected at most {}", source.len(), limits::MOST_SOURCE);
            return Err(Error::file(path, message));
        }
        let source = syntax::translate(source)
            .map_err(|fault| Error::file(path, format!("the chat template does not compile (line {}): {}", fault.line, fault.message)))?;
        let worker = Worker::default();
        let compiled = limited(&worker, path, move || environment.add_template_owned(NAME, source).map(|()| environment))?;
        let environment = Arc::new(compiled.map_err(|e| template_error(path, "does not compile", &e))?);
        let mut template = Self { environment, path: path.to_owned(), variables: special_tokens, worker };
        template.set_date(run_date());
        Ok(template)
    }

    /// Fixes what `strftime_now` takes for the present, in seconds since 1970 (UTC).
    pub fn set_date(&mut self, unix_seconds: i64) {
        Arc::make_mut(&mut self.environment)
            .add_function("strftime_now", move |format: String| strftime::format_utc(unix_seconds, &format));
    }

    /// Sets a variable that the template sees in every rendering (`enable_thinking` for Qwen3, for example).
    pub fn set_variable(&mut self, name: &str, value: Value) {
        self.variables.insert(name.to_owned(), value);
    }

    /// The text of a conversation; with `add_generation_prompt` it ends where the assistant's next turn begins.
    /// Errors: the template refuses the conversation or fails.
    pub fn render(&self, messages: &[Message], add_generation_prompt: bool) -> Result<String> {
        self.render_json(&json!(messages), None, add_generation_prompt)
    }

    /// The same with what looks like one of `special` in a message marked as text. Errors: also a template that alters a message so that this can't be
    /// followed.
    pub fn render_marked(&self, messages: &[Message], add_generation_prompt: bool, special: &SpecialTokens) -> Result<MarkedText> {
        let rendered = self.render(messages, add_generation_prompt)?;
        let texts: Vec<&str> = messages.iter().flat_map(|message| [message.role.as_str(), message.content.as_str()]).collect();
        let Some(marked) = MarkedTexts::new(&texts, special)? else { return Ok(MarkedText::trusted(rendered)) };
        let messages: Vec<Message> = marked.texts.chunks_exact(2).map(|pair| Message::new(&*pair[0], &*pair[1])).collect();
        let followed = self.render(&messages, add_generation_prompt).map(|text| marked.take_out(&text)).ok();
        match (followed.filter(|followed| followed.text() == rendered), &marked.found) {
            (Some(followed), _) => Ok(followed),
            (None, None) => Ok(MarkedText::trusted(rendered)),
            (None, Some(token)) => {
                let message = format!(
                    "the chat template alters messages, and one of them has the text of the special token `{token}`: it can't be kept text; remove it from the message"
                );
                Err(Error::file(&self.path, message))
            }
        }
    }

    /// The same as [`Self::render`] for messages with other fields than role and content (tool calls, reasoning) and with tools.
    pub fn render_json(&self, messages: &Value, tools: Option<&Value>, add_generation_prompt: bool) -> Result<String> {
        let mut context = self.variables.clone();
        context.insert("messages".to_owned(), messages.clone());
        context.insert("tools".to_owned(), tools.cloned().unwrap_or_default());
        context.insert("documents".to_owned(), Value::Null);
        context.insert("add_generation_prompt".to_owned(), add_generation_prompt.into());
        Ok(self.render_context(context)?.text)
    }

    /// Renders with these variables, and tells what generation blocks wrote.
    pub(crate) fn render_context(&self, context: Map<String, Value>) -> Result<Rendering> {
        let environment = Arc::clone(&self.environment);
        let rendered = limited(&self.worker, &self.path, move || {
            environment.get_template(NAME).and_then(|template| generation::render(&template, context))
        })?;
        rendered.map_err(|e| template_error(&self.path, "fails on this conversation", &e))
    }
}

static RUN_DATE: OnceLock<i64> = OnceLock::new();

/// The one date of this run: the moment at which it was first asked for, in seconds since 1970 (UTC).
pub fn run_date() -> i64 {
    *RUN_DATE.get_or_init(|| since_1970().as_secs() as i64)
}

/// Goes on with the date of an earlier process, before any template is read. Returns the date that holds: another one if it was asked for before.
pub fn continue_run_date(date: i64) -> i64 {
    *RUN_DATE.get_or_init(|| date)
}

/// The default template of a `chat_template` entry in `tokenizer_config.json`: a string, or a list of named templates.
pub(crate) fn template_in_config(entry: &Value, path: &Path) -> Result<Option<String>> {
    match entry {
        Value::Null => Ok(None),
        Value::String(template) => Ok(Some(template.clone())),
        Value::Array(list) => {
            let named = list.iter().find(|t| t["name"] == "default").and_then(|t| t["template"].as_str());
            Ok(named.map(str::to_owned))
        }
        Value::Object(_) => Err(Error::file(path, "`chat_template` is an object; it has to be a string or a list of {name, template}")),
        other => Err(Error::file(path, format!("`chat_template` is {other}; it has to be a string or a list of {{name, template}}"))),
    }
}

/// [`Worker::limited`], with its errors those of the template at `path`.
fn limited<T: Send + 'static>(worker: &Worker, path: &Path, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let done = worker.limited(work).map_err(|e| Error::io("start a thread for the chat template of", path, e))?;
    done.map_err(|excess| Error::file(path, format!("the chat template {excess}; expected a template that only writes out a conversation")))
}

/// Does `work`, which compiles templates that are no chat templates, within the limits on those: on a stack for the deepest nesting, with an end to time and
/// memory. Errors: no thread can be had.
pub fn within_limits<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> std::io::Result<std::result::Result<T, Excess>> {
    Worker::default().limited(work)
}

fn template_error(path: &Path, what: &str, error: &JinjaError) -> Error {
    let line = error.line().map_or(String::new(), |line| format!(" (line {line})"));
    let reason = match (error.kind(), error.detail()) {
        (ErrorKind::OutOfFuel, _) => "it does more work, or writes more, than a conversation takes".to_owned(),
        (ErrorKind::InvalidOperation, Some(detail)) => detail.to_owned(),
        (kind, Some(detail)) => format!("{kind}: {detail}"),
        (kind, None) => kind.to_string(),
    };
    // The text can be the template's own, or hold a message.
    let reason: String = reason.chars().map(|c| if c.is_control() { ' ' } else { c }).take(limits::MOST_MESSAGE).collect();
    Error::file(path, format!("the chat template {what}{line}: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(source: &str, messages: &[Message]) -> Result<String> {
        let tokens = json!({"bos_token": "<s>", "eos_token": "</s>"});
        let mut template = ChatTemplate::new(source, Path::new("chat_template.jinja"), tokens.as_object().expect("object").clone())?;
        template.set_date(1_722_038_400);
        template.render(messages, true)
    }

    #[test]
    fn special_tokens_blocks_and_methods() {
        let source = "{{ bos_token }}{% for m in messages %}\n  {% if m['role'] == 'user' %}\n[{{ m.content.strip().upper() }}]{{ eos_token }}\n  {% endif %}\n{% endfor %}\n{% if add_generation_prompt %}>{% endif %}\n";
        assert_eq!(render(source, &[Message::new("user", " hi ")]).expect("render"), "<s>[HI]</s>\n>");
    }

    fn generated(source: &str) -> (String, Option<Vec<String>>) {
        let template = ChatTemplate::new(source, Path::new("chat_template.jinja"), Map::new()).expect(source);
        let context = json!({"messages": [{"role": "assistant", "content": "\u{e9}1"}, {"role": "assistant", "content": "b"}]});
        let Rendering { text, generated } = template.render_context(context.as_object().expect("object").clone()).expect(source);
        let spans = generated.map(|spans| spans.into_iter().map(|span| text[span].to_owned()).collect());
        (text, spans)
    }

    #[test]
    fn generation_blocks_have_their_scope_and_tell_what_they_wrote() {
        let spans = |spans: &[&str]| Some(spans.iter().map(|span| (*span).to_owned()).collect());
        let each = |body: &str| format!("{{% set note = 'n' %}}{{% for m in messages %}}{body}{{% endfor %}}");
        for (source, text, expected) in [
            (each("<{% generation %}{{ m.content }}{%- endgeneration -%} > "), "<\u{e9}1> <b> ", spans(&["\u{e9}1", "b"])),
            (
                each("{% generation %}{% set note = 'in' %}{{ note }}{{ loop.index }}{% endgeneration %}{{ note }}"),
                "in1nin2n",
                spans(&["in1", "in2"]),
            ),
            (each("{% generation %}{% if loop.last %}{{ note }}{% endif %}{% endgeneration %}n"), "nnn", spans(&["n"])),
            ("{% set x %}{% generation %}a{% endgeneration %}{% endset %}a{{ x }}".to_owned(), "aa", None),
            ("{% macro m() %}a{% generation %}a{% endgeneration %}{% endmacro %}{{ m() }}".to_owned(), "aa", None),
            ("{% generation %}a{% generation %}b{% endgeneration %}{% endgeneration %}".to_owned(), "ab", None),
            ("{# {% generation %} #}a".to_owned(), "a", spans(&[])),
        ] {
            assert_eq!(generated(&source), (text.to_owned(), expected), "{source}");
        }
    }

    #[test]
    fn tojson_is_pythons() {
        let source = "{{ {'a': '<é\"\\n>', 'list': [1, 2.0, true, none], 'e': {}} | tojson }}|{{ [1, {'b': []}] | tojson(indent=2) }}";
        let expected = "{\"a\": \"<é\\\"\\n>\", \"list\": [1, 2.0, true, null], \"e\": {}}|[\n  1,\n  {\n    \"b\": []\n  }\n]";
        assert_eq!(render(source, &[]).expect("render"), expected);
    }

    #[test]
    fn constants_print_as_in_python() {
        assert_eq!(render("{{ true }} {{ none }} {{ 1.0 }} {{ 3 }} {{ nothing }}", &[]).expect("render"), "True None 1.0 3 ");
    }

    #[test]
    fn the_date_is_fixed() {
        assert_eq!(render("{{ strftime_now('%d %b %Y') }}", &[]).expect("render"), "27 Jul 2024");
    }

    #[test]
    fn failures_are_errors_in_one_line() {
        let cases = [
            ("{{ raise_exception('roles must alternate') }}", "roles must alternate"),
            ("{% if %}", "does not compile"),
            ("{{ messages[0].content.x.y }}", "undefined"),
            ("{% for i in range(100000) %}{% for j in range(100000) %}{{ j }}{% endfor %}{% endfor %}", "more work"),
        ];
        for (source, text) in cases {
            let error = render(source, &[]).expect_err(source).to_string();
            assert!(error.starts_with("chat_template.jinja: ") && error.contains(text) && !error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn named_templates() {
        let path = Path::new("tokenizer_config.json");
        let list = json!([{"name": "tool_use", "template": "T"}, {"name": "default", "template": "D"}]);
        assert_eq!(template_in_config(&list, path).expect("list"), Some("D".to_owned()));
        assert_eq!(template_in_config(&json!("S"), path).expect("string"), Some("S".to_owned()));
        assert_eq!(template_in_config(&Value::Null, path).expect("null"), None);
        assert!(template_in_config(&json!(3), path).is_err());
    }
}

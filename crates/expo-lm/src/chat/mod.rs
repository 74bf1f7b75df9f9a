//! Chat templates: a conversation rendered to the text that a model was trained on, as transformers' `apply_chat_template` does it.

mod args;
mod callables;
mod ends;
mod errors;
mod expression;
mod fields;
mod filters;
mod floats;
mod functions;
mod generation;
mod json;
mod lexer;
mod limits;
mod message;
mod methods;
mod numbers;
mod objects;
mod operators;
mod printf;
mod python;
mod renderer;
mod sequences;
mod strftime;
mod strings;
mod syntax;
mod tests;
mod text;
mod thought;
mod turn;
mod unicode;
mod wrap;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Rest, ValueOrKwargs};
use minijinja::{Environment, Error as JinjaError, ErrorKind, State};
use serde_json::{Map, Value, json};

use crate::error::{Error, Result};
use crate::marked::{MarkedText, MarkedTexts, SpecialTokens};
pub use fields::FieldCheck;
pub(crate) use generation::Rendering;
use lexer::Fault;
pub use limits::Excess;
use limits::Worker;
pub use message::{ChatSettings, Content, Conversation, Message, taken_variable};
pub use turn::{Chat, Turn};

/// The name under which the template is kept in its environment.
const NAME: &str = "chat_template";

/// The variable that tells `strftime_now` the date, in seconds since 1970 (UTC).
const DATE: &str = "__date__";

/// A compiled chat template with the variables that it sees in every rendering.
pub struct ChatTemplate {
    environment: Arc<Environment<'static>>,
    /// Where the template came from, for messages.
    path: PathBuf,
    variables: Map<String, Value>,
    /// Whether it takes content as text or as parts, once that was asked.
    forms: OnceLock<Forms>,
    worker: Worker,
}

/// The forms of content that a template writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Forms {
    /// Text; of parts it writes something else than their text, or nothing.
    Text,
    /// Parts alone: it leaves text out, or fails on it.
    Parts,
    /// Either.
    Both,
}

/// A rendered conversation in which special tokens are the template's alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MarkedRendering {
    pub(crate) text: MarkedText,
    /// As [`Rendering::generated`].
    pub(crate) generated: Option<Vec<Range<usize>>>,
}

impl ChatTemplate {
    /// Compiles `source`, which came from the file `path`; `special_tokens` are variables such as `bos_token`.
    /// Errors: a syntax error, with its line.
    pub fn new(source: &str, path: &Path, special_tokens: Map<String, Value>) -> Result<Self> {
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().keep_trailing_newline(true).build();
        environment.set_syntax(syntax.map_err(|e| template_error(path, "can't be set up", &fault(&e)))?);
        // Messages name the expression that isn't there.
        environment.set_debug(true);
        environment.set_fuel(Some(limits::FUEL));
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        environment.set_unknown_method_callback(methods::named);
        environment.set_formatter(python::format_value);
        filters::add(&mut environment);
        tests::add(&mut environment);
        functions::add(&mut environment);
        operators::add(&mut environment);
        environment.add_function("strftime_now", |state: &mut State, values: Rest<ValueOrKwargs>| {
            let args = args::Args::new("strftime_now", values.into_values());
            let [format] = args.bind(["format"], 1)?;
            let date = state.lookup(DATE).and_then(|date| i64::try_from(date).ok());
            strftime::format_utc(date.unwrap_or_default(), args.text(&format.unwrap_or_default())?)
        });
        if source.len() > limits::MOST_SOURCE {
            let message = format!("the chat template has {} bytes; expected at most {}", source.len(), limits::MOST_SOURCE);
            return Err(Error::file(path, message));
        }
        let source = source.to_owned();
        let worker = Worker::default();
        let compiled = limited(&worker, path, move || {
            let translated = syntax::translate(&source)?;
            environment.add_template_owned(NAME, translated).map(|()| environment).map_err(|e| fault(&e))
        })?;
        let environment = Arc::new(compiled.map_err(|fault| template_error(path, "does not compile", &fault))?);
        Ok(Self { environment, path: path.to_owned(), variables: special_tokens, forms: OnceLock::new(), worker })
    }

    /// The text of messages; with `add_generation_prompt` it ends where the assistant's next turn begins.
    /// Errors: the template refuses the conversation or fails.
    pub fn render(&self, messages: &[Message], add_generation_prompt: bool, settings: &ChatSettings) -> Result<String> {
        self.render_json(&json!(messages), None, add_generation_prompt, settings)
    }

    /// The same as [`Self::render`] for any JSON.
    pub fn render_json(
        &self,
        messages: &Value,
        tools: Option<&Value>,
        add_generation_prompt: bool,
        settings: &ChatSettings,
    ) -> Result<String> {
        let inputs = Inputs { messages: messages.clone(), tools: tools.cloned(), chat_template_kwargs: Map::new() };
        Ok(self.render_inputs(inputs, add_generation_prompt, settings)?.text)
    }

    /// A conversation with its tools and variables, contents in the form that the template takes.
    pub(crate) fn render_conversation(
        &self,
        conversation: &Conversation,
        add_generation_prompt: bool,
        settings: &ChatSettings,
    ) -> Result<Rendering> {
        self.render_inputs(self.inputs(conversation), add_generation_prompt, settings)
    }

    /// The same with what looks like one of `special` in a message, a tool or a variable marked as text. Errors: also a template that alters such text so
    /// that this can't be followed, and a field that has the name of a special token.
    pub(crate) fn render_marked(
        &self,
        conversation: &Conversation,
        add_generation_prompt: bool,
        settings: &ChatSettings,
        special: &SpecialTokens,
    ) -> Result<MarkedRendering> {
        let mut inputs = self.inputs(conversation);
        let rendered = self.render_inputs(inputs.clone(), add_generation_prompt, settings)?;
        let trusted = |rendered: Rendering| MarkedRendering { text: MarkedText::trusted(rendered.text), generated: rendered.generated };
        let refuse = |what: &str, token: &str| {
            let message = format!(
                "the chat template {what} the text of the special token `{token}`: it can't be kept text; remove it from the message"
            );
            Err(Error::file(&self.path, message))
        };
        let (texts, names) = inputs.strings();
        if let Some(token) = names.iter().find_map(|name| special.first_in(name)) {
            return refuse("writes names of fields, and one of them has", token);
        }
        let Some(marked) = MarkedTexts::new(&texts, special)? else { return Ok(trusted(rendered)) };
        inputs.replace_strings(&marked.texts);
        let followed = self.render_inputs(inputs, add_generation_prompt, settings).ok();
        let followed = followed.map(|followed| marked.take_out_of(&followed.text, followed.generated));
        match (followed.filter(|(followed, _)| followed.text() == rendered.text), &marked.found) {
            (Some((text, generated)), _) => Ok(MarkedRendering { text, generated }),
            (None, None) => Ok(trusted(rendered)),
            (None, Some(token)) => refuse("alters messages, and one of them has", token),
        }
    }

    fn render_inputs(&self, mut inputs: Inputs, add_generation_prompt: bool, settings: &ChatSettings) -> Result<Rendering> {
        message::as_templates_see(&mut inputs.messages);
        let mut context = self.variables.clone();
        context.extend(settings.chat_template_kwargs.clone());
        context.extend(inputs.chat_template_kwargs);
        context.insert("messages".to_owned(), inputs.messages);
        context.insert("tools".to_owned(), inputs.tools.unwrap_or_default());
        context.insert("documents".to_owned(), Value::Null);
        context.insert("add_generation_prompt".to_owned(), add_generation_prompt.into());
        context.insert(DATE.to_owned(), settings.date.into());
        self.render_context(context)
    }

    /// Renders with these variables, and tells what generation blocks wrote.
    pub(crate) fn render_context(&self, context: Map<String, Value>) -> Result<Rendering> {
        let environment = Arc::clone(&self.environment);
        let rendered = limited(&self.worker, &self.path, move || {
            // An error holds values, which may be nested too deeply to be taken apart on another stack.
            environment.get_template(NAME).and_then(|template| generation::render(&template, context)).map_err(|e| fault(&e))
        })?;
        rendered.map_err(|fault| template_error(&self.path, "fails on this conversation", &fault))
    }

    /// Where the template came from.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn inputs(&self, conversation: &Conversation) -> Inputs {
        let forms = *self.forms.get_or_init(|| self.ask_for_forms());
        let in_form = |message: &Message| {
            let content = match (&message.content, forms) {
                (Content::Parts(_), Forms::Text) => Content::Text(message.text().into_owned()),
                (Content::Text(text), Forms::Parts) => Content::Parts(vec![message::text_part(text)]),
                (content, _) => content.clone(),
            };
            Message { content, ..message.clone() }.to_json()
        };
        Inputs {
            messages: conversation.messages.iter().map(in_form).collect(),
            tools: conversation.tools.clone(),
            chat_template_kwargs: conversation.chat_template_kwargs.clone(),
        }
    }

    /// Finds out which forms of content it takes, by what it writes of a text of which nothing else could be.
    fn ask_for_forms(&self) -> Forms {
        const PROBE: &str = "expo\u{100000}";
        // At no run's date, since the answer is every run's that uses this template.
        let settings = ChatSettings::default();
        let written = |content: Value| {
            let inputs = Inputs { messages: json!([{"role": "user", "content": content}]), tools: None, chat_template_kwargs: Map::new() };
            self.render_inputs(inputs, false, &settings).map(|rendering| rendering.text).ok().filter(|text| text.contains(PROBE))
        };
        let (text, parts) = (written(PROBE.into()), written(json!([message::text_part(PROBE)])));
        match (text, parts) {
            (None, Some(_)) => Forms::Parts,
            (Some(text), Some(parts)) if text == parts => Forms::Both,
            _ => Forms::Text,
        }
    }
}

/// What a template is given, as JSON.
#[derive(Clone)]
struct Inputs {
    messages: Value,
    tools: Option<Value>,
    chat_template_kwargs: Map<String, Value>,
}

impl Inputs {
    /// Every string that is a value, in order, and the names of all fields within messages and tools.
    fn strings(&self) -> (Vec<&str>, Vec<&str>) {
        fn collect<'a>(value: &'a Value, texts: &mut Vec<&'a str>, names: &mut Vec<&'a str>) {
            match value {
                Value::String(text) => texts.push(text),
                Value::Array(items) => items.iter().for_each(|item| collect(item, texts, names)),
                Value::Object(fields) => fields.iter().for_each(|(name, value)| {
                    names.push(name);
                    collect(value, texts, names);
                }),
                _ => {}
            }
        }
        let (mut texts, mut names) = (Vec::new(), Vec::new());
        for value in std::iter::once(&self.messages).chain(&self.tools).chain(self.chat_template_kwargs.values()) {
            collect(value, &mut texts, &mut names);
        }
        (texts, names)
    }

    /// Puts `texts` in the place of those of [`Self::strings`].
    fn replace_strings(&mut self, texts: &[String]) {
        fn put<'a>(value: &mut Value, texts: &mut impl Iterator<Item = &'a String>) {
            match value {
                Value::String(text) => *text = texts.next().expect("as many as there are").clone(),
                Value::Array(items) => items.iter_mut().for_each(|item| put(item, texts)),
                Value::Object(fields) => fields.values_mut().for_each(|value| put(value, texts)),
                _ => {}
            }
        }
        let mut texts = texts.iter();
        for value in std::iter::once(&mut self.messages).chain(&mut self.tools).chain(self.chat_template_kwargs.values_mut()) {
            put(value, &mut texts);
        }
    }
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

/// What MiniJinja has to say.
fn fault(error: &JinjaError) -> Fault {
    let message = match (error.kind(), error.detail()) {
        (ErrorKind::OutOfFuel, _) => "it does more work, or writes more, than a conversation takes".to_owned(),
        (ErrorKind::InvalidOperation, Some(detail)) => detail.to_owned(),
        (kind, Some(detail)) => format!("{kind}: {detail}"),
        (kind, None) => kind.to_string(),
    };
    Fault { line: error.line().unwrap_or(0), message }
}

fn template_error(path: &Path, what: &str, fault: &Fault) -> Error {
    let line = if fault.line == 0 { String::new() } else { format!(" (line {})", fault.line) };
    // The text can be the template's own, or hold a message.
    let reason: String = fault.message.chars().map(|c| if c.is_control() { ' ' } else { c }).take(limits::MOST_MESSAGE).collect();
    Error::file(path, format!("the chat template {what}{line}: {reason}"))
}

#[cfg(test)]
mod template_tests {
    use super::*;

    fn render(source: &str, messages: &[Message]) -> Result<String> {
        let tokens = json!({"bos_token": "<s>", "eos_token": "</s>"});
        let template = ChatTemplate::new(source, Path::new("chat_template.jinja"), tokens.as_object().expect("object").clone())?;
        template.render(messages, true, &ChatSettings { date: 1_722_038_400, ..ChatSettings::default() })
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

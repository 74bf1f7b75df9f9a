//! The configuration's prompt templates, compiled.

use std::collections::{BTreeMap, BTreeSet};

use expo_lm::chat::within_limits;
use mathverify::{Delimiter, ExtractConfig, extract};
use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Error as JinjaError, UndefinedBehavior};

use crate::config::PromptSection;
use crate::data::{Problem, first_of};
use crate::error::{Error, Result};

const QUESTION: &str = "question";
const EXPLANATION: &str = "explanation";
const ANSWER_SUFFIX: &str = "answer_suffix";

/// The compiled templates of `[prompt]`. Variables: `question`, `level`, `subject` and the row's other fields, where the problem has them;
/// `answer` in `explanation` and `answer_suffix` alone. An unknown variable is an error.
#[derive(Debug)]
pub struct Templates {
    environment: Environment<'static>,
    /// The variables that each template asks for.
    wanted: BTreeMap<&'static str, BTreeSet<String>>,
    delimiter: Delimiter,
    suffix_is_spaced: bool,
}

/// Templates of a section, compiled or not.
pub(crate) struct Compiled {
    environment: Environment<'static>,
    /// By their options' names: the variables that each asks for, or why it doesn't compile.
    pub templates: Vec<(&'static str, std::result::Result<BTreeSet<String>, JinjaError>)>,
}

/// Compiles all templates of `section`. Errors: what they take too much of.
pub(crate) fn compile(section: &PromptSection) -> std::result::Result<Compiled, String> {
    let sources = [(QUESTION, &section.question), (EXPLANATION, &section.explanation), (ANSWER_SUFFIX, &section.answer_suffix)];
    let sources = sources.map(|(name, source)| (name, source.clone()));
    let work = move || {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        let syntax = SyntaxConfig::builder().keep_trailing_newline(true).build();
        environment.set_syntax(syntax.expect("the default syntax but for the final line's end"));
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        let mut variables = |name, source| {
            environment.add_template_owned(name, source)?;
            Ok(environment.get_template(name)?.undeclared_variables(false).into_iter().collect())
        };
        let templates = sources.into_iter().map(|(name, source)| (name, variables(name, source))).collect();
        Compiled { environment, templates }
    };
    match within_limits(work) {
        Ok(Ok(compiled)) => Ok(compiled),
        Ok(Err(excess)) => Err(format!("compiling the templates {excess}")),
        Err(error) => Err(format!("no thread to compile the templates: {error}")),
    }
}

impl Templates {
    /// Compiles all templates. Errors: every syntax error, an answer suffix whose answer can't be found again.
    pub fn new(section: &PromptSection) -> Result<Self> {
        let compiled = compile(section).map_err(|reason| Error::Config(vec![format!("prompt: {reason}")]))?;
        let (mut wanted, mut problems) = (BTreeMap::new(), Vec::new());
        for (name, variables) in compiled.templates {
            match variables {
                Ok(variables) => drop(wanted.insert(name, variables)),
                Err(error) => problems.push(format!("prompt.{name}: {}", reason(&error))),
            }
        }
        if !problems.is_empty() {
            return Err(Error::Config(problems));
        }
        let mut templates = Self { environment: compiled.environment, wanted, delimiter: Delimiter::Hashes, suffix_is_spaced: false };
        let example = templates.example();
        let suffix = templates.render(ANSWER_SUFFIX, &example, true)?;
        let found = extract(&suffix, &ExtractConfig::announced()).into_iter().find(|c| c.value == example.answer);
        let Some(found) = found else {
            return Err(Error::Config(vec![format!(
                "prompt.answer_suffix: renders as {suffix:?}, where no answer can be found again; \
                 use `#### {{{{answer}}}}`, `\\boxed{{ {{{{answer}}}} }}` or `The answer is {{{{answer}}}}`"
            )]));
        };
        templates.delimiter = found.delimiter;
        templates.suffix_is_spaced = suffix.starts_with(char::is_whitespace);
        Ok(templates)
    }

    /// User turn of the question alone.
    pub fn question(&self, problem: &Problem) -> Result<String> {
        self.render(QUESTION, problem, false)
    }

    /// User turn of the question with the answer shown.
    pub fn explanation(&self, problem: &Problem) -> Result<String> {
        self.render(EXPLANATION, problem, true)
    }

    /// Delimiter and answer as they stand at the end of a completion.
    pub fn answer_suffix(&self, problem: &Problem) -> Result<String> {
        self.render(ANSWER_SUFFIX, problem, true)
    }

    /// The delimiter that `answer_suffix` writes.
    pub fn delimiter(&self) -> Delimiter {
        self.delimiter
    }

    /// Where the chain of thought of `completion` ends, given where its answer's delimiter begins: before the white space ahead of the
    /// delimiter, if the suffix brings its own.
    pub fn thought_end(&self, completion: &str, delimiter_start: usize) -> usize {
        if self.suffix_is_spaced { completion[..delimiter_start].trim_end().len() } else { delimiter_start }
    }

    /// A problem to try the answer suffix on; it has every field that the suffix asks for.
    fn example(&self) -> Problem {
        Problem {
            id: "example".into(),
            question: "6*7?".into(),
            answer: "42".into(),
            expert_cot: None,
            level: Some(1),
            level_name: None,
            subject: Some("arithmetic".into()),
            extra: self.wanted[ANSWER_SUFFIX].iter().map(|name| (name.clone(), "x".to_owned())).collect(),
            context: Default::default(),
        }
    }

    fn render(&self, name: &str, problem: &Problem, with_answer: bool) -> Result<String> {
        let mut variables: BTreeMap<&str, minijinja::Value> =
            problem.extra.iter().map(|(name, value)| (name.as_str(), value.as_str().into())).collect();
        // A row's own field of that name must not give the answer away.
        variables.remove("answer");
        variables.insert("question", problem.question.as_str().into());
        let level = problem.level_name.as_deref().map(minijinja::Value::from).or(problem.level.map(minijinja::Value::from));
        variables.extend(level.map(|level| ("level", level)));
        variables.extend(problem.subject.as_deref().map(|subject| ("subject", subject.into())));
        if with_answer {
            variables.insert("answer", problem.answer.as_str().into());
        }
        let names: Vec<&str> = variables.keys().copied().collect();
        let template = self.environment.get_template(name).expect("compiled in `new`");
        template.render(&variables).map_err(|error| {
            let unknown: Vec<&str> = self.wanted[name].iter().map(String::as_str).filter(|variable| !names.contains(variable)).collect();
            let hint = if unknown.is_empty() {
                String::new()
            } else {
                format!(": it uses {}, but has {}", unknown.join(", "), first_of(names.iter().map(|name| (*name).to_owned())))
            };
            Error::Template(format!("prompt.{name} fails on problem {}: {}{hint}", problem.id, reason(&error)))
        })
    }
}

fn reason(error: &JinjaError) -> String {
    let line = error.line().map_or(String::new(), |line| format!(" (line {line})"));
    match error.detail() {
        Some(detail) => format!("{}: {detail}{line}", error.kind()),
        None => format!("{}{line}", error.kind()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::generator::Division;

    fn example() -> Problem {
        Templates::new(&PromptSection::default()).unwrap().example()
    }
    fn section(change: impl Fn(&mut PromptSection)) -> PromptSection {
        let mut section = PromptSection::default();
        change(&mut section);
        section
    }

    #[test]
    fn the_defaults_are_the_generators_texts() {
        let templates = Templates::new(&PromptSection::default()).unwrap();
        let division = Division { quotient: 786, divisor: 8 };
        let problem = Problem { question: division.question(), answer: "786".into(), ..example() };
        assert_eq!(templates.question(&problem).unwrap(), division.question());
        assert_eq!(templates.explanation(&problem).unwrap(), division.hinted_question());
        assert_eq!(division.reasoning() + &templates.answer_suffix(&problem).unwrap(), division.completion());
        assert_eq!(templates.delimiter(), Delimiter::Hashes);
        assert_eq!(templates.thought_end("a\n#### 1", 2), 2);
    }

    #[test]
    fn variables_are_strict_and_the_answer_is_hidden() {
        let mut problem = example();
        problem.extra.insert("answer".into(), "leak".into());
        problem.extra.insert("source".into(), "here".into());
        let templates = Templates::new(&section(|s| s.question = "{{source}} {{level}} {{subject}}: {{question}}\n".into())).unwrap();
        assert_eq!(templates.question(&problem).unwrap(), "here 1 arithmetic: 6*7?\n");
        for (source, part) in
            [("{{answer}}", "it uses answer"), ("{{qestion}}", "it uses qestion, but has"), ("{{ 1/0 }}", "prompt.question")]
        {
            let error = Templates::new(&section(|s| s.question = source.into())).unwrap().question(&problem).unwrap_err().to_string();
            assert!(error.contains("prompt.question fails on problem example") && error.contains(part) && !error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn all_syntax_errors_are_told_together() {
        let broken = section(|s| (s.question, s.explanation) = ("{{".into(), "{% if %}".into()));
        let Err(Error::Config(problems)) = Templates::new(&broken) else { panic!() };
        assert!(problems.len() == 2 && problems[0].starts_with("prompt.question: ") && problems[1].starts_with("prompt.explanation: "));
    }

    /// MiniJinja compiles by recursion.
    #[test]
    fn what_is_nested_deeply_needs_no_stack_of_the_caller() {
        let deep = |inner: &str| format!("{{{{ {}{inner} }}}}{{{{question}}}}", "-".repeat(20_000));
        let templates = Templates::new(&section(|s| s.question = deep("1"))).unwrap();
        assert_eq!(templates.question(&example()).unwrap(), "16*7?");
        let error = Templates::new(&section(|s| s.question = deep("unknown"))).unwrap().question(&example()).unwrap_err().to_string();
        assert!(error.contains("it uses unknown, but has"), "{error}");
        let text = format!("[prompt]\nquestion = '{}'", deep("1"));
        assert!(crate::config::Config::from_toml(&text, "c.toml", &[]).is_ok());
    }

    #[test]
    fn the_answer_suffix_has_to_be_found_again() {
        for (suffix, delimiter) in [
            ("\n#### {{answer}}", Delimiter::Hashes),
            ("\n\\boxed{ {{answer}} }", Delimiter::Boxed),
            ("\nThe answer is {{answer}}.", Delimiter::Phrase),
        ] {
            let templates = Templates::new(&section(|s| s.answer_suffix = suffix.into())).unwrap();
            assert_eq!(templates.delimiter(), delimiter);
            assert_eq!(templates.thought_end("a \n#### 1", 3), 1);
        }
        for suffix in ["{{answer}}", "####", "Result: {{answer}}"] {
            let error = Templates::new(&section(|s| s.answer_suffix = suffix.into())).unwrap_err().to_string();
            assert!(error.contains("prompt.answer_suffix") && error.contains("#### {{answer}}"), "{error}");
        }
    }
}

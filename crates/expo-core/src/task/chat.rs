//! The task of a run on real text: a model's prompts and the verifier.

use std::collections::BTreeSet;
use std::sync::Arc;

use rayon::prelude::*;

use crate::config::{Config, Turns};
use crate::data::{Document, Problem, generator};
use crate::error::{Error, Result};
use crate::objective::EncodedDocument;
use crate::prompt::{Encoded, Prompts};
use crate::reward::{Verdict, Verifier};
use crate::task::Task;
use expo_lm::chat::{ChatSettings, Conversation, FieldCheck, Message};
use expo_lm::load::ModelFolder;

/// [`Prompts`] and [`Verifier`] as a [`Task`].
pub struct ChatTask {
    prompts: Prompts,
    verifier: Verifier,
    /// Which turns of documents are trained on.
    turns: Turns,
}

impl ChatTask {
    /// The templates and the verifier of `config` for the model of `folder`. Errors: those of [`Prompts::new`].
    pub fn new(config: &Config, folder: Arc<ModelFolder>) -> Result<Self> {
        Self::at(config, folder, ChatSettings::now().date)
    }

    /// The same at `date`, which chat templates take for today, in seconds since 1970 (UTC).
    pub fn at(config: &Config, folder: Arc<ModelFolder>, date: i64) -> Result<Self> {
        let prompts = Prompts::new(&config.prompt, folder, date)?;
        let verifier = Verifier::new(&config.reward, prompts.templates.delimiter());
        Ok(Self { prompts, verifier, turns: config.rehearsal.turns })
    }

    /// Judges what a completion says behind its thoughts, where the prompt has begun some.
    fn judge(&self, problem: &Problem, completion: &str) -> Verdict {
        let start = match self.prompts.thoughts_end() {
            None => Some(0),
            Some(end) => completion.rfind(end).map(|at| at + end.len()),
        };
        let Some(start) = start else { return Verdict::default() };
        let mut verdict = self.verifier.verify(problem, &completion[start..]);
        verdict.answer_start = verdict.answer_start.map(|at| self.prompts.templates.thought_end(completion, start + at).max(start));
        verdict
    }
}

impl Task for ChatTask {
    fn question(&self, problem: &Problem) -> Result<Vec<u32>> {
        self.prompts.question(problem)
    }
    fn question_text(&self, problem: &Problem) -> Result<String> {
        self.prompts.templates.question(problem)
    }
    fn explanation(&self, problem: &Problem) -> Result<Vec<u32>> {
        self.prompts.explanation(problem)
    }
    fn answer_suffix(&self, problem: &Problem) -> Result<String> {
        self.prompts.templates.answer_suffix(problem)
    }
    fn document(&self, document: &Document) -> Result<Encoded> {
        self.prompts.turns(&document.conversation, &document.turns(self.turns))
    }
    fn continuation(&self, prompt: &Conversation, turns: &[Message]) -> Result<(EncodedDocument, BTreeSet<String>)> {
        let whole = prompt.with([&prompt.messages, turns].concat());
        let is_turn = |i: &usize| whole.messages[*i].role == "assistant";
        let indices: Vec<usize> = (prompt.messages.len()..whole.messages.len()).filter(is_turn).collect();
        let Encoded { mut sequences, notices } = self.prompts.turns(&whole, &indices)?;
        match (sequences.pop(), sequences.is_empty()) {
            (Some(one), true) => Ok((one, notices)),
            _ => Err(Error::Template(
                "it has several turns of the assistant, and the chat template writes earlier ones otherwise later, so they are no one completion; \
                 shorten it to one turn, or leave the row out (data.on_bad_row = \"skip\")"
                    .into(),
            )),
        }
    }
    fn answer(&self, problem: &Problem, thoughts: &str, text: &str) -> Result<Vec<u32>> {
        self.prompts.answer(problem, thoughts, text)
    }
    fn is_unfinished_thought(&self, completion: &str) -> bool {
        self.prompts.thoughts_end().is_some_and(|end| !completion.contains(end))
    }
    fn look_at_fields(&self, conversation: &Conversation, check: &mut FieldCheck) -> Result<()> {
        self.prompts.look_at_fields(conversation, check)
    }
    fn notice(&self) -> Result<Option<String>> {
        self.prompts.notice()
    }
    fn date(&self) -> i64 {
        self.prompts.chat().settings().date
    }
    fn encode(&self, text: &str) -> Result<Vec<u32>> {
        self.prompts.encode(text)
    }
    fn decode(&self, tokens: &[u32]) -> Result<String> {
        self.prompts.decode(tokens)
    }
    fn decode_with_ends(&self, tokens: &[u32]) -> Result<(String, Vec<usize>)> {
        self.prompts.decode_with_ends(tokens)
    }
    fn decode_with_special_tokens(&self, tokens: &[u32]) -> Result<String> {
        self.prompts.decode_with_special_tokens(tokens)
    }
    fn is_special(&self, token: u32) -> bool {
        self.prompts.is_special(token)
    }
    fn stop_token_ids(&self) -> &[u32] {
        self.prompts.stop_token_ids()
    }
    fn end_of_turn(&self) -> Result<&[u32]> {
        self.prompts.end_of_turn()
    }
    fn verify(&self, completions: &[(&Problem, &str)]) -> Vec<Verdict> {
        completions.par_iter().map(|(problem, completion)| self.judge(problem, completion)).collect()
    }
    fn same_answer(&self, a: &str, b: &str) -> bool {
        self.verifier.same_answer(a, b)
    }
    fn steps_right(&self, problem: &Problem, completion: &str) -> Option<bool> {
        generator::steps_correct(problem, completion)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::OnBadRow;
    use crate::data::generator::{Division, Split, problems};
    use crate::data::{BadRows, Preference};
    use crate::feed::documents::sift;
    use crate::feed::preferences;
    use crate::task::suffix::suffix;
    use crate::testing::{tiny, with_template};
    use expo_lm::tokenizer::tokens_before;

    fn task(answer_suffix: &str) -> ChatTask {
        let mut config = Config::default();
        config.prompt.answer_suffix = answer_suffix.into();
        ChatTask::new(&config, Arc::new(tiny().folder)).unwrap()
    }

    fn of_template(template: &str, change: impl Fn(&mut Config)) -> Result<ChatTask> {
        let mut config = Config::default();
        change(&mut config);
        ChatTask::at(&config, Arc::new(with_template(template)), 0)
    }

    /// The tiny model's template, with this behind the assistant's header in prompts.
    fn begun(text: &str) -> String {
        format!(
            "{{% for m in messages %}}<|{{{{ m.role }}}}|>{{{{ m.content }}}}<|end|>{{% endfor %}}{{% if add_generation_prompt %}}<|assistant|>{text}{{% endif %}}"
        )
    }

    #[test]
    fn behind_begun_thoughts_the_answer_is_what_follows_them() {
        let task = of_template(&begun("{{ '<think>\n' }}"), |_| ()).unwrap();
        let problem = Problem { question: "12/3?".into(), answer: "4".into(), ..Problem::default() };
        let judge = |text: &str| task.verify(&[(&problem, text)]).remove(0);
        for (text, correct, start) in [
            ("#### 4", false, None),
            ("#### 5</think>#### 4", true, Some(14)),
            ("#### 4</think>#### 5", false, Some(14)),
            ("#### 4</think>", false, None),
        ] {
            assert_eq!((judge(text).correct, judge(text).answer_start), (correct, start), "{text}");
        }
        assert!(task.is_unfinished_thought("#### 4") && !task.is_unfinished_thought("1</think>#### 4"));
        // An expert chain of thought is these thoughts.
        let expected = task.encode("1/1</think>\n\n#### 4").unwrap();
        let expert = task.answer(&problem, "1/1", "#### 4").unwrap();
        let without_lines = |tokens: &[u32]| task.decode(tokens).unwrap().replace('\n', "");
        assert_eq!(without_lines(&expert), without_lines(&expected));
        let error = task.answer(&problem, "", "#### 4").unwrap_err().to_string();
        assert!(error.contains("so that a turn begins with thoughts, and this message has none"), "{error}");
        // A template whose assistant's header looks like a tag has begun nothing.
        let tag =
            "{% for m in messages %}<{{ m.role }}>{{ m.content }}<|end|>{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}";
        assert!(!of_template(tag, |_| ()).unwrap().is_unfinished_thought("#### 4"));
    }

    #[test]
    fn an_explanation_s_prompt_begins_the_turn_as_the_question_s_does() {
        let problem = problems(&[1], 1, 0, Split::Train).unwrap().remove(0);
        let task = of_template(&begun("{% if '[' in messages[-1].content %}<think></think>{% endif %}"), |_| ()).unwrap();
        assert!(task.question(&problem).is_ok());
        let error = task.explanation(&problem).unwrap_err().to_string();
        assert!(
            error.starts_with(&problem.id) && error.contains("begins with \"\" behind prompt.question and with \"<think></think>\" behind"),
            "{error}"
        );
    }

    #[test]
    fn runs_have_dates_and_variables_of_their_own() {
        let folder = Arc::new(with_template(&begun("{{ strftime_now('%Y') }}{{ more }}")));
        let prompt = |date, more: Option<u32>| {
            let mut config = Config::default();
            config.prompt.chat_template_kwargs.0.extend(more.map(|more| ("more".to_owned(), more.into())));
            let task = ChatTask::at(&config, folder.clone(), date).unwrap();
            assert_eq!((task.date(), task.notice().unwrap()), (date, None));
            task.decode(&task.question(&Problem { question: "1/1?".into(), ..Problem::default() }).unwrap()).unwrap()
        };
        // A row's own win.
        let mut of_row = Problem { question: "1/1?".into(), ..Problem::default() };
        of_row.context.chat_template_kwargs.insert("more".into(), 5.into());
        let mut config = Config::default();
        config.prompt.chat_template_kwargs.0.insert("more".into(), 7.into());
        let task = ChatTask::at(&config, folder.clone(), 0).unwrap();
        assert_eq!(task.decode(&task.question(&of_row).unwrap()).unwrap(), "1/1?19705");
        assert_eq!([prompt(0, None), prompt(1_000_000_000, Some(7)), prompt(0, Some(12))], ["1/1?1970", "1/1?20017", "1/1?197012"]);
        let task = of_template(&begun(""), |config| drop(config.prompt.chat_template_kwargs.0.insert("more".into(), 1.into()))).unwrap();
        let notice = task.notice().unwrap().unwrap();
        assert_eq!(
            notice,
            "prompt.chat_template_kwargs: the chat template reads nothing of `chat_template_kwargs.more`: they change nothing"
        );
    }

    #[test]
    fn fields_that_the_template_does_not_read_are_told_once() {
        let document = |field: &str| {
            let mut document = Document::new("1/1?", "#### 1");
            document.conversation.messages[0].fields.insert(field.into(), "x".into());
            document
        };
        let task = of_template(&begun("").replace("m.content", "m.name | default('') + m.content"), |_| ()).unwrap();
        let mut bad = BadRows::new(OnBadRow::Refuse);
        let sifted = sift(vec![document("name"), document("mood"), document("mood")], &task, 512, &mut bad).unwrap();
        assert_eq!(sifted.notices, ["the chat template reads nothing of `mood` of user messages: they change nothing"]);
        assert_eq!(sifted.documents.len(), 3);
        // Sides that differ in such a field alone are no pair.
        let side = |mood: &str| {
            let mut side = Message::new("assistant", "#### 1");
            side.fields.insert("mood".into(), mood.into());
            vec![side]
        };
        let prompt = vec![Message::new("user", "1/1?")].into();
        let pair = Preference { id: "p.jsonl:3".into(), prompt, chosen: side("a"), rejected: side("b") };
        let error = preferences::encode("p.jsonl", OnBadRow::Refuse, &task, &[pair], 512).unwrap_err().to_string();
        assert_eq!(error, "p.jsonl:3: the chat template writes both sides alike, so neither is preferred");
    }

    #[test]
    fn a_right_completion_is_verified_cut_and_put_together_again() {
        for spaced in [false, true] {
            let task = task(if spaced { "\n#### {{answer}}" } else { "#### {{answer}}" });
            for problem in problems(&[], 50, 2, Split::Train).unwrap() {
                let division = Division::parse(&problem.question).unwrap();
                let text = format!("{}{}", division.reasoning(), task.answer_suffix(&problem).unwrap());
                let verdict = task.verify(&[(&problem, &text)]).remove(0);
                assert!(verdict.correct && task.steps_right(&problem, &text) == Some(true));
                let tokens = task.encode(&text).unwrap();
                let cut = tokens_before(&task.decode_with_ends(&tokens).unwrap().1, verdict.answer_start.unwrap());
                assert_eq!(task.decode(&tokens[..cut]).unwrap(), division.reasoning());
                let suffix = suffix(&task, &problem).unwrap();
                assert_eq!([&tokens[..cut], &suffix.tokens].concat(), tokens);
                assert_eq!(task.decode(&suffix.tokens[suffix.answer]).unwrap(), problem.answer);
            }
        }
    }
}

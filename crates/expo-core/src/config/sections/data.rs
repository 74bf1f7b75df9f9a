//! What goes in: the model, the problems, the prompts, how completions are drawn.

use super::super::levels::Levels;
use super::super::option::{Bounds, OneOrMore, OptionSpec, OptionValue, Section, Variables, choice, section};

section! {
    /// The policy's start.
    ModelSection {
        /// Hugging Face folder, hub name (`Qwen/Qwen2.5-0.5B-Instruct`), or `embedded:tiny` for the model in the binary.
        path: String = "embedded:tiny".to_owned();
        /// Where the weights come from.
        init: Init = Init::Pretrained;
    }
}

choice! {
    /// Where the weights come from.
    Init {
        /// The folder's weights.
        Pretrained = "pretrained",
        /// Random initialisation from the folder's `config.json` (for pretraining with `sft`).
        Random = "random",
    }
}

section! {
    /// Problems with known answers to train on (`dpo`: preferences).
    DataSection {
        /// File (`.jsonl`, `.json`, `.csv`, `.tsv`, `.parquet`), hub data set (`openai/gsm8k`), file on the hub (`hf://datasets/OWNER/NAME/PATH`), or `generator:division` for the built-in problems; a list of such mixes them.
        train: OneOrMore = "generator:division".into();
        /// How often problems of each set in `train` are drawn, in proportion (empty: all problems alike, pass after pass over all sets together).
        weights: Vec<f64> = vec![], in 0.0..;
        /// Configuration (subset) of hub data sets that have several, such as `main` of `openai/gsm8k` (empty: the only one).
        config: String = String::new();
        /// Split of hub data sets (unset: `train`, and `test` in `expo-rl eval`).
        split: Option<String> = None;
        /// How rows are read.
        format: DataFormat = DataFormat::Auto;
        /// Field of the question (`format = "fields"`); `a.b` is field `b` of the object `a`, here and below.
        question_field: String = "question".to_owned();
        /// Field of the final answer (`format = "fields"`).
        answer_field: String = "answer".to_owned();
        /// Field of the expert chain of thought; rows may lack it (`format = "fields"`).
        expert_cot_field: String = "solution".to_owned();
        /// What is trained on of an expert chain of thought.
        expert_cot_format: ExpertCotFormat = ExpertCotFormat::Prompt;
        /// Field of the level; rows may lack it (`format = "fields"`).
        level_field: String = "level".to_owned();
        /// Field of the subject; rows may lack it (`format = "fields"`).
        subject_field: String = "subject".to_owned();
        /// What becomes of rows that can't be used: malformed, without a field that they need, with a known answer that nothing could be equal to, a preference with equal or empty sides.
        on_bad_row: OnBadRow = OnBadRow::Refuse;
        /// Keep only problems of these levels (empty: all). Where the data has words in place of numbers, all of them, the easiest first: `["easy", "hard"]`; those that aren't named are left out.
        levels: Levels = Levels::default();
        /// Leave out problems whose question came before, in any set, but for case and white space.
        deduplicate: bool = false;
        /// Keep at most this many problems of each set, after the filter by level (0: all).
        limit: usize = 0;
        /// Number of problems drawn from the generator.
        generate: usize = 4096, in 1..;
        /// The generator's seed.
        generator_seed: u64 = 0;
        /// Shuffle the problems at the start of each pass over them.
        shuffle: bool = true;
        /// Whether levels come in an order or with weights.
        curriculum: Curriculum = Curriculum::Off;
        /// `curriculum = "level_weights"`: how often problems of each of `levels` are drawn at the first step, in proportion.
        level_weights: Vec<f64> = vec![], in 0.0..;
        /// The same at the last step (empty: as at the first); in between the weights move in a straight line.
        level_weights_end: Vec<f64> = vec![], in 0.0..;
    }
}

choice! {
    /// Whether levels come in an order or with weights.
    Curriculum {
        /// Neither.
        Off = "off",
        /// Each pass goes from the lowest level to the highest, shuffled within a level.
        EasyToHard = "easy_to_hard",
        /// Problems are drawn by `level_weights`.
        LevelWeights = "level_weights",
    }
}

choice! {
    /// What becomes of rows that can't be used.
    OnBadRow {
        /// The first one stops the run before it starts, named with its file and line.
        Refuse = "refuse",
        /// They are left out; a notice counts them and names the first.
        Skip = "skip",
    }
}

choice! {
    /// What is trained on of an expert chain of thought.
    ExpertCotFormat {
        /// Its reasoning, continued with `prompt.answer_suffix`: GSM8K's without `<<...>>` and its answer line, MATH's with its last box unwrapped.
        Prompt = "prompt",
        /// The text as it stands in the data, which has to have its answer in it.
        Original = "original",
    }
}

choice! {
    /// How rows are read.
    DataFormat {
        /// Recognise the shape by its fields: MATH's, GSM8K's, else by the field options.
        Auto = "auto",
        /// `question`, `answer` with the final answer after `#### `.
        Gsm8k = "gsm8k",
        /// `problem`, `solution`, `answer`, `level`, `subject`.
        Math = "math",
        /// By the options `question_field`, `answer_field`, ...
        Fields = "fields",
    }
}

section! {
    /// MiniJinja templates with the variables `question`, `level`, `subject` and, where said, `answer`; rendered, then put through the model's chat template.
    PromptSection {
        /// System message (empty: none).
        system: String = String::new();
        /// User turn that asks the question; must not show the answer.
        question: String = "{{question}}".to_owned();
        /// User turn that shows question and `answer` and asks for an explanation.
        explanation: String = "{{question}}[{{answer}}]".to_owned();
        /// Delimiter and `answer` as they stand at the end of a completion, such as `\n#### {{answer}}`; the chain of thought ends where it begins.
        answer_suffix: String = "#### {{answer}}".to_owned();
        /// Variables of the model's chat template, as transformers' option of this name: `{ enable_thinking = false }`. They hold for every prompt, in training,
        /// sampling and evaluation; a row's own `chat_template_kwargs` win.
        chat_template_kwargs: Variables = Variables::default();
    }
}

section! {
    /// Rollouts: completions of the question alone, drawn from the current policy.
    RolloutSection {
        /// Completions per question (G).
        num_generations: usize = 8, in 1..=4096;
        /// Sampling temperature; the policy-gradient term's log-probs use it too.
        temperature: f64 = 1.0, in Bounds::positive();
        /// Keep the k most likely tokens (0: all). Recipes with a policy gradient need 0.
        top_k: usize = 0;
        /// Nucleus sampling (1: off). Recipes with a policy gradient need 1.
        top_p: f64 = 1.0, in Bounds { min: Some((0.0, false)), max: Some((1.0, true)) };
        /// Least probability relative to the most likely token (0: off). Recipes with a policy gradient need 0.
        min_p: f64 = 0.0, in 0.0..1.0;
        /// Longest completion in tokens.
        max_new_tokens: usize = 256, in 1..;
        /// Most sequences decoded at once.
        max_num_seqs: usize = 64, in 1..;
    }
}

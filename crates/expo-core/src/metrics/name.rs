//! The names of metrics: all that a run can measure, and nothing else. docs/metrics.md says what each of them means.

use std::borrow::Cow;
use std::fmt;

use super::phase::Phase;
use crate::objective::term::Term;
use crate::reward::name::RewardName;

/// Of held-out problems: how many are solved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Accuracy {
    /// `pass@K`: that at least one of K samples is right; of one sample the mean accuracy.
    PassAt(usize),
    /// `maj@N`: that the majority vote of N samples is right.
    MajorityAt(usize),
}

impl Accuracy {
    fn parse(text: &str) -> Option<Self> {
        let number = |text: &str| text.parse().ok().filter(|number: &usize| number.to_string() == text);
        match text.split_once('@')? {
            ("pass", k) => Some(Accuracy::PassAt(number(k)?)),
            ("maj", n) => Some(Accuracy::MajorityAt(number(n)?)),
            _ => None,
        }
    }
}

impl fmt::Display for Accuracy {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Accuracy::PassAt(k) => write!(f, "pass@{k}"),
            Accuracy::MajorityAt(n) => write!(f, "maj@{n}"),
        }
    }
}

macro_rules! names {
    ($($variant:ident = $text:literal,)*) => {
        /// The name of a metric.
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Name {
            $(#[doc = concat!("`", $text, "`.")] $variant,)*
            /// `loss/TERM`: a term of the loss, without its coefficient.
            Term(Term),
            /// `reward/NAME`: mean of one reward.
            Reward(RewardName),
            /// `time/PHASE`: seconds of a phase.
            Time(Phase),
            /// `eval/pass@K`, `eval/maj@N`: of all held-out problems.
            Eval(Accuracy),
            /// `eval/level_L/...`: of the held-out problems of one level; `-`: of those without one.
            EvalLevel(Option<u32>, Accuracy),
        }

        impl Name {
            /// Those that are no family.
            pub const FIXED: &[Name] = &[$(Name::$variant,)*];

            /// The name as files have it.
            pub fn as_str(&self) -> Cow<'static, str> {
                match self {
                    $(Name::$variant => $text.into(),)*
                    Name::Term(term) => format!("loss/{}", term.name()).into(),
                    Name::Reward(name) => format!("reward/{name}").into(),
                    Name::Time(phase) => format!("time/{}", phase.name()).into(),
                    Name::Eval(accuracy) => format!("eval/{accuracy}").into(),
                    Name::EvalLevel(Some(level), accuracy) => format!("eval/level_{level}/{accuracy}").into(),
                    Name::EvalLevel(None, accuracy) => format!("eval/level_-/{accuracy}").into(),
                }
            }
        }
    };
}

names! {
    Loss = "loss",
    RewardsChosen = "rewards/chosen",
    RewardsRejected = "rewards/rejected",
    RewardsMargins = "rewards/margins",
    RewardsAccuracies = "rewards/accuracies",
    LogpsChosen = "logps/chosen",
    LogpsRejected = "logps/rejected",
    NllChosen = "nll/chosen",
    NllRejected = "nll/rejected",
    Pairs = "pairs",
    GradNorm = "grad_norm",
    LearningRate = "learning_rate",
    RewardMean = "reward/mean",
    RewardStd = "reward/std",
    RewardNoneFraction = "reward/none_fraction",
    RewardUnevaluatedFraction = "reward/unevaluated_fraction",
    OffPolicyReward = "off_policy/reward",
    OffPolicyAdvantage = "off_policy/advantage",
    OffPolicyNll = "off_policy/nll",
    StarCorrect = "star/correct",
    StarRationalized = "star/rationalized",
    StarDropped = "star/dropped",
    StarDocuments = "star/documents",
    GroupsAllWrong = "groups/all_wrong",
    GroupsAllRight = "groups/all_right",
    GroupsEqualRewards = "groups/equal_rewards",
    GroupsDrawn = "groups/drawn",
    CompletionsMeanLength = "completions/mean_length",
    CompletionsTruncatedFraction = "completions/truncated_fraction",
    CompletionsAnswerFoundFraction = "completions/answer_found_fraction",
    Entropy = "entropy",
    ClipFraction = "clip_fraction",
    Kl = "kl",
    SamplingLogpDifferenceMax = "sampling/logp_difference_max",
    SamplingLogpDifferenceMean = "sampling/logp_difference_mean",
    ExpNllOwn = "exp/nll_own",
    ExpNllExplanation = "exp/nll_explanation",
    ExpNllExpert = "exp/nll_expert",
    ExpAnswerGain = "exp/answer_gain",
    ExpKeptFraction = "exp/kept_fraction",
    ExpAnswerMatchFraction = "exp/answer_match_fraction",
    ExpHintInformation = "exp/hint_information",
    ExpMaxTokenInformation = "exp/max_token_information",
    ExpAnswerPosition = "exp/answer_position",
    ExpAnswerPositionOwn = "exp/answer_position_own",
    ExpSpecialTokenFraction = "exp/special_token_fraction",
    ExpStepsRightFraction = "exp/steps_right_fraction",
    ExpBeta = "exp/beta",
    EvalCompletionsMeanLength = "eval/completions/mean_length",
    EvalCompletionsTruncatedFraction = "eval/completions/truncated_fraction",
    EvalLoss = "eval/loss",
    EvalRewardsMargins = "eval/rewards/margins",
    EvalRewardsAccuracies = "eval/rewards/accuracies",
    WatchdogSkipped = "watchdog/skipped",
    RateRollout = "tokens_per_s/rollout",
    RateExplanation = "tokens_per_s/explanation",
    RateTrain = "tokens_per_s/train",
    TimePrefill = "time/prefill",
    TimeDecode = "time/decode",
    TimeExplanationScores = "time/explanation_scores",
    TimeForward = "time/forward",
    TimeHead = "time/head",
    TimeBackward = "time/backward",
    TimeOptimizer = "time/optimizer",
    TimeStep = "time/step",
}

impl Name {
    /// The name that `text` is, as files have it; `None`: of no metric.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(name) = Self::FIXED.iter().find(|name| name.as_str() == text) {
            return Some(name.clone());
        }
        match text.split_once('/')? {
            ("loss", term) => Term::ALL.into_iter().find(|one| one.name() == term).map(Name::Term),
            ("reward", name) if !name.is_empty() => Some(Name::Reward(name.into())),
            ("time", phase) => Phase::ALL.into_iter().find(|one| one.name() == phase).map(Name::Time),
            ("eval", rest) => match rest.strip_prefix("level_").and_then(|rest| rest.split_once('/')) {
                Some(("-", accuracy)) => Some(Name::EvalLevel(None, Accuracy::parse(accuracy)?)),
                Some((level, accuracy)) => {
                    let number = level.parse().ok().filter(|number: &u32| number.to_string() == level)?;
                    Some(Name::EvalLevel(Some(number), Accuracy::parse(accuracy)?))
                }
                None => Accuracy::parse(rest).map(Name::Eval),
            },
            _ => None,
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.pad(&self.as_str())
    }
}

impl PartialEq<Name> for &Name {
    fn eq(&self, name: &Name) -> bool {
        **self == *name
    }
}

/// A name as a configuration or a file has it.
impl PartialEq<Name> for &str {
    fn eq(&self, name: &Name) -> bool {
        *self == name.as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// The names in the first column of docs/metrics.md's table: `/b` behind `a/x` stands for `a/b`, `_b` behind `a/x_y` for `a/x_b`; a family's capitals (K, N, L,
    /// NAME) and `...` are replaced by one of their kind.
    fn documented() -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        for column in include_str!("../../../../docs/metrics.md").lines().filter_map(|line| line.strip_prefix("| `")?.split(" | ").next()) {
            let mut before = String::new();
            for name in column.split(['`', ',']).map(str::trim).filter(|name| !name.is_empty()) {
                let cut = |mark: char| before.rfind(mark).map_or("", |end| &before[..end]);
                before = match name.chars().next() {
                    Some(mark @ ('/' | '_')) => format!("{}{name}", cut(mark)),
                    _ => name.to_owned(),
                };
                let one =
                    before.replace("/NAME", "/judge").replace("@K", "@8").replace("@N", "@4").replace("level_L/...", "level_3/pass@8");
                names.insert(one);
            }
        }
        assert!(names.remove("step"), "the row's number is no measurement");
        names
    }

    /// Every name; of a family whose members are not known from the beginning, such as the documentation's stand for.
    fn known() -> Vec<Name> {
        let mut names = Name::FIXED.to_vec();
        names.extend(Term::ALL.map(Name::Term));
        names.extend(Phase::ALL.map(Name::Time));
        names.push(Name::Reward(RewardName::External("judge".into())));
        names.extend([Accuracy::PassAt(1), Accuracy::PassAt(8), Accuracy::MajorityAt(4)].map(Name::Eval));
        names.push(Name::EvalLevel(Some(3), Accuracy::PassAt(8)));
        names
    }

    #[test]
    fn the_documentation_has_every_name_and_no_other() {
        let (documented, known) = (documented(), known());
        let known: BTreeSet<String> = known.iter().map(Name::to_string).collect();
        let missing: Vec<_> = known.difference(&documented).collect();
        assert!(missing.is_empty(), "docs/metrics.md says nothing of {missing:?}");
        let strange: Vec<_> = documented.difference(&known).collect();
        assert!(strange.is_empty(), "docs/metrics.md tells of {strange:?}, which nothing measures");
    }

    #[test]
    fn names_are_read_back_and_others_are_none() {
        let levels = [Some(12), None].map(|level| Name::EvalLevel(level, Accuracy::MajorityAt(4)));
        let rewards = RewardName::OWN.map(Name::Reward);
        let all: Vec<Name> = known().into_iter().chain(levels).chain(rewards).collect();
        for name in &all {
            assert_eq!(Name::parse(&name.as_str()).as_ref(), Some(name), "{name}");
        }
        assert_eq!(all.iter().map(Name::as_str).collect::<BTreeSet<_>>().len(), all.len(), "two with one text");
        for text in
            ["", "loss/", "loss/x", "reward/", "time/x", "eval/pass@", "eval/pass@+1", "eval/level_03/pass@1", "eval/level_x/pass@1"]
        {
            assert_eq!(Name::parse(text), None, "{text}");
        }
    }
}

//! The order in which problems and documents come: passes over a set, sets and levels by weight, easy before hard.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::{Config, Curriculum};
use crate::error::{Error, Result};
use crate::feed::problems::PreparedProblem;
use crate::resume::{Resumable, from_state, to_state};
use crate::rollout::seed::{self, Purpose};

/// Which item comes at which place of a run.
pub struct Order {
    /// Items that are drawn alike: all of them, those of a set, or those of a level.
    strata: Vec<Passes>,
    /// Of each stratum the share of the draws at the first step and at the last.
    shares: Vec<[f64; 2]>,
    /// Draws per step, and steps.
    per_step: usize,
    steps: usize,
    /// How far each stratum is behind its share of the draws so far.
    credit: Vec<f64>,
    /// For each place so far the stratum, and the place within that.
    drawn: Vec<(usize, usize)>,
}

/// What problems are drawn by: sets, or levels.
struct Mixture<'a> {
    /// For each problem its stratum; `None`: it is not drawn.
    places: Vec<Option<usize>>,
    names: Vec<String>,
    /// Weights of the strata at the first step, and at the last.
    start: &'a [f64],
    end: &'a [f64],
}

impl<'a> Mixture<'a> {
    fn new(config: &'a Config, problems: &[PreparedProblem], sets: &[usize]) -> Self {
        let data = &config.data;
        if data.curriculum == Curriculum::LevelWeights {
            let place = |problem: &PreparedProblem| data.levels.iter().position(|level| problem.problem.level == Some(*level));
            return Self {
                places: problems.iter().map(place).collect(),
                names: data.levels.iter().map(|level| format!("level {}", data.levels.name(*level))).collect(),
                start: &data.level_weights,
                end: if data.level_weights_end.is_empty() { &data.level_weights } else { &data.level_weights_end },
            };
        }
        if data.weights.is_empty() {
            return Self { places: vec![Some(0); problems.len()], names: vec![data.train.to_string()], start: &[1.0], end: &[1.0] };
        }
        let place = |problem: &PreparedProblem| Some(sets.get(problem.index).copied().unwrap_or(0));
        Self { places: problems.iter().map(place).collect(), names: data.train.0.clone(), start: &data.weights, end: &data.weights }
    }
}

/// Some items pass after pass, each pass shuffled anew where asked, then put in order of rank.
struct Passes {
    items: Vec<usize>,
    /// By the item's place in `items`; empty: all alike.
    ranks: Vec<u32>,
    shuffle: Option<u64>,
    drawn: usize,
    /// The pass at hand and its order.
    pass: Option<(usize, Vec<usize>)>,
}

impl Passes {
    fn new(items: Vec<usize>, shuffle: Option<u64>) -> Self {
        assert!(!items.is_empty(), "an order of nothing");
        Self { items, ranks: Vec::new(), shuffle, drawn: 0, pass: None }
    }

    fn at(&mut self, position: usize) -> usize {
        let count = self.items.len();
        let (pass, within) = (position / count, position % count);
        if self.pass.as_ref().is_none_or(|(current, _)| *current != pass) {
            let mut order = match self.shuffle {
                Some(shuffle) => seed::permutation(count, seed::derive(shuffle, Purpose::ProblemOrder, &[pass as u64])),
                None => (0..count).collect(),
            };
            if !self.ranks.is_empty() {
                order.sort_by_key(|item| self.ranks[*item]);
            }
            self.pass = Some((pass, order));
        }
        self.items[self.pass.as_ref().map_or(within, |(_, order)| order[within])]
    }
}

impl Order {
    /// Passes over `count` items (at least one); `purpose` keeps two orders of one run apart.
    pub fn new(count: usize, shuffle: bool, run_seed: u64, purpose: Purpose) -> Self {
        Self::shuffled_by(count, shuffle.then(|| seed::derive(run_seed, purpose, &[])))
    }

    /// The order of a run's problems; `sets` has for each problem as it was read the place of its set. Errors: a curriculum by level with problems
    /// without level, a set or level that is to be drawn and has no problem.
    pub fn of_problems(config: &Config, problems: &[PreparedProblem], sets: &[usize]) -> Result<Self> {
        let data = &config.data;
        let seed = config.train.seed;
        let Mixture { places, names, start, end } = Mixture::new(config, problems, sets);
        let mut members = vec![Vec::new(); names.len()];
        for (index, place) in places.into_iter().enumerate() {
            if let Some(place) = place {
                members[place].push(index);
            }
        }
        let mut strata = Vec::new();
        let mut shares = Vec::new();
        let share = |weights: &[f64], place: usize| weights[place] / weights.iter().sum::<f64>();
        for (place, items) in members.into_iter().enumerate() {
            let ends = [share(start, place), share(end, place)];
            if ends == [0.0; 2] {
                continue;
            }
            if items.is_empty() {
                let message = format!("{}: no problem that fits, but its weight is above 0; set that to 0", names[place]);
                return Err(Error::Unsuited(message));
            }
            let path: &[u64] = if names.len() == 1 { &[] } else { &[place as u64] };
            let mut passes = Passes::new(items, data.shuffle.then(|| seed::derive(seed, Purpose::ProblemOrder, path)));
            if data.curriculum == Curriculum::EasyToHard {
                passes.ranks = passes.items.iter().map(|item| rank(&problems[*item])).collect::<Result<_>>()?;
            }
            strata.push(passes);
            shares.push(ends);
        }
        Ok(Self::of(strata, shares, config.train.prompts_per_step, config.train.steps))
    }

    /// What [`Order::new`] was shuffled by, if at all: with it the same order can be made again.
    pub fn shuffle(&self) -> Option<u64> {
        self.strata.first().and_then(|passes| passes.shuffle)
    }

    /// The order of `count` items (at least one) with that [`Order::shuffle`].
    pub fn shuffled_by(count: usize, shuffle: Option<u64>) -> Self {
        Self::of(vec![Passes::new((0..count).collect(), shuffle)], vec![[1.0; 2]], 1, 1)
    }

    fn of(strata: Vec<Passes>, shares: Vec<[f64; 2]>, per_step: usize, steps: usize) -> Self {
        Self { credit: vec![0.0; strata.len()], strata, shares, per_step, steps, drawn: Vec::new() }
    }

    /// The item that comes at `position` (from 0, over the whole run).
    pub fn at(&mut self, position: usize) -> usize {
        if let [only] = self.strata.as_mut_slice() {
            return only.at(position);
        }
        while self.drawn.len() <= position {
            self.draw();
        }
        let (stratum, within) = self.drawn[position];
        self.strata[stratum].at(within)
    }

    /// Decides the next place: the stratum that is farthest behind its share, so that every stretch of the run has the shares that were asked for.
    fn draw(&mut self) {
        let progress = progress(self.drawn.len() / self.per_step, self.steps);
        let mut next = 0;
        for (stratum, [start, end]) in self.shares.iter().enumerate() {
            self.credit[stratum] += start + (end - start) * progress;
            if self.credit[stratum] > self.credit[next] {
                next = stratum;
            }
        }
        self.credit[next] -= 1.0;
        self.drawn.push((next, self.strata[next].drawn));
        self.strata[next].drawn += 1;
    }
}

/// What a checkpoint holds of an order: which stratum came at which place. The passes over each follow from that.
#[derive(Serialize, Deserialize)]
struct Drawn {
    credit: Vec<f64>,
    strata: Vec<usize>,
}

impl Resumable for Order {
    fn state(&self) -> Result<Value> {
        to_state(&Drawn { credit: self.credit.clone(), strata: self.drawn.iter().map(|(stratum, _)| *stratum).collect() })
    }
    fn restore(&mut self, state: Value) -> Result<()> {
        let Drawn { credit, strata } = from_state(state)?;
        if credit.len() != self.strata.len() || strata.iter().any(|stratum| *stratum >= self.strata.len()) {
            return Err(Error::Checkpoint(format!("an order of {} sets or levels, not of {}", credit.len(), self.strata.len())));
        }
        self.credit = credit;
        self.strata.iter_mut().for_each(|passes| passes.drawn = 0);
        self.drawn.clear();
        for stratum in strata {
            let passes = &mut self.strata[stratum];
            self.drawn.push((stratum, passes.drawn));
            passes.drawn += 1;
        }
        Ok(())
    }
}

fn rank(problem: &PreparedProblem) -> Result<u32> {
    problem.problem.level.ok_or_else(|| {
        let advice = "no level, but data.curriculum = \"easy_to_hard\" goes by it; keep only problems with one by data.levels";
        Error::row(&problem.problem.id, Error::Unsuited(advice.into()))
    })
}

/// 0 at the first of `total` steps, 1 at the last.
pub fn progress(step: usize, total: usize) -> f64 {
    if total < 2 { 0.0 } else { (step as f64 / (total - 1) as f64).min(1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::OneOrMore;
    use crate::feed::problems::prepare;
    use crate::objective::recipe::GroupSources;
    use crate::testing::run::{CharTask, problems};

    /// `count` problems, of levels 1 to 3 in turn.
    fn prepared(count: u64) -> Vec<PreparedProblem> {
        let mut problems = problems(count);
        for (i, problem) in problems.iter_mut().enumerate() {
            problem.level = Some(1 + i as u32 % 3);
        }
        let mut config = Config::default();
        config.rollout.max_new_tokens = 8;
        prepare(&config, &CharTask::new(), GroupSources::default(), problems, 128).unwrap().prepared
    }

    fn config(per_step: usize, steps: usize) -> Config {
        let mut config = Config::default();
        (config.train.prompts_per_step, config.train.steps) = (per_step, steps);
        config
    }

    fn draw(config: &Config, problems: &[PreparedProblem], sets: &[usize], count: usize) -> Vec<usize> {
        let mut order = Order::of_problems(config, problems, sets).unwrap();
        (0..count).map(|position| order.at(position)).collect()
    }

    #[test]
    fn every_pass_holds_every_item_once() {
        for shuffle in [false, true] {
            let mut order = Order::new(5, shuffle, 3, Purpose::ProblemOrder);
            let items: Vec<usize> = (0..15).map(|i| order.at(i)).collect();
            for pass in items.chunks(5) {
                let mut sorted = pass.to_vec();
                sorted.sort_unstable();
                assert_eq!(sorted, [0, 1, 2, 3, 4]);
            }
            assert_eq!(items[0..5] == items[5..10], !shuffle);
        }
    }

    #[test]
    fn one_set_without_curriculum_comes_in_plain_passes() {
        let problems = prepared(9);
        let mut plain = Order::new(9, true, 0, Purpose::ProblemOrder);
        assert_eq!(draw(&config(4, 10), &problems, &[], 40), (0..40).map(|i| plain.at(i)).collect::<Vec<_>>());
    }

    #[test]
    fn sets_are_drawn_by_their_weights_each_in_passes_of_its_own() {
        // 3 problems of the first set, 9 of the second, of which three quarters are to be of the first.
        let problems = prepared(12);
        let sets: Vec<usize> = (0..12).map(|i| usize::from(i >= 3)).collect();
        let mut config = config(4, 25);
        (config.data.train, config.data.weights) = (OneOrMore(vec!["a".into(), "b".into()]), vec![3.0, 1.0]);
        let drawn = draw(&config, &problems, &sets, 100);
        for step in drawn.chunks(4) {
            assert_eq!(step.iter().filter(|item| **item < 3).count(), 3, "{step:?}");
        }
        let first: Vec<usize> = drawn.iter().copied().filter(|item| *item < 3).collect();
        for pass in first.chunks(3) {
            let mut sorted = pass.to_vec();
            sorted.sort_unstable();
            assert_eq!(sorted, [0, 1, 2]);
        }
        // The same whatever is asked for first; another seed, another order.
        let mut order = Order::of_problems(&config, &problems, &sets).unwrap();
        assert_eq!((order.at(70), order.at(3)), (drawn[70], drawn[3]));
        assert_eq!(draw(&config, &problems, &sets, 100), drawn);
        config.train.seed = 1;
        assert_ne!(draw(&config, &problems, &sets, 100), drawn);
        // A set with weight 0 is not drawn; one with a weight and no problem is an error.
        config.data.weights = vec![0.0, 2.0];
        assert!(draw(&config, &problems, &sets, 30).iter().all(|item| *item >= 3));
        config.data.weights = vec![1.0, 1.0];
        let error = Order::of_problems(&config, &problems, &[1; 12]).err().unwrap().to_string();
        assert!(error.starts_with("a: no problem that fits"), "{error}");
    }

    #[test]
    fn a_fixed_curriculum_goes_from_easy_to_hard_in_every_pass() {
        let problems = prepared(9);
        let mut config = config(3, 6);
        config.data.curriculum = Curriculum::EasyToHard;
        let drawn = draw(&config, &problems, &[], 18);
        let levels: Vec<u32> = drawn.iter().map(|item| problems[*item].problem.level.unwrap()).collect();
        assert_eq!(levels, [1, 1, 1, 2, 2, 2, 3, 3, 3, 1, 1, 1, 2, 2, 2, 3, 3, 3]);
        assert_ne!(drawn[..9], drawn[9..], "shuffled within a level");
        config.data.shuffle = false;
        assert_eq!(draw(&config, &problems, &[], 9), [0, 3, 6, 1, 4, 7, 2, 5, 8]);
        let mut without = problems;
        without[4].problem.level = None;
        let error = Order::of_problems(&config, &without, &[]).err().unwrap().to_string();
        assert!(error.starts_with("test-4: no level"), "{error}");
    }

    #[test]
    fn the_weights_of_levels_move_in_a_straight_line() {
        let problems = prepared(30);
        let mut config = config(10, 11);
        config.data.curriculum = Curriculum::LevelWeights;
        config.data.levels = vec![1, 3].into();
        (config.data.level_weights, config.data.level_weights_end) = (vec![1.0, 0.0], vec![0.0, 2.0]);
        let drawn = draw(&config, &problems, &[], 110);
        let hard: Vec<usize> =
            drawn.chunks(10).map(|step| step.iter().filter(|item| problems[**item].problem.level == Some(3)).count()).collect();
        assert_eq!(hard, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
        config.data.level_weights_end.clear();
        assert!(draw(&config, &problems, &[], 110).iter().all(|item| problems[*item].problem.level == Some(1)));
        config.data.levels = vec![1, 9].into();
        config.data.level_weights = vec![1.0, 1.0];
        let error = Order::of_problems(&config, &problems, &[]).err().unwrap().to_string();
        assert!(error.starts_with("level 9: no problem that fits"), "{error}");
    }
}

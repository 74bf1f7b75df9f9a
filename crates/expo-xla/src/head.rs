//! The output head in chunks of rows: log-probabilities and entropies of targets, and their gradients. `[tokens,
//! vocab]` never exists.

use crate::grad::vjp;
use crate::graph::{Binary, Direction, DotDimensions, ElementType, Error, Graph, Reducer, Result, Value, accumulator};

/// What is scored: each row of `hidden` is asked for one token.
#[derive(Debug, Clone, Copy)]
pub struct Targets {
    /// Normalised hidden rows `[rows, width]`.
    pub hidden: Value,
    /// The head's weight `[vocab, width]`, of the same element type.
    pub weight: Value,
    /// The token asked for, `[rows]`, s32.
    pub tokens: Value,
    /// What the logits are divided by, `[rows]`, f32 (f64 for f64).
    pub temperatures: Value,
}

/// What the head says of every row: `[rows]`, f32 (f64 for f64).
#[derive(Debug, Clone, Copy)]
pub struct Scores {
    /// Natural log-probability of the token.
    pub log_probs: Value,
    /// Entropy of the distribution in nats.
    pub entropies: Value,
}

/// The head, `chunk` rows at a time: so many rows of logits exist at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Rows of a chunk.
    pub chunk: usize,
}

/// One chunk on its way from logits to gradients.
struct Chunk {
    hidden: Value,
    hits: Value,
    temperatures: Value,
    /// `logits / temperature - log-sum-exp`: log-probabilities of all tokens.
    logs: Value,
    scores: Scores,
}

impl Head {
    /// Scores of all rows. Differentiable by hidden rows and weight: the gradient comes from coefficients on
    /// log-probabilities and on entropies, for which each chunk's logits are computed again. Errors: shapes that
    /// don't fit together.
    pub fn scores(&self, g: &mut Graph, targets: Targets) -> Result<Scores> {
        let (head, rows) = self.check(g, &targets)?;
        let chunks = head.pad(g, targets, rows)?;
        let empty = g.full(0.0, g.element(chunks.temperatures), g.dims(chunks.temperatures).to_vec().as_slice())?;
        let done = g.while_loop(head.count(g, &chunks), &[empty, empty], |g, index, carried| {
            let chunk = head.chunk_scores(g, &chunks, index)?;
            Ok(vec![
                g.dynamic_update_index(carried[0], chunk.scores.log_probs, index)?,
                g.dynamic_update_index(carried[1], chunk.scores.entropies, index)?,
            ])
        })?;
        let found = g.rule("head", &[chunks.hidden, chunks.weight, chunks.temperatures], &done, move |g, asked| {
            refuse(&asked.wanted[2..], "temperatures have no derivative")?;
            let mut coefficients = vec![];
            for ct in asked.cotangents {
                coefficients.push(ct.map_or_else(|| g.full_like(0.0, empty), Ok)?);
            }
            let carry = head.gradients(g, &chunks)?;
            let carry = g.while_loop(head.count(g, &chunks), &carry, |g, index, carried| {
                let chunk = head.chunk_scores(g, &chunks, index)?;
                let by_log_prob = g.dynamic_index(coefficients[0], index)?;
                let by_entropy = g.dynamic_index(coefficients[1], index)?;
                head.chunk_backward(g, &chunks, &chunk, [by_log_prob, by_entropy], index, carried, asked.wanted)
            })?;
            Ok(carry.into_iter().map(Some).collect())
        })?;
        let mut flat = |x: Value| {
            let x = g.reshape(x, &[g.dims(x).iter().product()])?;
            g.slice_in_dim(x, 0, 0, rows)
        };
        Ok(Scores { log_probs: flat(found[0])?, entropies: flat(found[1])? })
    }

    /// The sum of a loss of each row's scores, and the scores, in one pass: a chunk's gradients are computed while
    /// its logits exist, which saves a product of four. For training: they are computed whether asked for or not. The
    /// scores returned are for metrics: a derivative through them is refused when it is asked for, and so is one by
    /// what `loss` uses besides the scores.
    ///
    /// `loss` gets the scores and `of_rows` (each `[rows]`, of any type) of a chunk, and returns the loss of each of
    /// its rows. Rows behind the last fill the last chunk: `of_rows` is 0 there, and what `loss` says of them is not
    /// counted. Errors: shapes that don't fit together; those of `loss`.
    pub fn token_loss(
        &self,
        g: &mut Graph,
        targets: Targets,
        of_rows: &[Value],
        loss: impl Fn(&mut Graph, Scores, &[Value]) -> Result<Value>,
    ) -> Result<(Value, Scores)> {
        let (head, rows) = self.check(g, &targets)?;
        let chunks = head.pad(g, targets, rows)?;
        let count = head.count(g, &chunks);
        let mut of_chunks = vec![];
        for x in of_rows {
            if g.dims(*x) != [rows] {
                return Err(Error::new("head", format!("{} of {rows} rows", g.shape(*x))));
            }
            let x = g.pad_high(*x, 0, count * head.chunk - rows, 0.0)?;
            of_chunks.push(g.reshape(x, &[count, head.chunk])?);
        }
        let wide = g.element(chunks.temperatures);
        let (zero, empty) = (g.scalar(0.0, wide)?, g.full_like(0.0, chunks.temperatures)?);
        let gradients = head.gradients(g, &chunks)?;
        let carry = [&gradients[..], &[zero, empty, empty]].concat();
        // What `loss` uses besides the scores.
        let mut others = of_chunks.clone();
        let done = g.while_loop(count, &carry, |g, index, carried| {
            let chunk = head.chunk_scores(g, &chunks, index)?;
            let mut of_rows = vec![];
            for x in &of_chunks {
                of_rows.push(g.dynamic_index(*x, index)?);
            }
            let losses = loss(g, chunk.scores, &of_rows)?;
            let known = [&[chunks.hidden, chunks.weight, chunks.temperatures], &of_chunks[..]].concat();
            others.extend(g.captured_floats(&known, &[losses]));
            if g.shape(losses) != g.shape(chunk.scores.log_probs) {
                let message = format!("the loss of a chunk's rows is {}, expected {}", g.shape(losses), g.shape(chunk.scores.log_probs));
                return Err(Error::new("head", message));
            }
            let real = head.real(g, index, rows)?;
            let none = g.full_like(0.0, losses)?;
            let losses = g.select(real, losses, none)?;
            let ones = g.full_like(1.0, losses)?;
            let found = vjp(g, &[(losses, ones)], &[chunk.scores.log_probs, chunk.scores.entropies])?;
            let mut by = [none; 2];
            for (place, found) in by.iter_mut().zip(found) {
                *place = found.unwrap_or(none);
            }
            let mut next = head.chunk_backward(g, &chunks, &chunk, by, index, &carried[..2], &[true, true])?;
            let sum = g.sum_all(losses)?;
            next.push(g.add(carried[2], sum)?);
            next.push(g.dynamic_update_index(carried[3], chunk.scores.log_probs, index)?);
            next.push(g.dynamic_update_index(carried[4], chunk.scores.entropies, index)?);
            Ok(next)
        })?;
        let gradients = [done[0], done[1]];
        let known = [chunks.hidden, chunks.weight, chunks.temperatures];
        let inputs = [&known, &others[..]].concat();
        let found = g.rule("head", &inputs, &[done[2]], move |g, asked| {
            refuse(&asked.wanted[2..], "the loss of tokens has a derivative by their scores alone")?;
            let Some(ct) = asked.cotangents[0] else { return Ok(vec![None, None]) };
            let mut scaled = vec![];
            for (gradient, wanted) in gradients.iter().zip(asked.wanted) {
                let shape = g.dims(*gradient).to_vec();
                let by = g.broadcast_in_dim(ct, &shape, &[])?;
                scaled.push(if *wanted { Some(g.multiply(*gradient, by)?) } else { None });
            }
            Ok(scaled)
        })?;
        let scores = g.rule("head", &known[..2], &done[3..], |_, asked| {
            refuse(asked.wanted, "scores that come with a loss of tokens have no derivative: take `Head::scores`").map(|()| vec![])
        })?;
        let mut flat = |x: Value| {
            let x = g.reshape(x, &[count * head.chunk])?;
            g.slice_in_dim(x, 0, 0, rows)
        };
        Ok((found[0], Scores { log_probs: flat(scores[0])?, entropies: flat(scores[1])? }))
    }

    /// The head with a chunk of no more than the rows, and their number.
    fn check(&self, g: &Graph, targets: &Targets) -> Result<(Self, usize)> {
        let shapes = [targets.hidden, targets.weight, targets.tokens, targets.temperatures].map(|v| g.shape(v).clone());
        let element = shapes[0].element;
        let fits = match (&shapes[0].dimensions[..], &shapes[1].dimensions[..]) {
            (&[rows, width], &[vocab, of]) => {
                width == of && vocab > 0 && rows > 0 && shapes[2].dimensions == [rows] && shapes[3].dimensions == [rows]
            }
            _ => false,
        };
        let types = element.is_float()
            && shapes[1].element == element
            && shapes[2].element == ElementType::S32
            && shapes[3].element == accumulator(element);
        if !fits || !types || self.chunk == 0 {
            let [hidden, weight, tokens, temperatures] = shapes.map(|s| s.to_string());
            let found = format!("hidden {hidden}, weight {weight}, tokens {tokens}, temperatures {temperatures}, chunk {}", self.chunk);
            return Err(Error::new("head", format!("{found}: [rows, width], [vocab, width], [rows] and [rows] are needed")));
        }
        let rows = shapes[0].dimensions[0];
        // Chunks of about one size, since a small last one would read the whole weight for little.
        let chunk = rows.div_ceil(rows.div_ceil(self.chunk));
        Ok((Self { chunk }, rows))
    }

    /// Everything in chunks: `[chunks, chunk, ...]`. Rows behind the last ask for token 0 at temperature 1.
    fn pad(&self, g: &mut Graph, targets: Targets, rows: usize) -> Result<Targets> {
        let count = rows.div_ceil(self.chunk);
        let mut chunked = |x: Value, number: f64| {
            let x = g.pad_high(x, 0, count * self.chunk - rows, number)?;
            let shape = [&[count, self.chunk], &g.dims(x)[1..]].concat();
            g.reshape(x, &shape)
        };
        Ok(Targets {
            hidden: chunked(targets.hidden, 0.0)?,
            weight: targets.weight,
            tokens: chunked(targets.tokens, 0.0)?,
            temperatures: chunked(targets.temperatures, 1.0)?,
        })
    }

    fn count(&self, g: &Graph, chunks: &Targets) -> usize {
        g.dims(chunks.hidden)[0]
    }

    /// Which rows of a chunk are no filling.
    fn real(&self, g: &mut Graph, index: Value, rows: usize) -> Result<Value> {
        let size = g.scalar(self.chunk as f64, ElementType::S32)?;
        let first = g.multiply(index, size)?;
        let first = g.broadcast_in_dim(first, &[self.chunk], &[])?;
        let row = g.iota(0, ElementType::S32, &[self.chunk])?;
        let row = g.add(row, first)?;
        g.compare_scalar(Direction::Lt, row, rows as f64)
    }

    /// Zero gradients of hidden rows (in chunks) and weight.
    fn gradients(&self, g: &mut Graph, chunks: &Targets) -> Result<Vec<Value>> {
        let wide = g.element(chunks.temperatures);
        let mut zeros = |x: Value| {
            let shape = g.dims(x).to_vec();
            g.full(0.0, wide, &shape)
        };
        Ok(vec![zeros(chunks.hidden)?, zeros(chunks.weight)?])
    }

    fn chunk_scores(&self, g: &mut Graph, chunks: &Targets, index: Value) -> Result<Chunk> {
        let hidden = g.dynamic_index(chunks.hidden, index)?;
        let tokens = g.dynamic_index(chunks.tokens, index)?;
        let temperatures = g.dynamic_index(chunks.temperatures, index)?;
        let logits = g.linear(hidden, chunks.weight)?;
        let shape = g.dims(logits).to_vec();
        let by = g.broadcast_trailing(temperatures, &shape)?;
        let scaled = g.divide(logits, by)?;
        let highest = g.reduce(Reducer::Maximum, scaled, &[1])?;
        let highest = g.broadcast_trailing(highest, &shape)?;
        let centred = g.subtract(scaled, highest)?;
        let exponentials = g.exponential(centred)?;
        let sum = g.sum(exponentials, &[1])?;
        let log = g.log(sum)?;
        // e may be 0 where the difference is infinite; 0 times that is no number.
        let weighted = g.multiply(exponentials, centred)?;
        let none = g.full_like(0.0, exponentials)?;
        let some = g.compare(Direction::Gt, exponentials, none)?;
        let weighted = g.select(some, weighted, none)?;
        let weighted = g.sum(weighted, &[1])?;
        let mean = g.divide(weighted, sum)?;
        let entropies = g.subtract(log, mean)?;
        let log = g.broadcast_trailing(log, &shape)?;
        let logs = g.subtract(centred, log)?;
        let columns = g.iota(1, ElementType::S32, &shape)?;
        let tokens = g.broadcast_trailing(tokens, &shape)?;
        let hits = g.compare(Direction::Eq, columns, tokens)?;
        let chosen = g.select(hits, logs, none)?;
        let log_probs = g.sum(chosen, &[1])?;
        Ok(Chunk { hidden, hits, temperatures, logs, scores: Scores { log_probs, entropies } })
    }

    /// With p the distribution and H its entropy, `d log p_t / dz_j = (1[j = t] - p_j) / T` for the target t, and `dH
    /// / dz_j = -p_j (log p_j + H) / T`. `carried` are the gradients so far of the hidden rows and of the weight.
    fn chunk_backward(
        &self,
        g: &mut Graph,
        chunks: &Targets,
        chunk: &Chunk,
        by: [Value; 2],
        index: Value,
        carried: &[Value],
        wanted: &[bool],
    ) -> Result<Vec<Value>> {
        let shape = g.dims(chunk.logs).to_vec();
        let over_temperature = |g: &mut Graph, x: Value| {
            let x = g.divide(x, chunk.temperatures)?;
            g.broadcast_trailing(x, &shape)
        };
        let (by_log_prob, by_entropy) = (over_temperature(g, by[0])?, over_temperature(g, by[1])?);
        let p = g.exponential(chunk.logs)?;
        let none = g.full_like(0.0, p)?;
        let some = g.compare(Direction::Gt, p, none)?;
        let logs = g.select(some, chunk.logs, none)?;
        let entropy = g.broadcast_trailing(chunk.scores.entropies, &shape)?;
        let logs = g.add(logs, entropy)?;
        let slope = g.multiply(by_entropy, logs)?;
        let slope = g.add(slope, by_log_prob)?;
        let all = g.multiply(p, slope)?;
        let target = g.select(chunk.hits, by_log_prob, none)?;
        let gradient = g.binary(Binary::Subtract, target, all)?;
        let gradient = g.convert(gradient, g.element(chunk.hidden))?;
        let mut next = carried.to_vec();
        if wanted[0] {
            let hidden = g.dot_general(gradient, chunks.weight, &contract(1, 0))?;
            next[0] = g.dynamic_update_index(carried[0], hidden, index)?;
        }
        if wanted[1] {
            let weight = g.dot_general(gradient, chunk.hidden, &contract(0, 0))?;
            next[1] = g.add(carried[1], weight)?;
        }
        Ok(next)
    }
}

/// An error where a derivative is wanted that there is not.
fn refuse(wanted: &[bool], why: &str) -> Result<()> {
    if wanted.contains(&true) { Err(Error::new("head", why)) } else { Ok(()) }
}

fn contract(left: usize, right: usize) -> DotDimensions {
    DotDimensions { batch: [vec![], vec![]], contracting: [vec![left], vec![right]] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grad::gradient;

    #[test]
    fn derivatives_that_there_are_not_are_refused() {
        let mut g = Graph::new();
        let hidden = g.parameter("hidden", ElementType::F32, &[3, 2]).unwrap();
        let weight = g.parameter("weight", ElementType::F32, &[5, 2]).unwrap();
        let tokens = g.parameter("tokens", ElementType::S32, &[3]).unwrap();
        let temperatures = g.parameter("temperatures", ElementType::F32, &[3]).unwrap();
        let old = g.parameter("old", ElementType::F32, &[3]).unwrap();
        let gain = g.parameter("gain", ElementType::F32, &[]).unwrap();
        let targets = Targets { hidden, weight, tokens, temperatures };
        let (loss, scores) = Head { chunk: 2 }
            .token_loss(&mut g, targets, &[old], |g, scores, of_rows| {
                let difference = g.subtract(scores.log_probs, of_rows[0])?;
                let shape = g.dims(difference).to_vec();
                let gain = g.broadcast_in_dim(gain, &shape, &[])?;
                g.multiply(difference, gain)
            })
            .unwrap();
        assert_eq!(gradient(&mut g, loss, &[hidden, weight]).unwrap().len(), 2);
        for by in [old, gain, temperatures] {
            let message = gradient(&mut g, loss, &[by]).unwrap_err().to_string();
            assert_eq!(message, "head: the loss of tokens has a derivative by their scores alone");
        }
        let other = g.sum_all(scores.entropies).unwrap();
        assert!(gradient(&mut g, other, &[weight]).unwrap_err().to_string().starts_with("head: scores that come with a loss"));
        let scores = Head { chunk: 2 }.scores(&mut g, targets).unwrap();
        let loss = g.sum_all(scores.log_probs).unwrap();
        assert_eq!(gradient(&mut g, loss, &[temperatures]).unwrap_err().to_string(), "head: temperatures have no derivative");
        let wrong = Head { chunk: 2 }.scores(&mut g, Targets { hidden: weight, ..targets }).unwrap_err().to_string();
        assert!(wrong.starts_with("head: hidden 5x2xf32, weight 5x2xf32, tokens 3xi32"), "{wrong}");
    }
}

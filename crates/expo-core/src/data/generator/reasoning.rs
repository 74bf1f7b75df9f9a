//! The texts of the division task: question, long division (the model's own style), terse expert CoT, and the checker of steps.

use crate::data::Problem;

/// The final answer's delimiter in the model's own style.
pub const DELIMITER: &str = "#### ";

/// One exact division: `quotient * divisor / divisor`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Division {
    /// The answer.
    pub quotient: u64,
    /// At least 1.
    pub divisor: u64,
}

impl Division {
    /// The number divided.
    pub fn dividend(self) -> u64 {
        self.quotient * self.divisor
    }

    /// `6288/8?`
    pub fn question(self) -> String {
        format!("{}/{}?", self.dividend(), self.divisor)
    }

    /// The question with the answer shown, as `prompt.explanation`'s default template writes it: `6288/8?[786]`.
    pub fn hinted_question(self) -> String {
        format!("{}[{}]", self.question(), self.quotient)
    }

    /// Long division, one step a quotient digit: `62:7*8=56-6;68:8*8=64-4;48:6*8=48-0;`.
    /// A step reads `current:digit*divisor=product-remainder;`; the first `current` has as many digits as it takes to reach the divisor.
    pub fn reasoning(self) -> String {
        let (dividend, divisor) = (self.dividend().to_string(), self.divisor);
        let (mut text, mut current, mut started) = (String::new(), 0, false);
        for digit in dividend.bytes() {
            current = current * 10 + u64::from(digit - b'0');
            started |= current >= divisor;
            if started {
                let (d, remainder) = (current / divisor, current % divisor);
                text.push_str(&format!("{current}:{d}*{divisor}={}-{remainder};", d * divisor));
                current = remainder;
            }
        }
        text
    }

    /// Reasoning and final answer: `62:7*8=56-6;...48:6*8=48-0;#### 786`.
    pub fn completion(self) -> String {
        format!("{}{DELIMITER}{}", self.reasoning(), self.quotient)
    }

    /// Terse expert CoT in another style, as textbook solutions are: the partial products of the quotient's digits, `96000+28800+480+384`.
    pub fn expert_cot(self) -> String {
        let digits = self.quotient.to_string();
        let mut place = 10u64.pow(digits.len() as u32);
        let mut products = Vec::new();
        for digit in digits.bytes() {
            place /= 10;
            let product = u64::from(digit - b'0') * place * self.divisor;
            if product > 0 {
                products.push(product.to_string());
            }
        }
        products.join("+")
    }

    /// Reads `6288/8?`; `None` for anything else, an inexact division included.
    pub fn parse(question: &str) -> Option<Self> {
        let (dividend, divisor) = question.trim().strip_suffix('?')?.split_once('/')?;
        let (dividend, divisor): (u64, u64) = (dividend.parse().ok()?, divisor.parse().ok()?);
        (divisor > 0 && dividend.is_multiple_of(divisor)).then(|| Self { quotient: dividend / divisor, divisor })
    }
}

/// Whether every step of a long division is right: what stands before the delimiter (all of it, where there is none) is compared
/// with the one right reasoning. `None` when the problem isn't a division of the generator's.
pub fn steps_correct(problem: &Problem, completion: &str) -> Option<bool> {
    let division = Division::parse(&problem.question)?;
    let steps = completion.split(DELIMITER.trim_end()).next().unwrap_or("");
    Some(steps.trim() == division.reasoning())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn texts_of_known_problems() {
        let d = Division { quotient: 786, divisor: 8 };
        assert_eq!(d.question(), "6288/8?");
        assert_eq!(d.hinted_question(), "6288/8?[786]");
        assert_eq!(d.completion(), "62:7*8=56-6;68:8*8=64-4;48:6*8=48-0;#### 786");
        assert_eq!(Division { quotient: 2618, divisor: 48 }.expert_cot(), "96000+28800+480+384");
        assert_eq!(Division { quotient: 305, divisor: 12 }.completion(), "36:3*12=36-0;6:0*12=0-6;60:5*12=60-0;#### 305");
        assert_eq!(Division { quotient: 3005, divisor: 12 }.expert_cot(), "36000+60");
    }

    #[test]
    fn the_checker_tells_right_from_wrong() {
        let problem = |q: &str| Problem {
            id: "x".into(),
            question: q.into(),
            answer: "786".into(),
            expert_cot: None,
            level: None,
            level_name: None,
            subject: None,
            extra: Default::default(),
            context: Default::default(),
        };
        let p = problem("6288/8?");
        assert_eq!(steps_correct(&p, "62:7*8=56-6;68:8*8=64-4;48:6*8=48-0;#### 786"), Some(true));
        assert_eq!(steps_correct(&p, "62:7*8=56-6;68:8*8=64-4;48:6*8=48-0;#### 785"), Some(true), "the answer isn't a step");
        assert_eq!(steps_correct(&p, "62:7*8=56-6;68:8*8=63-5;48:6*8=48-0;#### 786"), Some(false));
        assert_eq!(steps_correct(&p, "62:7*8=56-6;68:8*8=64-4;#### 786"), Some(false), "a step is missing");
        assert_eq!(steps_correct(&p, "#### 786"), Some(false));
        assert_eq!(steps_correct(&problem("What is 6288/8?"), "#### 786"), None);
        assert_eq!(steps_correct(&problem("6289/8?"), ""), None);
        assert_eq!(steps_correct(&problem("6289/0?"), ""), None);
    }

    proptest! {
        #[test]
        fn reasoning_spells_the_quotient_and_the_expert_adds_up(quotient in 1u64..100_000, divisor in 1u64..100) {
            let d = Division { quotient, divisor };
            prop_assert_eq!(Division::parse(&d.question()), Some(d));
            let mut digits = String::new();
            let mut last = 1;
            for step in d.reasoning().trim_end_matches(';').split(';') {
                let (current, rest) = step.split_once(':').unwrap();
                let (digit, rest) = rest.split_once('*').unwrap();
                let (by, rest) = rest.split_once('=').unwrap();
                let (product, remainder) = rest.split_once('-').unwrap();
                let [c, g, b, p, r] = [current, digit, by, product, remainder].map(|n| n.parse::<u64>().unwrap());
                prop_assert!(b == divisor && g * b == p && c - p == r && r < b);
                digits.push_str(digit);
                last = r;
            }
            prop_assert_eq!(digits, quotient.to_string());
            prop_assert_eq!(last, 0);
            let sum: u64 = d.expert_cot().split('+').map(|p| p.parse::<u64>().unwrap()).sum();
            prop_assert_eq!(sum, d.dividend());
        }
    }
}

//! The results of an evaluation as text, Markdown, JSON and CSV.

use expo_core::eval::{Bootstrap, Estimate, Plan, Solved, Subset, Summary, differences, summarize};
use expo_core::metrics::Accuracy;
use serde_json::{Map, Value, json};

use crate::table;

/// One model with one way to sample.
pub struct Arm {
    /// As the user named it.
    pub model: String,
    /// How it was sampled.
    pub plan: Plan,
    /// One entry a problem.
    pub solved: Vec<Solved>,
}

/// Everything that is reported.
pub struct Figures {
    /// File, hub data set or generator.
    pub data: String,
    /// The preset, if any.
    pub preset: Option<String>,
    /// Number of problems.
    pub problems: usize,
    /// The k of pass@k, in order.
    pub ks: Vec<usize>,
    /// How intervals are made.
    pub bootstrap: Bootstrap,
    /// The problems by field, for each field to report by.
    pub fields: Vec<(String, Vec<Subset>)>,
    /// The arms in order.
    pub arms: Vec<Arm>,
}

/// Some of the problems: all, or those with one value of a field.
struct Part<'a> {
    field: Option<(&'a str, &'a str)>,
    places: Vec<usize>,
}

/// A temperature in words.
pub fn sampling(temperature: f32) -> String {
    if temperature == 0.0 { "greedy".to_owned() } else { format!("T={temperature}") }
}

impl Figures {
    /// The subsets of each field, then all problems.
    fn parts(&self) -> Vec<Part<'_>> {
        let grouped = self.fields.iter().flat_map(|(field, subsets)| {
            subsets.iter().map(move |subset| Part { field: Some((field.as_str(), subset.value.as_str())), places: subset.places.clone() })
        });
        grouped.chain([Part { field: None, places: (0..self.problems).collect() }]).collect()
    }

    fn summary(&self, arm: &Arm, part: &Part) -> Summary {
        summarize(&of(arm, part), &self.ks, &self.bootstrap)
    }

    /// Every pair of arms, the later minus the earlier.
    fn pairs(&self) -> impl Iterator<Item = (&Arm, &Arm)> {
        self.arms.iter().enumerate().flat_map(|(place, b)| self.arms[place + 1..].iter().map(move |a| (a, b)))
    }

    fn differences(&self, a: &Arm, b: &Arm, part: &Part) -> Vec<(Accuracy, Estimate)> {
        differences(&of(a, part), &of(b, part), &self.ks, &self.bootstrap)
    }

    /// Whether arms differ in this.
    fn differ<T: PartialEq>(&self, of: impl Fn(&Arm) -> T) -> bool {
        self.arms.windows(2).any(|two| of(&two[0]) != of(&two[1]))
    }

    /// An arm in words, as short as the others allow.
    fn name(&self, arm: &Arm) -> String {
        let at = sampling(arm.plan.sampling.temperature);
        match (self.differ(|arm| arm.model.clone()), self.differ(|arm| arm.plan.sampling.temperature)) {
            (true, true) => format!("{}, {at}", arm.model),
            (false, true) => at,
            _ => arm.model.clone(),
        }
    }

    /// What the first column of a table's parts is called, where there is more than all problems.
    fn part_head(&self) -> Option<String> {
        (!self.fields.is_empty()).then(|| self.fields.iter().map(|(field, _)| field.as_str()).collect::<Vec<_>>().join(", "))
    }

    fn part_name(&self, part: &Part) -> String {
        match part.field {
            None => "all".to_owned(),
            Some((_, value)) if self.fields.len() == 1 => value.to_owned(),
            Some((field, value)) => format!("{field} {value}"),
        }
    }

    /// Head and rows of the main table, and of the one of differences where there are several arms.
    fn tables(&self) -> Vec<(Vec<String>, Vec<Vec<String>>)> {
        let parts = self.parts();
        let (several, part_head) = (self.arms.len() > 1, self.part_head());
        let summaries: Vec<(&Arm, &Part, Summary)> =
            parts.iter().flat_map(|part| self.arms.iter().map(move |arm| (arm, part, self.summary(arm, part)))).collect();
        // Arms of one greedy completion have fewer metrics than others.
        let mut names: Vec<Accuracy> = Vec::new();
        for (name, _) in summaries.iter().flat_map(|(.., summary)| &summary.metrics) {
            if !names.contains(name) {
                names.push(*name);
            }
        }
        let cells = |metrics: &[(Accuracy, Estimate)], signed: bool| -> Vec<String> {
            let cell =
                |name: &Accuracy| metrics.iter().find(|(other, _)| other == name).map_or("-".to_owned(), |(_, one)| interval(one, signed));
            names.iter().map(cell).collect()
        };
        let lead = |name: String, part: &Part| -> Vec<String> {
            part_head.is_some().then(|| self.part_name(part)).into_iter().chain(several.then_some(name)).collect()
        };
        let head = |first: &str| -> Vec<String> {
            part_head.clone().into_iter().chain(several.then(|| first.to_owned())).chain(["problems".to_owned()]).collect()
        };
        let metric_heads = || names.iter().map(Accuracy::to_string);
        let main = summaries.iter().map(|(arm, part, summary)| {
            let mut row = lead(self.name(arm), part);
            row.push(summary.problems.to_string());
            row.extend(cells(&summary.metrics, false));
            row.extend([format!("{:.1}%", 100.0 * summary.truncated_fraction), format!("{:.0}", summary.mean_length)]);
            row
        });
        let main_head = head("arm").into_iter().chain(metric_heads()).chain(["truncated".to_owned(), "mean length".to_owned()]).collect();
        let mut tables = vec![(main_head, main.collect())];
        if several {
            let row = |part: &Part, a: &Arm, b: &Arm| {
                let mut row = lead(format!("{} - {}", self.name(a), self.name(b)), part);
                row.push(part.places.len().to_string());
                row.extend(cells(&self.differences(a, b, part), true));
                row
            };
            let rows = parts.iter().flat_map(|part| self.pairs().map(move |(a, b)| row(part, a, b))).collect();
            tables.push((head("difference").into_iter().chain(metric_heads()).collect(), rows));
        }
        tables
    }

    /// How to read the tables.
    fn legend(&self) -> String {
        let first = &self.arms[0];
        let samples: Vec<String> = self.arms.iter().map(|arm| arm.plan.samples.to_string()).collect();
        let samples = if self.differ(|arm| arm.plan.samples) { samples.join(", ") } else { samples[0].clone() };
        let model = if self.differ(|arm| arm.model.clone()) { String::new() } else { format!("{}, ", first.model) };
        let at = if self.differ(|arm| arm.plan.sampling.temperature) {
            String::new()
        } else {
            format!("{}, ", sampling(first.plan.sampling.temperature))
        };
        let paired = if self.arms.len() > 1 { "; differences are paired by problem" } else { "" };
        format!(
            "{model}{at}samples a problem: {samples}; in brackets {}% bootstrap intervals over problems ({} resamples){paired}.",
            100.0 * self.bootstrap.confidence,
            self.bootstrap.resamples
        )
    }

    /// For the terminal.
    pub fn text(&self) -> String {
        let tables: Vec<String> = self.tables().iter().map(|(head, rows)| table::render(head, rows)).collect();
        format!("{}\n{}\n", tables.join("\n"), self.legend())
    }

    /// For people elsewhere.
    pub fn markdown(&self) -> String {
        let tables: Vec<String> = self.tables().iter().map(|(head, rows)| table::markdown(head, rows)).collect();
        format!("Problems: {} ({}).\n\n{}\n{}\n", self.data, self.problems, tables.join("\n"), self.legend())
    }

    /// For programs.
    pub fn json(&self) -> String {
        let parts = self.parts();
        let figures = |summary: &Summary| {
            let mut object = Map::new();
            object.insert("problems".into(), summary.problems.into());
            object.extend(metrics_json(&summary.metrics));
            object.insert("truncated_fraction".into(), summary.truncated_fraction.into());
            object.insert("mean_length".into(), summary.mean_length.into());
            object
        };
        let named = |part: &Part, figures: Map<String, Value>| {
            let mut object = Map::new();
            if let Some((field, value)) = part.field {
                object.extend([("field".to_owned(), Value::from(field)), ("value".to_owned(), Value::from(value))]);
            }
            object.extend(figures);
            Value::Object(object)
        };
        let evaluations: Vec<Value> = self
            .arms
            .iter()
            .map(|arm| {
                let groups: Vec<Value> =
                    parts.iter().filter(|part| part.field.is_some()).map(|part| named(part, figures(&self.summary(arm, part)))).collect();
                let mut object = Map::new();
                object.insert("model".into(), arm.model.clone().into());
                object.insert("sampling".into(), arm.plan.sampling_json());
                object.insert("samples".into(), arm.plan.samples.into());
                let all = parts.iter().find(|part| part.field.is_none()).map(|part| figures(&self.summary(arm, part)));
                object.extend(all.unwrap_or_default());
                object.insert("groups".into(), groups.into());
                Value::Object(object)
            })
            .collect();
        let differences: Vec<Value> = self
            .pairs()
            .flat_map(|(a, b)| parts.iter().map(move |part| (a, b, part)))
            .map(|(a, b, part)| {
                let name = |arm: &Arm| json!({"model": arm.model, "temperature": arm.plan.sampling_json()["temperature"]});
                let mut object = Map::from_iter([("minuend".to_owned(), name(a)), ("subtrahend".to_owned(), name(b))]);
                let figures = named(part, metrics_json(&self.differences(a, b, part)));
                object.extend(figures.as_object().cloned().unwrap_or_default());
                Value::Object(object)
            })
            .collect();
        let report = json!({
            "data": self.data, "preset": self.preset, "problems": self.problems, "k": self.ks,
            "confidence": self.bootstrap.confidence, "resamples": self.bootstrap.resamples,
            "evaluations": evaluations, "differences": differences,
        });
        format!("{report:#}\n")
    }

    /// One figure a row.
    pub fn csv(&self) -> String {
        let mut text =
            "model,temperature,samples,minus_model,minus_temperature,field,value,problems,metric,mean,standard_error,low,high\n".to_owned();
        let parts = self.parts();
        let mut add = |a: &Arm, b: Option<&Arm>, part: &Part, metrics: &[(Accuracy, Estimate)]| {
            for (metric, one) in metrics {
                let temperature = |arm: &Arm| arm.plan.sampling.temperature.to_string();
                let (field, value) = part.field.unwrap_or_default();
                let cells = [
                    a.model.clone(),
                    temperature(a),
                    a.plan.samples.to_string(),
                    b.map(|b| b.model.clone()).unwrap_or_default(),
                    b.map(temperature).unwrap_or_default(),
                    field.to_owned(),
                    value.to_owned(),
                    one.problems.to_string(),
                    metric.to_string(),
                    one.mean.to_string(),
                    one.standard_error.to_string(),
                    one.low.to_string(),
                    one.high.to_string(),
                ];
                text += &(cells.map(|cell| table::csv_cell(&cell)).join(",") + "\n");
            }
        };
        for part in &parts {
            for arm in &self.arms {
                add(arm, None, part, &self.summary(arm, part).metrics);
            }
            for (a, b) in self.pairs() {
                add(a, Some(b), part, &self.differences(a, b, part));
            }
        }
        text
    }
}

/// What `arm` did on the problems of `part`.
fn of<'a>(arm: &'a Arm, part: &Part) -> Vec<&'a Solved> {
    part.places.iter().map(|place| &arm.solved[*place]).collect()
}

fn metrics_json(metrics: &[(Accuracy, Estimate)]) -> Map<String, Value> {
    let of = |one: &Estimate| json!({"mean": one.mean, "standard_error": one.standard_error, "low": one.low, "high": one.high});
    metrics.iter().map(|(name, one)| (name.to_string(), of(one))).collect()
}

fn interval(one: &Estimate, signed: bool) -> String {
    match signed {
        true => format!("{:+.3} [{:+.3}, {:+.3}]", one.mean, one.low, one.high),
        false => format!("{:.3} [{:.3}, {:.3}]", one.mean, one.low, one.high),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expo_core::eval::Sample;
    use expo_lm::generate::SamplingParams;

    fn arm(model: &str, temperature: f32, correct: &[usize], samples: usize) -> Arm {
        let sampling = SamplingParams { temperature, top_k: 0, top_p: 1.0, min_p: 0.0, max_new_tokens: 9, stop_token_ids: vec![] };
        let solved = |correct: &usize| {
            let sample = |i| Sample { text: String::new(), tokens: 4, truncated: false, answer: None, correct: i < *correct };
            Solved { samples: (0..samples).map(sample).collect(), majority_correct: *correct > samples / 2 }
        };
        Arm { model: model.into(), plan: Plan { samples, sampling, seed: 0 }, solved: correct.iter().map(solved).collect() }
    }

    fn report() -> Figures {
        let subset = |value: &str, places: &[usize]| Subset { value: value.into(), places: places.to_vec() };
        Figures {
            data: "p.jsonl".into(),
            preset: None,
            problems: 4,
            ks: vec![1, 4],
            bootstrap: Bootstrap { resamples: 50, ..Bootstrap::default() },
            fields: vec![("level".into(), vec![subset("1", &[0, 1]), subset("2", &[2, 3])])],
            arms: vec![arm("a,b", 0.7, &[0, 1, 2, 4], 4), arm("c", 0.0, &[1, 1, 0, 1], 1)],
        }
    }

    #[test]
    fn the_table_has_every_arm_and_part() {
        let text = report().text();
        let lines: Vec<&str> = text.lines().collect();
        let cells = |line: usize| lines[line].split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect::<Vec<_>>();
        assert_eq!(cells(0), ["level", "arm", "problems", "pass@1", "pass@4", "maj@4", "truncated", "mean length"]);
        assert_eq!(cells(6)[..3], ["all", "a,b, T=0.7", "4"]);
        assert!(cells(6)[3].starts_with("0.438 [") && cells(6)[4].starts_with("0.750 [") && cells(6)[5].starts_with("0.250 ["), "{text}");
        // A greedy arm has no pass@4; what both have is compared.
        assert_eq!(cells(7)[4..6], ["-", "-"]);
        assert_eq!(cells(9)[..2], ["level", "difference"]);
        assert!(
            cells(13)[1].starts_with("c, greedy - a,b, T=0.7") && cells(13)[3].starts_with("+0.312 [") && cells(13)[4] == "-",
            "{text}"
        );
        assert!(text.contains("95% bootstrap intervals") && text.contains("samples a problem: 4, 1"), "{text}");
    }

    #[test]
    fn json_markdown_and_csv_say_the_same() {
        let report = report();
        let json: Value = serde_json::from_str(&report.json()).unwrap();
        let first = &json["evaluations"][0];
        assert_eq!((first["pass@1"]["mean"].as_f64(), first["groups"][1]["pass@4"]["mean"].as_f64()), (Some(0.4375), Some(1.0)));
        assert_eq!((json["differences"][2]["pass@1"]["mean"].as_f64(), &json["differences"][2]["field"]), (Some(0.3125), &Value::Null));
        assert_eq!(json["differences"][0]["value"], "1");
        let csv = report.csv();
        let row = csv.lines().find(|row| row.starts_with("\"a,b\",0.7,4,,,,,4,pass@1,0.4375,")).unwrap_or_else(|| panic!("{csv}"));
        assert_eq!(row.matches(',').count(), 13, "one of them is quoted");
        assert!(csv.contains("c,0,1,\"a,b\",0.7,level,2,2,pass@1,"), "{csv}");
        let markdown = report.markdown();
        assert!(markdown.contains("| all | a,b, T=0.7 | 4 | 0.438 [") && markdown.contains("|---|---:|"), "{markdown}");
    }
}

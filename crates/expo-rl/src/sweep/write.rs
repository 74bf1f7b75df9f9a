//! The files of a finished sweep: `sweep.json`, `sweep.md` and `curves.csv`.

use std::path::Path;

use serde_json::{Value, json};

use super::figures::Figures;
use super::plan::Plan;
use super::schedule::Failure;
use super::tables::{Cell, Curve, Results, Table};
use crate::{output, table};

/// Writes the files into `out`. Returns the tables as text for a terminal.
pub fn write(plan: &Plan, out: &Path, figures: &[Figures], failures: &[Failure]) -> anyhow::Result<String> {
    let results = Results::new(plan, figures);
    let (tables, curves) = (results.tables(), results.curves());
    let json = json(plan, figures, failures, &tables);
    let files = [("sweep.json", format!("{json:#}\n")), ("sweep.md", markdown(plan, failures, &tables)), ("curves.csv", csv(&curves))];
    for (name, text) in files {
        output::write_atomically(&out.join(name), |writer| Ok(writer.write_all(text.as_bytes())?))?;
    }
    let text = |one: &Table| format!("{}\n\n{}", one.title, table::render(&head(one), &cells(one)));
    Ok(tables.iter().map(text).collect::<Vec<_>>().join("\n"))
}

fn head(table: &Table) -> Vec<String> {
    std::iter::once(&table.first).chain(&table.columns).cloned().collect()
}

fn cells(table: &Table) -> Vec<Vec<String>> {
    table.rows.iter().map(|(name, cells)| std::iter::once(name.clone()).chain(cells.iter().map(Cell::text)).collect()).collect()
}

fn markdown(plan: &Plan, failures: &[Failure], tables: &[Table]) -> String {
    let mut text = format!("# {}\n\nMean ± standard deviation over seeds.\n", plan.name);
    for failure in failures {
        text += &format!("\n`{}` failed: {}\n", plan.runs[failure.run].folder.display(), failure.reason);
    }
    for one in tables {
        text += &format!("\n## {}\n\n{}", one.title, table::markdown(&head(one), &cells(one)));
    }
    text
}

fn json(plan: &Plan, figures: &[Figures], failures: &[Failure], tables: &[Table]) -> Value {
    let arms: Vec<Value> = plan
        .arms
        .iter()
        .map(|arm| json!({"name": arm.name, "config": arm.config, "overrides": arm.overrides, "train": arm.trains}))
        .collect();
    let runs = plan.runs.iter().zip(figures).enumerate().map(|(place, (run, figures))| {
        let failure = failures.iter().find(|failure| failure.run == place).map(|failure| &failure.reason);
        json!({"arm": plan.arms[run.arm].name, "seed": run.seed, "folder": run.folder, "seconds": figures.seconds(), "failure": failure})
    });
    let runs: Vec<Value> = runs.collect();
    let cell = |cell: &Cell| {
        let (seeds, values): (Vec<u64>, Vec<f64>) = cell.values.iter().copied().unzip();
        let mean = (!values.is_empty()).then(|| cell.mean());
        json!({"mean": mean, "std": cell.deviation(), "seeds": seeds, "values": values})
    };
    let table = |one: &Table| {
        let rows: Vec<Value> =
            one.rows.iter().map(|(name, cells)| json!({"name": name, "cells": cells.iter().map(cell).collect::<Vec<_>>()})).collect();
        json!({"title": one.title, "first": one.first, "columns": one.columns, "rows": rows})
    };
    let tables: Vec<Value> = tables.iter().map(table).collect();
    json!({"name": plan.name, "version": env!("CARGO_PKG_VERSION"), "arms": arms, "runs": runs, "tables": tables})
}

/// One point a row; `std` is empty where there is one seed.
fn csv(curves: &[Curve]) -> String {
    let mut text = "metric,arm,step,mean,std,seeds\n".to_owned();
    for curve in curves {
        for (step, cell) in &curve.points {
            let deviation = cell.deviation().map_or_else(String::new, |deviation| deviation.to_string());
            let (metric, arm) = (table::csv_cell(&curve.metric), table::csv_cell(&curve.arm));
            text += &format!("{metric},{arm},{step},{},{deviation},{}\n", cell.mean(), cell.values.len());
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_are_rows() {
        let cell = |values: &[f64]| Cell { values: (0..).zip(values.iter().copied()).collect(), seeds: values.len() };
        let points = vec![(0, cell(&[0.5])), (5, cell(&[0.25, 0.75]))];
        let text = csv(&[Curve { metric: "e/pass@4".into(), arm: "a, \"b\"".into(), points }]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1], "e/pass@4,\"a, \"\"b\"\"\",0,0.5,,1");
        assert!(lines[2].starts_with("e/pass@4,\"a, \"\"b\"\"\",5,0.5,0.3535"), "{text}");
    }
}

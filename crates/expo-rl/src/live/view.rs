//! The live view drawn: how far the run is, six curves, a question with its completions and explanations.

use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Axis, Block, Chart, Dataset, Gauge, GraphType, Paragraph, Wrap};

use expo_core::metrics::Name;
use expo_core::metrics::name::Accuracy;
use expo_core::reward::RewardName;

use super::dashboard::{Dashboard, Text};

/// A panel of curves: its title, its metrics with what they are called.
type Panel = (&'static str, &'static [(Name, &'static str)]);

/// In order of importance; those with something to show come first.
const PANELS: [Panel; 9] = [
    ("evaluation", &[(Name::Eval(Accuracy::PassAt(1)), "pass@1"), (Name::EvalLoss, "loss"), (Name::EvalRewardsAccuracies, "in order")]),
    ("reward", &[(Name::RewardMean, "mean")]),
    ("pass rate", &[(Name::Reward(RewardName::Correctness), "right"), (Name::GroupsAllWrong, "all wrong")]),
    ("NLL", &[(Name::ExpNllExplanation, "expl."), (Name::ExpNllExpert, "expert"), (Name::ExpNllOwn, "own")]),
    ("pairs", &[(Name::RewardsAccuracies, "in order"), (Name::RewardsMargins, "margin")]),
    ("NLL of pairs", &[(Name::NllChosen, "chosen"), (Name::NllRejected, "rejected")]),
    ("entropy", &[(Name::Entropy, "")]),
    ("tokens/s", &[(Name::RateRollout, "rollout"), (Name::RateTrain, "train")]),
    ("loss", &[(Name::Loss, "")]),
];
const COLOURS: [Color; 3] = [Color::Cyan, Color::Yellow, Color::Magenta];
const SOFT: Style = Style::new().fg(Color::DarkGray);
/// Below this height there is no room for texts beside curves; a terminal has 24 lines at least.
const ROOM_FOR_TEXTS: u16 = 22;

/// Draws everything.
pub fn draw(frame: &mut Frame, dashboard: &Dashboard) {
    let texts = if frame.area().height >= ROOM_FOR_TEXTS { Constraint::Percentage(45) } else { Constraint::Length(0) };
    let [head, curves, question, foot] =
        Layout::vertical([Constraint::Length(2), Constraint::Min(6), texts, Constraint::Length(1)]).areas(frame.area());
    draw_head(frame, dashboard, head);
    draw_panels(frame, dashboard, curves);
    if question.height > 0 {
        draw_question(frame, dashboard, question);
    }
    let keys = "q closes the view, the run goes on  ·  ↑ ↓ questions  ·  Ctrl-C stops";
    let foot_line = match dashboard.last_notice() {
        Some(notice) => {
            Line::from(vec![Span::styled(format!("note: {notice}  "), Style::new().fg(Color::Yellow)), Span::styled(keys, SOFT)])
        }
        None => Line::styled(keys, SOFT),
    };
    frame.render_widget(foot_line, foot);
}

/// `1:02:03` or `2:03`.
fn clock(seconds: u64) -> String {
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

fn draw_head(frame: &mut Frame, dashboard: &Dashboard, area: Rect) {
    let [line, bar] = Layout::vertical([Constraint::Length(1); 2]).areas(area);
    let left = dashboard.left().map_or_else(String::new, |left| format!(", {} left", clock(left.as_secs())));
    let now = dashboard.now.map_or_else(String::new, |(step, phase)| format!("step {step}: {}", phase.name()));
    let text = vec![
        Span::styled(dashboard.label.clone(), Style::new().add_modifier(Modifier::BOLD)),
        Span::raw(format!("  {} of {} steps  {}{left}  ", dashboard.done, dashboard.steps, clock(dashboard.elapsed().as_secs()))),
        Span::styled(now, SOFT),
    ];
    frame.render_widget(Line::from(text), line);
    let ratio = (dashboard.done as f64 / dashboard.steps.max(1) as f64).clamp(0.0, 1.0);
    frame.render_widget(Gauge::default().ratio(ratio).gauge_style(Style::new().fg(Color::Cyan).bg(Color::Black)), bar);
}

fn draw_panels(frame: &mut Frame, dashboard: &Dashboard, area: Rect) {
    let has_data = |panel: &&Panel| panel.1.iter().any(|(name, _)| !dashboard.curve(name).is_empty());
    let mut panels: Vec<&Panel> = PANELS.iter().filter(has_data).collect();
    if panels.is_empty() {
        panels = PANELS.iter().collect();
    }
    // As many as can be read: a panel needs some 30 columns and 6 lines.
    let columns = (area.width / 30).clamp(1, 3) as usize;
    let rows = (area.height / 6).clamp(1, 2) as usize;
    panels.truncate(columns * rows);
    let rows = panels.len().div_ceil(columns);
    let lines = Layout::vertical(vec![Constraint::Ratio(1, rows as u32); rows]).split(area);
    for (row, panels) in panels.chunks(columns).enumerate() {
        let cells = Layout::horizontal(vec![Constraint::Ratio(1, columns as u32); columns]).split(lines[row]);
        for (panel, cell) in panels.iter().zip(cells.iter()) {
            draw_panel(frame, dashboard, panel, *cell);
        }
    }
}

/// As short as it can be with some digits.
fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 0.01 || size == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.0e}"),
    }
}

fn draw_panel(frame: &mut Frame, dashboard: &Dashboard, (title, metrics): &Panel, area: Rect) {
    let curves: Vec<_> = metrics.iter().zip(COLOURS).map(|((name, label), colour)| (dashboard.curve(name), *label, colour)).collect();
    // The latest values are the title's; a legend would cover curves.
    let mut heading = vec![Span::styled(format!(" {title} "), Style::new().add_modifier(Modifier::BOLD))];
    for (curve, label, colour) in &curves {
        if let Some((_, value)) = curve.last() {
            heading.push(Span::styled(format!("{label} {} ", short(*value)).trim_start().to_owned(), Style::new().fg(*colour)));
        }
    }
    let block = Block::bordered().border_style(SOFT).title(Line::from(heading));
    let points = || curves.iter().flat_map(|(curve, ..)| curve.iter().copied());
    if points().next().is_none() {
        frame.render_widget(Paragraph::new("not measured yet").style(SOFT).alignment(Alignment::Center).block(block), area);
        return;
    }
    let (low, high) = points().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), (_, y)| (l.min(y), h.max(y)));
    let room = if high > low { 0.05 * (high - low) } else { (0.1 * high.abs()).max(0.1) };
    // What can't be below 0 has no axis below it.
    let (low, high) = (if low >= 0.0 { (low - room).max(0.0) } else { low - room }, high + room);
    // An evaluation before the first step is at 0.
    let first = points().fold(1.0, |first: f64, (x, _)| first.min(x));
    let last = points().fold(2.0, |last: f64, (x, _)| last.max(x));
    let datasets = curves
        .iter()
        .map(|(curve, _, colour)| {
            let graph = if curve.len() > 1 { GraphType::Line } else { GraphType::Scatter };
            Dataset::default().marker(Marker::Braille).graph_type(graph).style(Style::new().fg(*colour)).data(curve)
        })
        .collect();
    let chart = Chart::new(datasets)
        .block(block)
        .x_axis(Axis::default().style(SOFT).bounds([first, last]).labels([format!("{first:.0}"), format!("{last:.0}")]))
        .y_axis(Axis::default().style(SOFT).bounds([low, high]).labels([short(low), short(high)]));
    frame.render_widget(chart, area);
}

fn draw_question(frame: &mut Frame, dashboard: &Dashboard, area: Rect) {
    let Some(question) = dashboard.question() else {
        let block = Block::bordered().border_style(SOFT).title(" completions ");
        frame.render_widget(Paragraph::new("none yet").style(SOFT).alignment(Alignment::Center).block(block), area);
        return;
    };
    let [head, texts] = Layout::vertical([Constraint::Length(2), Constraint::Min(3)]).areas(area);
    let facts = format!("step {}, {}: ", question.step, question.problem);
    let asked = Line::from(vec![Span::styled(facts, SOFT), Span::raw(question.question.replace('\n', " "))]);
    let answer = Line::from(vec![Span::styled("answer: ", SOFT), Span::raw(question.answer.clone())]);
    frame.render_widget(Paragraph::new(vec![asked, answer]), head);
    let [left, right] = Layout::horizontal([Constraint::Percentage(50); 2]).areas(texts);
    draw_texts(frame, "completions of the question alone", &question.rollouts, left);
    draw_texts(frame, "self-explanations", &question.explanations, right);
}

fn draw_texts(frame: &mut Frame, title: &str, texts: &[Text], area: Rect) {
    let mut lines = Vec::new();
    for text in texts {
        let colour = if text.right { Color::Green } else { Color::Red };
        lines.push(Line::styled(text.score.clone(), Style::new().fg(colour)));
        lines.extend(text.text.lines().map(|line| Line::raw(line.to_owned())));
    }
    if lines.is_empty() {
        lines.push(Line::styled("none", SOFT));
    }
    let block = Block::bordered().border_style(SOFT).title(format!(" {title} "));
    frame.render_widget(Paragraph::new(lines).wrap(Wrap { trim: false }).block(block), area);
}

#[cfg(test)]
mod tests {
    use super::super::Message;
    use super::*;
    use expo_core::metrics::StepMetrics;
    use expo_core::observe::Phase;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use serde_json::json;

    /// A view of `width` by `height` characters, as lines.
    fn shown(dashboard: &Dashboard, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, dashboard)).unwrap();
        let buffer = terminal.backend().buffer();
        let line = |y: u16| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>();
        (0..height).map(|y| line(y).trim_end().to_owned() + "\n").collect()
    }

    fn running() -> Dashboard {
        let mut dashboard = Dashboard::new("exp-grpo", 40);
        for step in 1..=10 {
            let mut metrics = StepMetrics::new(step);
            for (name, value) in [
                (Name::RewardMean, 0.05),
                (Name::Reward(RewardName::Correctness), 0.04),
                (Name::GroupsAllWrong, 0.9),
                (Name::ExpNllExplanation, 0.2),
            ] {
                metrics.set(name, value * step as f64);
            }
            metrics.set(Name::Entropy, 0.7);
            metrics.set(Name::RateTrain, 2000.0);
            dashboard.take(Message::Step(metrics));
        }
        dashboard.take(Message::Phase(11, Phase::Rollout));
        let row = json!({"step": 10, "kind": "rollout", "problem": "division-l5-3", "question": "97587/21?", "answer": "4647", "text": "97:4*21=84\n#### 4", "correct": false, "reward": 0.0});
        let explanation = json!({"step": 10, "kind": "explanation", "problem": "division-l5-3", "question": "97587/21?", "answer": "4647", "text": "97:4*21=84-13", "correct": true, "outcome": "kept"});
        dashboard.take(Message::Completions([row, explanation].map(|row| serde_json::from_value(row).unwrap()).into()));
        dashboard
    }

    #[test]
    fn a_run_at_a_glance() {
        let mut dashboard = running();
        let text = shown(&dashboard, 110, 40);
        for part in [
            "exp-grpo  10 of 40 steps",
            "step 11: rollout",
            "reward mean 0.50",
            "pass rate right 0.40",
            "NLL expl. 2.00",
            "entropy 0.70",
            "tokens/s train 2000",
            "97587/21?",
            "answer: 4647",
            "wrong · reward 0.00",
            "97:4*21=84",
            "self-explanations",
            "right · kept",
            "q closes the view",
        ] {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
        assert!(text.chars().any(|c| ('\u{2801}'..='\u{28ff}').contains(&c)), "no curve in\n{text}");
        dashboard.take(Message::Notice("step 10: something".into()));
        assert!(shown(&dashboard, 110, 40).contains("note: step 10: something"));
    }

    #[test]
    fn every_size_can_be_drawn() {
        let begun = Dashboard::new("sft", 3);
        assert!(shown(&begun, 80, 30).contains("not measured yet"));
        for (width, height) in [(1, 1), (10, 3), (40, 12), (80, 24), (80, 26), (300, 100)] {
            shown(&begun, width, height);
            shown(&running(), width, height);
        }
        // A usual terminal has room for both; the evaluation comes first.
        let mut dashboard = running();
        let mut metrics = StepMetrics::new(0);
        metrics.set(Name::Eval(Accuracy::PassAt(1)), 0.25);
        dashboard.take(Message::Step(metrics));
        let small = shown(&dashboard, 80, 24);
        for part in ["evaluation pass@1 0.25", "reward mean 0.50", "97587/21?", "97:4*21=84", "right · kept", "Ctrl-C stops"] {
            assert!(small.contains(part), "{part:?} is not in\n{small}");
        }
        assert!(small.lines().all(|line| line.chars().count() <= 80), "{small}");
        assert!(shown(&running(), 80, 21).contains("reward mean 0.50"), "curves come before texts");
    }

    #[test]
    fn clocks() {
        assert_eq!([5, 65, 3725].map(clock), ["0:05", "1:05", "1:02:05"]);
    }
}

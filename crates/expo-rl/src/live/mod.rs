//! The live view of a run: the whole terminal, drawn by a thread of its own, so that it answers keys while a step takes its minutes.

mod dashboard;
mod view;

use std::io;
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};
use std::thread::JoinHandle;
use std::time::Duration;

use expo_core::logs::completions::CompletionRow;
use expo_core::metrics::StepMetrics;
use expo_core::observe::Phase;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use dashboard::Dashboard;

use crate::output::tell;

/// What the run tells the view.
enum Message {
    Phase(usize, Phase),
    Notice(String),
    Completions(Vec<CompletionRow>),
    Step(StepMetrics),
}

/// A view that is shown until it is closed, by the user or the run.
pub struct Live {
    /// `None` once closed from here.
    sender: Option<Sender<Message>>,
    /// Ends with the view; gives back what the run had to say.
    thread: Option<JoinHandle<Vec<String>>>,
}

/// Between two looks at the keyboard and the run.
const TICK: Duration = Duration::from_millis(200);

impl Live {
    /// Takes over the terminal for a run of `steps` steps. Errors: it can't be taken.
    pub fn start(label: &str, steps: usize) -> io::Result<Self> {
        let terminal = ratatui::try_init()?;
        let (sender, receiver) = mpsc::channel();
        let dashboard = Dashboard::new(label, steps);
        let thread = std::thread::Builder::new().name("live view".into()).spawn(move || show(terminal, &receiver, dashboard));
        let thread = thread.inspect_err(|_| ratatui::restore())?;
        Ok(Self { sender: Some(sender), thread: Some(thread) })
    }

    /// Whether the user has closed it.
    pub fn is_closed(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Gives the terminal back. Returns what the run had to say meanwhile.
    pub fn close(&mut self) -> Vec<String> {
        self.sender = None;
        self.thread.take().and_then(|thread| thread.join().ok()).unwrap_or_default()
    }

    fn send(&self, message: Message) {
        // A view that the user has closed hears nothing.
        if let Some(sender) = &self.sender {
            drop(sender.send(message));
        }
    }

    /// `step` enters `phase`.
    pub fn phase(&self, step: usize, phase: Phase) {
        self.send(Message::Phase(step, phase));
    }

    /// Something that the user should know.
    pub fn notice(&self, notice: String) {
        self.send(Message::Notice(notice));
    }

    /// Rows of `completions.jsonl`.
    pub fn completions(&self, rows: &[CompletionRow]) {
        self.send(Message::Completions(rows.to_vec()));
    }

    /// A step is done.
    pub fn step(&self, metrics: &StepMetrics) {
        self.send(Message::Step(metrics.clone()));
    }
}

impl Drop for Live {
    /// A run that ends in an error is told on a terminal that is in order.
    fn drop(&mut self) {
        for notice in self.close() {
            tell!("note: {notice}");
        }
    }
}

/// What a key asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    Close,
    /// As the key does on a terminal without a view.
    Interrupt,
    Older,
    Newer,
    Nothing,
}

fn wish(key: KeyEvent) -> Wish {
    match key.code {
        _ if key.kind == KeyEventKind::Release => Wish::Nothing,
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Wish::Interrupt,
        KeyCode::Char('q') | KeyCode::Esc => Wish::Close,
        KeyCode::Up | KeyCode::Left | KeyCode::Char('k') => Wish::Older,
        KeyCode::Down | KeyCode::Right | KeyCode::Char('j') => Wish::Newer,
        _ => Wish::Nothing,
    }
}

fn show(mut terminal: DefaultTerminal, receiver: &Receiver<Message>, mut dashboard: Dashboard) -> Vec<String> {
    let mut interrupted = false;
    'shown: loop {
        loop {
            match receiver.try_recv() {
                Ok(message) => dashboard.take(message),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => break 'shown,
            }
        }
        // A terminal that can't be drawn on or read is gone: the run goes on without it.
        if terminal.draw(|frame| view::draw(frame, &dashboard)).is_err() {
            break;
        }
        match event::poll(TICK).and_then(|is_there| if is_there { event::read().map(Some) } else { Ok(None) }) {
            Ok(Some(Event::Key(key))) => match wish(key) {
                Wish::Close => break,
                Wish::Interrupt => {
                    interrupted = true;
                    break;
                }
                Wish::Older => dashboard.browse(-1),
                Wish::Newer => dashboard.browse(1),
                Wish::Nothing => {}
            },
            Ok(_) => {}
            Err(_) => break,
        }
    }
    ratatui::restore();
    if interrupted {
        interrupt();
    }
    dashboard.notices()
}

/// What Ctrl-C does where no view has taken the keyboard.
fn interrupt() {
    #[cfg(unix)]
    // If this fails there is nobody to tell; the next Ctrl-C is the terminal's own.
    drop(signal_hook::low_level::raise(signal_hook::consts::SIGINT));
    #[cfg(not(unix))]
    std::process::exit(130);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_what_they_ask_for() {
        let key = |code, modifiers| wish(KeyEvent::new(code, modifiers));
        assert_eq!(key(KeyCode::Char('q'), KeyModifiers::NONE), Wish::Close);
        assert_eq!(key(KeyCode::Char('c'), KeyModifiers::CONTROL), Wish::Interrupt);
        assert_eq!(key(KeyCode::Char('c'), KeyModifiers::NONE), Wish::Nothing);
        assert_eq!([KeyCode::Up, KeyCode::Down].map(|code| key(code, KeyModifiers::NONE)), [Wish::Older, Wish::Newer]);
    }
}

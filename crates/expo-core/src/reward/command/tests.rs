use super::super::source::Failure;
use super::super::testing::{GOOD, sh, with_rows};
use super::*;

/// Far beyond what any test takes; only a command that really hangs comes near it.
const LONG: Duration = Duration::from_secs(300);

fn start(script: &str, timeout: Duration) -> Command {
    let mut command = Command::start(sh(script), timeout).unwrap_or_else(|failure| panic!("{failure:?}"));
    be_patient(&mut command, LONG);
    command
}

/// How long it may take to end.
fn be_patient(command: &mut Command, patience: Duration) {
    command.patience = patience;
    command.process.as_mut().unwrap().patience = patience;
}

/// Asks for the rewards of `count` rows from `first`.
fn ask(command: &mut Command, count: usize, first: u64) -> Result<Vec<Option<f64>>, Failure> {
    with_rows(count, first, 10, |rows| command.ask(rows, 0, &AtomicBool::new(false)))
}

/// Whether a process is there and has not ended.
fn lives(process: u32) -> bool {
    let script = format!("kill -0 {process} 2>/dev/null && ! grep -qs ') Z' /proc/{process}/stat");
    std::process::Command::new("sh").args(["-c", &script]).status().unwrap().success()
}

#[test]
fn one_process_answers_batch_after_batch() {
    // Every answer is the number of answers so far.
    let script = r#"n=0; while IFS= read -r row; do id=${row#*\"id\":}; n=$((n + 1)); echo "{\"id\": ${id%%,*}, \"reward\": $n}"; done"#;
    let mut command = start(script, LONG);
    assert_eq!(ask(&mut command, 2, 0).unwrap(), [Some(1.0), Some(2.0)]);
    assert_eq!(ask(&mut command, 3, 2).unwrap(), [Some(3.0), Some(4.0), Some(5.0)]);
}

#[test]
fn answers_may_come_in_any_order_with_notes_and_nulls() {
    let script = r#"read a; read b; read c
        echo '{"id": 12, "reward": -2, "why": "too long"}'; echo '{"reward": null, "id": 10}'; echo '{"id":11,"reward":1e-3}'; read d"#;
    assert_eq!(ask(&mut start(script, LONG), 3, 10).unwrap(), [None, Some(1e-3), Some(-2.0)]);
}

#[test]
fn no_pipe_fills_up_whoever_is_slower() {
    // Two megabytes each way, far more than pipes hold.
    const ROWS: usize = 1000;
    let notes = "n".repeat(2000);
    let answer = format!(r#"echo "{{\"id\": $i, \"reward\": $i, \"notes\": \"{notes}\"}}""#);
    let count = format!("i=0; while [ $i -lt {ROWS} ]; do");
    let next = "i=$((i + 1)); done";
    let scripts = [
        ("each row is answered before the next is read", format!("{count} IFS= read -r row; {answer}; {next}; read end")),
        ("everything is written before anything is read", format!("{count} {answer}; {next}; cat > /dev/null")),
        ("everything is read before anything is written", format!("{count} IFS= read -r row; {next}; {count} {answer}; {next}; read end")),
    ];
    for (name, script) in scripts {
        let answers = with_rows(ROWS, 0, 2000, |rows| start(&script, LONG).ask(rows, 0, &AtomicBool::new(false)))
            .unwrap_or_else(|e| panic!("{name}: {e:?}"));
        assert!(answers.iter().enumerate().all(|(i, answer)| *answer == Some(i as f64)), "{name}");
    }
}

#[test]
fn a_run_that_is_to_stop_does_not_wait_for_long() {
    let script = r#"read a; read b; echo '{"id": 1, "reward": 1}'; sleep 1000"#;
    let mut command = start(script, LONG);
    be_patient(&mut command, Duration::ZERO);
    let failure = with_rows(2, 0, 10, |rows| command.ask(rows, 0, &AtomicBool::new(true))).unwrap_err();
    assert!(failure.message.contains("had answered ") && failure.message.contains("of 2 rows when the run was to stop"), "{failure:?}");
}

#[test]
fn what_a_command_has_started_ends_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("process");
    // A program that is asked for answers in a process of its own, as by a wrapper, and ignores that nobody asks any more.
    let script = format!("sleep 1000 & echo $! > '{0}.part'; mv '{0}.part' '{0}'; wait", file.display());
    let begun = || -> u32 {
        loop {
            match std::fs::read_to_string(&file).ok().and_then(|text| text.trim().parse().ok()) {
                Some(process) => break process,
                None => thread::sleep(Duration::from_millis(1)),
            }
        }
    };
    let dies = |process: u32| {
        (0..10_000).any(|_| {
            !lives(process) || {
                thread::sleep(Duration::from_millis(1));
                false
            }
        })
    };
    let mut command = start(&script, Duration::ZERO);
    let process = begun();
    assert!(ask(&mut command, 1, 0).unwrap_err().message.contains("answered 0 of 1 rows"));
    assert!(dies(process), "given up");
    std::fs::remove_file(&file).unwrap();
    let mut command = start(&script, LONG);
    be_patient(&mut command, Duration::ZERO);
    let process = begun();
    command.close();
    assert!(dies(process), "no more needed");
}

#[test]
fn a_command_that_breaks_the_protocol_is_not_asked_again() {
    let cases = [
        ("echo loading the model", "it wrote \"loading the model\", which is not JSON"),
        ("echo", "it wrote \"\", which is not JSON"),
        (r#"echo '{"id": 0, "reward": NaN}'"#, "is not JSON: a reward is a finite number or null"),
        (r#"echo '{"id": 0, "reward": -Infinity}'"#, "is not JSON: a reward is a finite number or null"),
        (r#"echo '{"id": 0, "reward": 1e999}'"#, "which is not JSON"),
        (r#"echo '{"id": 0, "reward": "1"}'"#, "a reward is a finite number or null"),
        (r#"echo '{"id": 0, "score": 1}'"#, "without a `reward`"),
        (r#"echo '{"reward": 1}'"#, "without the `id` of a row"),
        ("echo 1", "without the `id` of a row"),
        (r#"echo '{"id": 2, "reward": 1}'"#, "it answered id 2, but was asked for 0 to 1"),
        (r#"echo '{"id": 1, "reward": 1}'; echo '{"id": 1, "reward": 1}'"#, "it answered id 1 twice"),
        ("head -c 2000000 /dev/zero | tr '\\0' x", "a line of more than 1048576 bytes"),
    ];
    for (script, expected) in cases {
        let failure = ask(&mut start(&format!("{script}; cat > /dev/null"), LONG), 2, 0).unwrap_err();
        assert!(failure.message.contains(expected), "{script}: {}", failure.message);
        assert!(failure.message.starts_with("`sh -c ") && failure.message.contains("one line {\"id\": ID, \"reward\": NUMBER or null}"));
        assert!(failure.retry.is_none() && !failure.message.contains('\n'), "{script}");
    }
}

#[test]
fn a_line_too_many_is_found_with_the_next_batch() {
    let mut command = start(r#"read a; read b; for id in 0 1 1; do echo "{\"id\": $id, \"reward\": 1}"; done; cat > /dev/null"#, LONG);
    assert!(ask(&mut command, 2, 0).is_ok());
    let failure = ask(&mut command, 2, 2).unwrap_err();
    assert!(failure.message.contains("it answered id 1, but was asked for 2 to 3") && failure.retry.is_none(), "{}", failure.message);
}

#[test]
fn a_command_that_ends_is_started_again() {
    let folder = tempfile::tempdir().unwrap();
    let mark = folder.path().join("mark");
    // The first time it answers one row and ends.
    let script = format!(
        r#"if [ ! -e '{0}' ]; then : > '{0}'; read a; echo '{{"id": 0, "reward": 1}}'; echo 'first line' >&2; echo "no memory" >&2; exit 3; fi; {GOOD}"#,
        mark.display()
    );
    let mut command = start(&script, LONG);
    let failure = ask(&mut command, 2, 0).unwrap_err();
    assert!(failure.message.contains("ended (exit status: 3) after 1 of 2 answers"), "{}", failure.message);
    assert!(failure.message.ends_with("; its standard error ends: first line | no memory"), "{}", failure.message);
    assert!(failure.retry.is_some());
    assert_eq!(ask(&mut command, 2, 0).unwrap(), [Some(0.5); 2]);
}

#[test]
fn a_command_that_closes_its_output_or_its_input_is_found() {
    let mut command = start("exec >&-; cat > /dev/null", LONG);
    be_patient(&mut command, Duration::from_millis(50));
    let failure = ask(&mut command, 1, 0).unwrap_err();
    assert!(failure.message.contains("closed its standard output after 0 of 1 answers"), "{}", failure.message);
    let failure = ask(&mut start("exec <&-; exit 1", LONG), 1, 0).unwrap_err();
    assert!(failure.message.contains("ended (exit status: 1)"), "{}", failure.message);
}

#[test]
fn a_hung_command_is_given_up_and_ended() {
    let mut command = start("read a; echo '{\"id\": 0, \"reward\": 1}'; echo thinking >&2; exec sleep 1000", Duration::from_millis(300));
    let process = command.process.as_ref().unwrap().child.as_ref().unwrap().id();
    assert!(lives(process));
    let failure = ask(&mut command, 2, 0).unwrap_err();
    assert!(failure.message.contains("of 2 rows within 0.3 s (`timeout`)") && failure.retry.is_some(), "{}", failure.message);
    assert!(!lives(process));
}

#[test]
fn a_command_is_ended_with_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let mark = folder.path().join("mark");
    // The end of its input tells a command to end.
    let mut command = start(&format!("{GOOD}; : > '{}'", mark.display()), LONG);
    ask(&mut command, 1, 0).unwrap();
    command.close();
    assert!(mark.exists());
    assert_eq!(ask(&mut command, 1, 1).unwrap(), [Some(0.5)], "it is started again where there is more to do");
    // One that doesn't hear is killed.
    let mut command = start("trap '' TERM HUP; exec sleep 1000", LONG);
    be_patient(&mut command, Duration::from_millis(50));
    let process = command.process.as_ref().unwrap().child.as_ref().unwrap().id();
    drop(command);
    assert!(!lives(process));
}

#[test]
fn a_program_that_is_not_there() {
    let start = |argv: &[&str]| Command::start(argv.iter().map(|s| (*s).to_owned()).collect(), LONG).err().unwrap();
    let failure = start(&["no/such/program", "--fast"]);
    assert!(failure.message.starts_with("cannot start `no/such/program`: ") && failure.retry.is_none(), "{}", failure.message);
    // A whole command line is no program.
    assert!(start(&["python3 reward.py"]).message.contains("the first entry of `command` is the program"));
    assert!(start(&[]).message.contains("`command` is empty"));
}

use super::super::testing::{Fixture, with_rows};
use super::server::{Reply, Request, ok, serve};
use super::*;
use crate::config::{Config, ExternalRewardSection};
use crate::reward::Rewards;

const LONG: Duration = Duration::from_secs(300);

fn endpoint(url: &str, api_key_env: &str, timeout: Duration) -> Endpoint {
    let mut endpoint = Endpoint::new(url, api_key_env, timeout).unwrap_or_else(|failure| panic!("{failure:?}"));
    endpoint.first_pause = Duration::from_millis(1);
    endpoint
}

/// Sends two rows, which are answered with `reply`.
fn ask(reply: Reply, timeout: Duration) -> (Result<Vec<Option<f64>>, Failure>, Request) {
    let (url, server) = serve(vec![reply]);
    let answer = with_rows(2, 5, 3, |rows| endpoint(&url, "", timeout).ask(rows, 0, &AtomicBool::new(false)));
    (answer, server.join().unwrap().remove(0))
}

#[test]
fn a_url_with_a_password_is_refused_and_not_repeated() {
    for url in ["http://me:secret@example.com/reward", "https://secret@example.com"] {
        let failure = Endpoint::new(url, "", LONG).err().unwrap();
        assert!(failure.message.contains("`api_key_env`") && !failure.message.contains("secret"), "{}", failure.message);
    }
}

#[test]
fn rows_go_out_as_a_list_and_rewards_come_back_as_one() {
    let (answer, (headers, body)) = ask(ok("[0.25, null]"), LONG);
    assert_eq!(answer.unwrap(), [Some(0.25), None]);
    assert!(headers.starts_with("post /reward http/1.1\r\n") && headers.contains("content-type: application/json\r\n"), "{headers}");
    assert!(!headers.contains("authorization"));
    let rows: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((&rows[0]["id"], &rows[1]["id"], &rows[1]["completion"]), (&Value::from(5), &Value::from(6), &Value::from("xxx")));
}

#[test]
fn the_key_is_sent_and_never_shown() {
    // A variable that is set wherever tests run.
    let secret = std::env::var("PATH").unwrap();
    let (url, server) = serve(vec![Reply::Answer("403 Forbidden", "", format!("no entry for {secret}"))]);
    let failure = with_rows(1, 0, 1, |rows| endpoint(&url, "PATH", LONG).ask(rows, 0, &AtomicBool::new(false))).unwrap_err();
    assert!(failure.message.ends_with("answered 403 Forbidden: no entry for ***") && failure.retry.is_none(), "{}", failure.message);
    let (headers, _) = server.join().unwrap().remove(0);
    assert!(headers.contains(&format!("authorization: bearer {}\r\n", secret.to_lowercase())));
    let missing = Endpoint::new("http://127.0.0.1:1/", "NO_SUCH_VARIABLE_HERE", LONG).err().unwrap();
    assert!(missing.message.contains("NO_SUCH_VARIABLE_HERE (`api_key_env`) is not set"), "{}", missing.message);
}

#[test]
fn answers_that_are_no_list_of_rewards_stop_at_once() {
    for body in ["", "ok", "[1]", "[1, 2, 3]", "[1, \"2\"]", "[1, NaN]", "[1, 1e999]", "{\"rewards\": [1, 2]}"] {
        let failure = ask(ok(body), LONG).0.unwrap_err();
        assert!(failure.message.contains("expected a JSON list of 2 entries, each a finite number or null"), "{body}: {}", failure.message);
        assert!(failure.retry.is_none(), "{body}");
    }
    let many = format!("[{}1]", "1, ".repeat(300));
    let failure = ask(ok(&many), LONG).0.unwrap_err();
    assert!(failure.message.ends_with("found 301") && failure.message.len() < 500, "{}", failure.message);
}

#[test]
fn what_may_pass_is_told_from_what_will_not() {
    let status = |status, headers| ask(Reply::Answer(status, headers, "x".to_owned()), LONG).0.unwrap_err();
    for passing in ["429 Too Many Requests", "500 Internal Server Error", "503 Service Unavailable", "408 Request Timeout"] {
        let failure = status(passing, "");
        assert!(failure.message.contains(&format!("answered {passing}: x")), "{}", failure.message);
        assert_eq!(failure.retry, Some(Duration::from_millis(1)), "{passing}");
    }
    assert_eq!(status("429 Too Many Requests", "Retry-After: 7\r\n").retry, Some(Duration::from_secs(7)));
    assert_eq!(status("503 Service Unavailable", "Retry-After: 86400\r\n").retry, Some(LONGEST_PAUSE));
    for final_status in ["400 Bad Request", "401 Unauthorized", "404 Not Found", "302 Found"] {
        assert!(status(final_status, "").retry.is_none(), "{final_status}");
    }
    assert!(ask(Reply::HangUp, LONG).0.unwrap_err().retry.is_some());
    let late = ask(Reply::Silence, Duration::from_millis(200)).0.unwrap_err();
    assert!(late.message.ends_with("gave no answer within 0.2 s (`timeout`)") && late.retry.is_some(), "{}", late.message);
    let mut endpoint = endpoint("http://127.0.0.1:9/", "", LONG);
    endpoint.first_pause = Duration::from_secs(1);
    let pauses = [0, 1, 3, 60].map(|attempt| endpoint.passing(String::new(), attempt, None).retry.unwrap().as_secs());
    assert_eq!(pauses, [1, 2, 8, 60]);
}

#[test]
fn a_busy_endpoint_is_asked_again() {
    let busy = || Reply::Answer("503 Service Unavailable", "Retry-After: 0\r\n", "busy".to_owned());
    let score = |replies: Vec<Reply>| {
        let (url, server) = serve(replies);
        let mut config = Config::default();
        config.reward.external.insert("judge".into(), ExternalRewardSection { url, max_retries: 1, ..Default::default() });
        let fixture = Fixture::new(&[true, false]);
        let mut notices = Vec::new();
        let scored = Rewards::new(&config).unwrap().score(&[fixture.question()], &mut |notice: String| notices.push(notice));
        let requests = server.join().unwrap();
        assert_eq!(requests[0].1, requests[1].1, "the same rows both times");
        assert!(notices.len() == 1 && notices[0].ends_with("answered 503 Service Unavailable: busy; attempt 2 of 2"), "{notices:?}");
        scored.map(|scored| scored[0].iter().map(|scored| scored.reward).collect::<Vec<_>>())
    };
    assert_eq!(score(vec![busy(), ok("[2, null]")]).unwrap(), [Some(3.0), Some(0.0)]);
    let error = score(vec![busy(), busy()]).unwrap_err().to_string();
    assert!(error.starts_with("reward.external.judge: http://127.0.0.1:") && error.ends_with("busy (2 attempts)"), "{error}");
}

#[test]
fn a_stop_is_not_held_up_by_an_endpoint_that_hangs() {
    let (url, server) = serve(vec![Reply::Silence]);
    // It would be waited for until this test is given up.
    let endpoint = endpoint(&url, "", Duration::from_secs(86_400));
    let stopping = AtomicBool::new(false);
    let failure = std::thread::scope(|scope| {
        let asked = scope.spawn(|| endpoint.post_unless_stopping(b"[]".to_vec(), 0, &stopping, Duration::from_millis(1)));
        stopping.store(true, Ordering::Relaxed);
        asked.join().unwrap().unwrap_err()
    });
    assert!(failure.message.ends_with("had not answered when the run was asked to stop") && failure.retry.is_none(), "{}", failure.message);
    // The server waits for the client to leave, which it does with the process.
    drop(server);
}

#[test]
fn urls_that_are_none() {
    for url in ["http://", "not a url", "/path"] {
        assert!(Endpoint::new(url, "", LONG).err().unwrap().message.contains("`url`"), "{url}");
    }
}

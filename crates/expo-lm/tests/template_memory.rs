//! The limit on memory behind that of fuel, which a program has whose allocator counts.

use std::path::Path;

use expo_lm::chat::{ChatSettings, ChatTemplate, Excess, Message, within_limits};
use expo_lm::kernels::cpu::memory::Allocator;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

/// What takes more than its share, and does not pay for it, is given up.
#[test]
fn work_that_takes_too_much_memory_is_given_up() {
    let take = |bytes: usize| within_limits(move || Vec::<u8>::with_capacity(bytes).capacity()).expect("a thread");
    assert_eq!(take(1 << 20), Ok(1 << 20));
    assert_eq!(take(600 << 20), Err(Excess::Memory));
    assert_eq!(Excess::Memory.to_string(), "takes more than 512 MiB of memory");
    // One that was given up is in nobody's way.
    assert_eq!(take(1 << 20), Ok(1 << 20));
}

/// Text of a list that holds the same list many times is paid for as it is made.
#[test]
fn text_of_a_list_of_lists_is_paid_for() {
    for text in [
        "ns.x ~ 'a'",
        "ns.x | join",
        "'{}'.format(ns.x)",
        "'%s' % ns.x",
        "'%r' % (ns.x,)",
        "ns.x | replace('a', 'b')",
        "ns.x | tojson",
        "[ns.x] | map('string') | list",
    ] {
        let source = format!(
            "{{% set ns = namespace(x=['a' * 1000]) %}}{{% for i in range(60) %}}{{% set ns.x = [ns.x, ns.x] %}}{{% endfor %}}{{{{ ({text}) | length }}}}"
        );
        let template = ChatTemplate::new(&source, Path::new("t.jinja"), Default::default()).unwrap();
        let error = template.render(&[Message::new("user", "hi")], true, &ChatSettings::default()).expect_err(text).to_string();
        assert!(error.ends_with("it does more work, or writes more, than a conversation takes"), "{text}: {error}");
    }
}

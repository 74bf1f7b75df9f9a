//! A chat template that takes memory that MiniJinja's fuel doesn't see; the binary's allocator does.

use std::path::Path;

use expo_lm::chat::{ChatSettings, ChatTemplate, Message};
use expo_lm::kernels::cpu::memory::Allocator;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

#[test]
fn a_rendering_that_takes_too_much_memory_is_given_up() {
    // Unpacking puts every item on the stack before it counts them.
    let source = "{% if messages[0].content == 'well' %}fine{% else %}{% set a, b = [1] * 100000000 %}{% endif %}";
    let template = ChatTemplate::new(source, Path::new("t.jinja"), Default::default()).unwrap();
    let render = |content: &str| template.render(&[Message::new("user", content)], true, &ChatSettings::default());
    let refused = |content: &str, why: &str| {
        let expected = format!("t.jinja: the chat template {why}; expected a template that only writes out a conversation");
        assert_eq!(render(content).expect_err(content).to_string(), expected);
    };
    assert_eq!(render("well").unwrap(), "fine");
    refused("ill", "takes more than 512 MiB of memory");
    // One that was given up is in nobody's way.
    assert_eq!(render("well").unwrap(), "fine");
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

//! A chat template that makes text of a list that holds the same list many times: MiniJinja's fuel doesn't see it, the binary's allocator does.

use std::path::Path;

use expo_lm::chat::{ChatTemplate, Message};
use expo_lm::kernels::cpu::memory::Allocator;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

/// Each a conversation's content, and what the template makes of it.
const TEXTS: [(&str, &str); 4] = [("a", "ns.x ~ 'a'"), ("b", "ns.x | join"), ("c", "'{}'.format(ns.x)"), ("d", "ns.x | replace('a', 'b')")];

#[test]
fn a_rendering_that_takes_too_much_memory_is_given_up() {
    let cases: String =
        TEXTS.map(|(content, text)| format!("{{% elif messages[0].content == '{content}' %}}{{{{ ({text}) | length }}}}")).concat();
    let source = format!(
        "{{% set ns = namespace(x=['a' * 1000]) %}}{{% for i in range(60) %}}{{% set ns.x = [ns.x, ns.x] %}}{{% endfor %}}\
         {{% if messages[0].content == 'well' %}}fine{cases}{{% endif %}}"
    );
    let template = ChatTemplate::new(&source, Path::new("t.jinja"), Default::default()).unwrap();
    let render = |content: &str| template.render(&[Message::new("user", content)], true);
    let refused = |content: &str, why: &str| {
        let expected = format!("t.jinja: the chat template {why}; expected a template that only writes out a conversation");
        assert_eq!(render(content).expect_err(content).to_string(), expected);
    };
    for (content, _) in TEXTS {
        // One that was given up is in nobody's way.
        assert_eq!(render("well").unwrap(), "fine");
        refused(content, "takes more than 512 MiB of memory");
    }
    // What they took can't be taken back: this has an end, too.
    refused("well", "took too much time or memory for 4 conversations before this one");
}

//! Chat templates that make text of a list that holds the same list many times: MiniJinja's fuel doesn't see it, the binary's allocator does.

use std::path::Path;

use expo_lm::chat::{ChatTemplate, Message};
use expo_lm::kernels::cpu::memory::Allocator;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

#[test]
fn a_rendering_that_takes_too_much_memory_is_given_up() {
    let messages = [Message::new("user", "hi")];
    for text in
        ["(ns.x ~ 'a')", "(ns.x | join)", "('%s' | format(ns.x))", "(ns.x | upper)", "('{}'.format(ns.x))", "(ns.x | replace('a', 'b'))"]
    {
        let source = format!(
            "{{% if messages[0].content == 'hi' %}}{{% set ns = namespace(x=['a' * 1000]) %}}{{% for i in range(60) %}}\
             {{% set ns.x = [ns.x, ns.x] %}}{{% endfor %}}{{{{ {text} | length }}}}{{% else %}}fine{{% endif %}}"
        );
        let template = ChatTemplate::new(&source, Path::new("t.jinja"), Default::default()).unwrap();
        let error = template.render(&messages, true).expect_err(text).to_string();
        let expected = "takes more than 512 MiB of memory; expected a template that only writes out a conversation";
        assert_eq!(error, format!("t.jinja: the chat template {expected}"), "{text}");
        // Another rendering has a thread of its own.
        assert_eq!(template.render(&[Message::new("user", "well")], true).unwrap(), "fine");
    }
}

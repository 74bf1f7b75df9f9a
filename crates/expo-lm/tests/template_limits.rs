//! Chat templates that want more than their share: each ends with an error, at once, and takes no memory to speak of.

use std::path::Path;

use expo_lm::chat::{ChatSettings, ChatTemplate, Message};

/// What becomes of `source`, without what every message begins with.
fn render(source: &str) -> Result<String, String> {
    let template = ChatTemplate::new(source, Path::new("t.jinja"), Default::default());
    let error = |e: expo_lm::Error| {
        let message = e.to_string();
        let reason = message.strip_prefix("t.jinja: the chat template ").unwrap_or_else(|| panic!("{message}"));
        reason.replace("fails on this conversation (line 1): ", "")
    };
    template.and_then(|template| template.render(&[Message::new("user", "hi")], true, &ChatSettings::default())).map_err(error)
}

/// The most memory that this process has had, in kB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0)
}

const MUCH: &str = "it does more work, or writes more, than a conversation takes";
const WIDE: &str = "a width or precision of 1000000000 in a format; expected at most 9999";
const DEEP: &str = "recursion limit exceeded";

/// `head`, then `tail` with `step` done `count` times before it.
fn repeated(head: &str, count: usize, step: &str, tail: &str) -> String {
    format!("{{% set ns = namespace({head}) %}}{{% for i in range({count}) %}}{{% set ns.x = {step} %}}{{% endfor %}}{tail}")
}

#[test]
fn limits_on_steps_recursion_and_output() {
    let before = peak();
    let cases = [
        // Steps.
        ("{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}", MUCH),
        ("{{ range(1000000000) | list }}", "range: a range of 1000000000 numbers; expected at most 100000"),
        ("{% for i in range(10000) %}{{ range(100000) | sort | first }}{% endfor %}", MUCH),
        ("{% set a = 'a' * 10000000 %}{% for i in range(100000) %}{{ a.find('b') }}{% endfor %}", MUCH),
        ("{% set a = 'a.' * 300000 %}{{ ([{'a': 1}] * 1000) | map(attribute=a, default=1) | list }}", MUCH),
        // Recursion.
        ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", DEEP),
        ("{% macro m(x) %}{% for i in [1] %}{{ m([x]) }}{% endfor %}{% endmacro %}{{ m(1) }}", DEEP),
        ("{% block a %}{{ self.a() }}{% endblock %}", DEEP),
        ("{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}", DEEP),
        // Output, and data on the way there.
        ("{{ 'a' * 1000000000 }}", MUCH),
        ("{% for i in range(100000) %}{{ 'a' * 10000 }}{% endfor %}", MUCH),
        ("{% set a = 'a' * 100000 %}{{ ([a] * 100000) | join(a) }}", MUCH),
        ("{% set a = 'a' * 100000 %}{{ a.join([a] * 100000) }}", MUCH),
        ("{% set a = 'a' * 1000000 %}{{ a.replace('a', a) }}", MUCH),
        ("{% set a = 'a' * 1000000 %}{{ a | replace('a', a) }}", MUCH),
        ("{% set a = '\\n' * 1000000 %}{{ a | indent(1000000) }}", MUCH),
        ("{{ ('a' * 60000000).split('a') | length }}", MUCH),
        ("{{ '{:1000000000}'.format(1) }}", WIDE),
        ("{{ '{:.1000000000f}'.format(1.0) }}", WIDE),
        ("{{ '{:{}}'.format(1, 1000000000) }}", WIDE),
        ("{{ '%1000000000d' | format(1) }}", WIDE),
        ("{{ '%.1000000000f' % 1.0 }}", WIDE),
        ("{{ '%*d' % (1000000000, 1) }}", WIDE),
        ("{% for i in range(100000) %}{% set x = '%9999d' % 1 %}{% endfor %}", MUCH),
        ("{{ [1] | slice(1000000000) | list }}", MUCH),
        ("{{ [1] | batch(1000000000, 1) | list }}", MUCH),
        ("{{ strftime_now('%A' * 1000000) }}", "strftime_now: a format of 2000000 bytes; expected at most 1000"),
        ("{% set ns = namespace() %}{% set ns.x = ns %}{{ ns }}", "a value is nested too deeply to be printed"),
        ("{{ 'x'.ljust(1000000000) }}", MUCH),
        ("{{ 'x'.center(1000000000) }}", MUCH),
        ("{{ 'x'.zfill(1000000000) }}", MUCH),
        ("{{ 'x' | center(1000000000) }}", MUCH),
        ("{{ '\\t'.expandtabs(1000000000) }}", MUCH),
        ("{{ 'a' | indent(1000000000, true) }}", MUCH),
        ("{{ ('a' * 60000000) | list | length }}", MUCH),
        ("{{ ('a ' * 30000000) | wordwrap(1) | length }}", MUCH),
        ("{{ ('\\n' * 60000000).splitlines() | length }}", MUCH),
        ("{{ ('<' * 20000000) | e }}", MUCH),
        ("{{ ('\\u00e9' * 15000000) | urlencode }}", MUCH),
        ("{% set l = range(100000) | list %}{% for i in range(1000) %}{% set x = l[::-1] %}{% endfor %}", MUCH),
        ("{% for i in range(100000) %}{% set x = range(100000) | map('string') %}{% endfor %}", MUCH),
        ("{% set l = range(100000) | list %}{% for i in range(1000) %}{% set x = (l | sort) < l %}{% endfor %}", MUCH),
        ("{{ cycler() }}", "cycler: expected at least one item, and no names"),
        ("{% set ns = namespace() %}{% set ns.x = ns %}{{ ns | tojson }}", "tojson: Object of type Namespace is not JSON serializable"),
    ];
    for (source, expected) in cases {
        let found = render(source).map(|text| text.len());
        assert_eq!(found, Err(expected.into()), "{source}");
    }
    // Lists of which MiniJinja makes the items when they are asked for, by whoever asks.
    let many = "{% set l = [1] * 100000000 %}";
    for use_of_it in [
        "{% set a, b = l %}",
        "{% for a, b in [l] %}{% endfor %}",
        "{% for a, (b, c) in [(1, l)] %}{% endfor %}",
        "{{ l[-1] }}",
        "{{ raise_exception(l) }}",
        "{{ raise_exception([l]) }}",
        "{{ l == l }}",
    ] {
        assert_eq!(render(&format!("{many}{use_of_it}")), Err(MUCH.into()), "{use_of_it}");
    }
    for product in
        ["[1, 2] * 3 * 10000000", "5 * [[1]] * 10000000", "n * l", "(l * n)[:2]", "l * n + l * n", "[l * n, 1] | first", "x % (l * n)"]
    {
        assert_eq!(render(&format!("{{% set n, l, x = 100000000, [1], 'x' %}}{{{{ {product} }}}}")), Err(MUCH.into()), "{product}");
    }
    assert_eq!(render(&repeated("x=[1]", 60, "ns.x + ns.x", "")), Err(MUCH.into()));
    assert_eq!(render(&repeated("x=[1]", 60, "(ns.x + []) + ([] + ns.x)", "")), Err(MUCH.into()));
    assert_eq!(render(&format!("{{% set l = [1] * 200000 %}}{{% set l = l{} %}}", " + l".repeat(60))), Err(MUCH.into()));
    // What such lists usually are.
    for (source, expected) in [
        (
            "{% set l = [1, 2] * 3 %}{{ l }} {{ l + [0] }} {{ l[-1] }} {{ (3 * [0]) | length }}",
            "[1, 2, 1, 2, 1, 2] [1, 2, 1, 2, 1, 2, 0] 2 3",
        ),
        (
            "{% set l = [1] %}{% for i in range(2000) %}{% set l = l + [i] %}{% endfor %}{{ l + l + l + l + l + l + l + l + l + l }}",
            "[1, 1, 1, 1, 1, 1, 1, 1, 1, 1]",
        ),
    ] {
        assert_eq!(render(source).as_deref(), Ok(expected), "{source}");
    }
    let grows = repeated("x=[]", 3000, "ns.x + [i]", "{{ ns.x | length }}");
    assert_eq!(render(&grows).as_deref(), Ok("3000"));
    // What is not a list or text, and holds much: kept many times.
    let kept = |made: &str, each: &str| {
        format!("{made}{{% set ns = namespace(l=[]) %}}{{% for i in range(20000) %}}{{% set ns.l = [ns.l, {each}] %}}{{% endfor %}}")
    };
    let dict = "{% set d = dict(range(10000) | map('string') | batch(2)) %}";
    assert_eq!(render(&kept(dict, "d | items")), Err(MUCH.into()));
    assert_eq!(render(&kept("{% set s = 'a' * 30000 %}", "namespace([(s, 1)])")), Err(MUCH.into()));
    assert_eq!(render(&kept("{% set c = cycler(*range(30000)) %}", "c.items")), Err(MUCH.into()));
    assert_eq!(render(&kept(dict, "d.items()")).as_deref(), Ok(""), "a view takes no memory of its own");
    let nested = format!("{dict}{{% for x in d.items() recursive %}}{{{{ loop(d.items()) }}}}{{% endfor %}}");
    assert_eq!(render(&nested), Err(DEEP.into()));
    // Lists that hold the same list many times.
    let double = "[ns.x, ns.x]";
    for tail in ["{{ ns.x }}", "{{ ns.x | string | length }}", "{{ ns.x | tojson | length }}"] {
        assert_eq!(render(&repeated("x=['a' * 1000]", 60, double, tail)), Err(MUCH.into()), "{tail}");
    }
    // Two of them that are equal, and not the same.
    let twins = "{% set ns = namespace(x=[0], y=[0], s=(0,), t=(0,)) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% set ns.y = [ns.y, ns.y] %}\
                 {% set ns.s = (ns.s, ns.s) %}{% set ns.t = (ns.t, ns.t) %}{% endfor %}";
    for compared in [
        "ns.x == ns.y",
        "ns.x != ns.y",
        "ns.x in [ns.y]",
        "ns.x < ns.y",
        "ns.x is eq(ns.y)",
        "ns.x is ne ns.y",
        "[ns.x].count(ns.y)",
        "[ns.x].index(ns.y)",
        "{'a': ns.x} == {'a': ns.y}",
        "{ns.s: 1}",
        "dict([(ns.s, 1)])",
        "[ns.s, ns.t] | unique | list",
        "[ns.x, ns.y] | sort",
        "[{'k': ns.x}, {'k': ns.y}] | groupby('k')",
    ] {
        assert_eq!(render(&format!("{twins}{{{{ {compared} }}}}")), Err(MUCH.into()), "{compared}");
    }
    assert_eq!(render(&format!("{twins}{{{{ ns.x == ns.x }}}}")).as_deref(), Ok("True"));
    assert_eq!(render(&format!("{twins}{{{{ {{ns.x: 1}} }}}}")), Err("unhashable type: 'list'".into()));
    let texts = "{% set s = 'ab' * 3000000 %}{% set t = s ~ 'x' %}{% set u = s ~ 'y' %}{% for i in range(100000) %}{% set x = t == u %}{% endfor %}";
    assert_eq!(render(texts), Err(MUCH.into()));
    assert_eq!(render(&repeated("x='a'", 60, "ns.x ~ ns.x", "{{ ns.x }}")), Err(MUCH.into()));
    assert_eq!(render(&repeated("x=[0]", 100, "[ns.x]", "{{ ([ns.x] * 100000) | tojson(indent=64) }}")), Err(MUCH.into()));
    assert_eq!(render("{{ raise_exception('a\\n' * 1000000) }}"), Err("a ".repeat(150)));
    let grown = peak() - before;
    assert!(grown < 400_000, "{grown} kB");
}

/// Deep syntax trees and values are taken apart by recursion.
#[test]
fn what_is_nested_deeply_needs_no_stack_of_the_caller() {
    let chain = |link: &str, count: usize| format!("{{{{ 1{} }}}}", link.repeat(count));
    let expressions = [
        (format!("{{{{ {}1 }}}}", "-".repeat(130_000)), Ok("1")),
        (format!("{{{{ {}1 }}}}", "not ".repeat(30_000)), Ok("True")),
        (chain("+1", 60_000), Ok("60001")),
        (chain("|abs", 30_000), Ok("1")),
        (chain(".a", 60_000), Err("undefined value: `(...).a` is undefined")),
        (format!("{{% if 0 %}}{}{{% endif %}}", "{% elif 0 %}".repeat(10_000)), Ok("")),
        (
            format!("{{{{ {}1{} }}}}", "(".repeat(60_000), ")".repeat(60_000)),
            Err("does not compile (line 1): an expression nests more than 70 deep"),
        ),
        (
            format!("{{{{ {}1 }}}}", "1 % ".repeat(30_000)),
            Err("does not compile (line 1): syntax error: template exceeds maximum recursion limits"),
        ),
        (format!("{{{{ ({}1) | length }}}}", "1 ~ ".repeat(30_000)), Ok("30001")),
        (repeated("x=0", 50_000, "[ns.x]", "{{ ns.x | length }}"), Ok("1")),
        (repeated("x=0", 100_000, &format!("{}ns.x{}", "[".repeat(60), "]".repeat(60)), ""), Err(MUCH)),
        (" ".repeat(131_073), Err("has 131073 bytes; expected at most 131072")),
    ];
    for (source, expected) in expressions {
        let found = render(&source);
        assert_eq!(found.as_deref().map_err(String::as_str), expected, "{}", &source[..60]);
    }
}

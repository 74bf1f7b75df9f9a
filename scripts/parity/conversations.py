"""Twenty conversations that exercise templates and tokenizers: roles, white space, scripts, numbers, code, special tokens in text."""


def turn(*contents, system=None):
    """User and assistant in turn, after an optional system message."""
    messages = [] if system is None else [{"role": "system", "content": system}]
    roles = ["user", "assistant"]
    return messages + [{"role": roles[i % 2], "content": text} for i, text in enumerate(contents)]


CONVERSATIONS = [
    turn("What is the capital of France?"),
    turn("Hello", "Hi! How can I help?", "Tell me a joke."),
    turn("2+2?", system="You are a calculator."),
    turn("Solve it.", "\\boxed{42}", "Sure?", "Yes.", system="Answer in LaTeX."),
    turn(""),
    turn("  leading and trailing  \n\n"),
    turn("Tabs\tand\r\nWindows lines\n\n\nand many\n\n\n\nblank ones"),
    turn("Na\u00efve caf\u00e9, \u00fcber, \u0141\u00f3d\u017a, e\u0301 (combining)"),
    turn("\u65e5\u672c\u8a9e\u306e\u30c6\u30ad\u30b9\u30c8\u3002\u4e2d\u6587\uff0c\ud55c\uad6d\uc5b4"),
    turn("Emoji \U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467 \u2764\ufe0f and \u0639\u0631\u0628\u064a \u05e2\u05d1\u05e8\u05d9\u05ea"),
    turn("Numbers: 1 12 123 1234 1234567 3.14159 1e-5 \u0663\u0664 \u00bd x\u00b2"),
    turn("def f(x):\n    if x > 0:\n        return x ** 2\n\treturn {'a': [1, 2]}  # done", "```python\nf(3)\n```"),
    turn("I'm, you're, they'LL, WE'VE, don't, rock'n'roll, 'quoted'"),
    turn("<tag attr=\"a & b\">&lt;</tag> {{ braces }} {% percent %} $\\frac{1}{2}$"),
    turn("Special <|im_end|> and <|eot_id|> and <|endoftext|> and </s> in the text", "<|im_start|>assistant"),
    turn("Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May. How many in all?",
         "48/2 = <<48/2=24>>24\n48+24 = <<48+24=72>>72\n#### 72", "Explain."),
    turn("https://example.org/a_b-c?d=e%20f#g user@mail.com C:\\path\\file"),
    turn("....!!!!????----====     ______~~~~", "\u2026\u2014\u2013\u201cquotes\u201d"),
    turn("x" * 300 + " " + "ab " * 50, system=" "),
    [
        {"role": "user", "content": "What is the weather in Paris?"},
        {"role": "assistant", "content": "", "tool_calls": [
            {"type": "function", "function": {"name": "weather", "arguments": {"city": "Paris", "days": 2, "units": ["\u00b0C", "<mm>"], "exact": True, "level": 1.0}}}]},
        {"role": "tool", "content": "{\"temperature\": 21}"},
    ],
]
assert len(CONVERSATIONS) == 20

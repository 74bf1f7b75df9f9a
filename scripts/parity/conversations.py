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


def tool(name, properties, required=(), description=None):
    """A function's schema, as tools are given to transformers."""
    parameters = {"type": "object", "properties": properties, "required": list(required)}
    return {"type": "function", "function": {"name": name, "description": description or f"The tool {name}.", "parameters": parameters}}


def call(name, arguments, identifier=None):
    """A call of a tool in an assistant's message."""
    made = {"type": "function", "function": {"name": name, "arguments": arguments}}
    return made if identifier is None else {"id": identifier} | made


TOOLS = [
    tool("weather", {"city": {"type": "string", "description": "A city \u2264 \"quoted\" <b>"}, "days": {"type": "integer", "default": 1}}, ["city"]),
    tool("search", {"query": {"type": "string"}, "filters": {"type": "array", "items": {"type": "string", "enum": ["new", "old"]}}, "deep": {"type": ["boolean", "null"]},
                    "options": {"type": "object", "properties": {"limit": {"type": "number"}}, "additionalProperties": False}}, ["query"]),
]
USER, ASSISTANT, SYSTEM, TOOL = ("user", "assistant", "system", "tool")


def say(role, content, **fields):
    """One message."""
    return {"role": role, "content": content} | fields


CALL_AND_RESULT = [
    say(USER, "Weather in Paris?"),
    say(ASSISTANT, "", tool_calls=[call("weather", {"city": "Paris", "days": 2}, "a1b2c3d4e")]),
    say(TOOL, "{\"temperature\": 21.5}", name="weather", tool_call_id="a1b2c3d4e"),
]
THOUGHT = "First,\nI add 2 and 2.\n\nThat is 4."

# Thirty conversations for the texts of templates: `messages`, and `tools` and `variables` (of chat_template_kwargs) where there are any.
RICH = [{"messages": messages} for messages in CONVERSATIONS[:8] + CONVERSATIONS[12:16]] + [
    {"messages": CALL_AND_RESULT, "tools": TOOLS},
    {"messages": CALL_AND_RESULT + [say(ASSISTANT, "It is 21.5 \u00b0C."), say(USER, "And tomorrow?")], "tools": TOOLS},
    {"messages": [say(SYSTEM, "Be brief.")] + CALL_AND_RESULT, "tools": TOOLS[:1]},
    {"messages": [say(SYSTEM, "Use tools."), say(USER, "Hi")], "tools": TOOLS},
    {"messages": [say(USER, "Two cities?"), say(ASSISTANT, "Let me look.", tool_calls=[
        call("weather", {"city": "R\u00f4me", "days": 1}, "callcall1"), call("search", {"query": "a \"b\" <c>", "filters": ["new"], "deep": None, "options": {"limit": 1.5}}, "callcall2")]),
        say(TOOL, "sunny", name="weather", tool_call_id="callcall1"), say(TOOL, "[1, 2]", name="search", tool_call_id="callcall2"),
        say(ASSISTANT, "Sunny."), say(USER, "Thanks")], "tools": TOOLS},
    {"messages": [say(USER, "2+2?"), say(ASSISTANT, "4", reasoning_content=THOUGHT)]},
    {"messages": [say(USER, "2+2?"), say(ASSISTANT, "4", reasoning_content=THOUGHT), say(USER, "3+3?")], "variables": {"enable_thinking": False}},
    {"messages": [say(USER, "2+2?"), say(ASSISTANT, f"<think>\n{THOUGHT}\n</think>\n\n4"), say(USER, "Sure?"), say(ASSISTANT, "Yes.")], "variables": {"enable_thinking": True}},
    {"messages": [say(SYSTEM, "Think."), say(USER, "Q"), say(ASSISTANT, "", reasoning_content="hm", tool_calls=[call("weather", {}, "callcall3")]), say(TOOL, "", tool_call_id="callcall3"),
                  say(ASSISTANT, "A", reasoning_content="so")], "tools": TOOLS, "variables": {"enable_thinking": True, "preserve_thinking": True}},
    {"messages": [say(USER, "Q"), say(ASSISTANT, "A", thinking="old name"), say(USER, "R")], "variables": {"thinking": True}},
    {"messages": [say(SYSTEM, "")] + turn("a", "b", "c")},
    {"messages": [say(USER, ""), say(ASSISTANT, ""), say(USER, " \n ")]},
    {"messages": [say(ASSISTANT, "I begin."), say(USER, "You do.")]},
    {"messages": [say(USER, "one"), say(USER, "two")]},
    {"messages": [say(USER, [{"type": "text", "text": "In parts, "}, {"type": "text", "text": "two of them."}]), say(ASSISTANT, [{"type": "text", "text": "Yes."}])]},
    {"messages": [say(USER, "Call"), say(ASSISTANT, None, tool_calls=[call("search", {"query": "x"}, "callcall4")]), say(TOOL, {"found": [1, True, None]}, name="search", tool_call_id="callcall4")],
     "tools": TOOLS},
    {"messages": [say(USER, "Call"), say(ASSISTANT, "", tool_calls=[call("weather", "{\"city\": \"Oslo\"}", "callcall5")]), say(TOOL, "cold", tool_call_id="callcall5")], "tools": TOOLS,
     "variables": {"reasoning_effort": "high", "date_string": "1 Jan 2025"}},
    {"messages": [say("developer", "Rules."), say(USER, "Go")], "variables": {"model_identity": "You are X."}},
]
assert len(RICH) == 30

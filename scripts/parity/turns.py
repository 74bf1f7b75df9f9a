"""Prompts and turns as training takes them: transformers against expo-lm, on the chat templates of TRL's wheel.

    cargo build --release -p expo-lm --example parity
    python scripts/parity/turns.py target/release/examples/parity              # every template, a table
    python scripts/parity/turns.py --fixtures crates/expo-lm/tests/fixtures/turns

Needs Python with transformers and trl. What is right is worked out here, from what transformers renders and encodes:

- the prompt is `apply_chat_template(messages[:k], add_generation_prompt=True)`;
- the turn is the rest of the finished conversation, up to and with the first stop token behind the content; where the template writes none, the first one that
  follows before a user's turn, else the first end-of-sequence token;
- where the prompt is not how the finished conversation begins, it may have begun thoughts: then the turn is the message's thoughts, `</think>`, and its content
  as the template writes it; without thoughts the row has to be refused;
- templates named `_training` mark the assistant's text: what they mark and what is trained is compared, with the differences that are meant.
"""

import collections
import glob
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ["TZ"] = "UTC"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"

import datetime

import tokenizers
import transformers.utils.chat_template_utils as chat_template_utils
import trl
from transformers import PreTrainedTokenizerFast, __version__

TEMPLATES = Path(trl.__file__).parent / "chat_templates"
# Stop tokens by the beginning of a template's name, the longest that fits; the first is eos_token.
STOPS = {
    "": ["<|im_end|>", "<|endoftext|>"],
    "cohere": ["<|END_OF_TURN_TOKEN|>"],
    "deepseek": ["<\uff5cend\u2581of\u2581sentence\uff5c>"],
    "gemma": ["<eos>", "<end_of_turn>"],
    "gemma4": ["<eos>", "<turn|>"],
    "diffusion_gemma": ["<eos>", "<turn|>"],
    "glm4": ["<|endoftext|>", "<|user|>", "<|observation|>"],
    "gptoss": ["<|return|>", "<|call|>"],
    "idefics3": ["<end_of_utterance>"],
    "smolvlm": ["<end_of_utterance>"],
    "llama3": ["<|eot_id|>", "<|end_of_text|>", "<|eom_id|>"],
    "llava_next": ["</s>"],
    "mistral": ["</s>"],
    "muse_glimmer": ["<|eot|>"],
    "phi3": ["<|endoftext|>", "<|end|>"],
}
PARTS = ("idefics3", "smolvlm", "llava_next")  # Their templates take content as parts alone, which processors make of text.
DATE = datetime.datetime(2024, 7, 27, tzinfo=datetime.timezone.utc)
CONFIG = dict(
    architectures=["LlamaForCausalLM"], model_type="llama", hidden_size=2, intermediate_size=2, num_hidden_layers=1,
    num_attention_heads=1, max_position_embeddings=64, rope_theta=1e4, tie_word_embeddings=True,
)

user = lambda text: {"role": "user", "content": text}
system = lambda text: {"role": "system", "content": text}
assistant = lambda text, **fields: {"role": "assistant", "content": text, **fields}
think = lambda thoughts, text: f"<think>\n{thoughts}\n</think>\n\n{text}"
call = lambda name, **arguments: {"id": "call00001", "type": "function", "function": {"name": name, "arguments": arguments}}
tool = lambda name, text: {"role": "tool", "content": text, "name": name, "tool_call_id": "call00001"}
TOOLS = [{"type": "function", "function": {"name": "weather", "description": "The weather.", "parameters": {
    "type": "object", "properties": {"city": {"type": "string", "description": "Where."}}, "required": ["city"]}}}]
row = lambda *messages, **rest: {"messages": list(messages), **rest}

ROWS = [
    row(user("What is 2+2?"), assistant("4")),
    row(user("Hi"), assistant("Hello! How can I help?")),
    row(user("q"), assistant("\n ans \n")),
    row(user("  q "), assistant("  spaces  ")),
    row(user("caf\u00e9"), assistant("na\u00efve \u65e5\u672c\u8a9e \U0001f600")),
    row(user("Compute."), assistant("48/2 = 24\n48+24 = 72\n#### 72")),
    row(user("Box?"), assistant("$\\frac{1}{2}$ so \\boxed{42}")),
    row(user("a < b"), assistant("<tag> a & b </tag> {{ x }} {% y %}")),
    row(system("Be brief."), user("q"), assistant("ans")),
    row(system(""), user("q"), assistant("ans")),
    row(system("Answer in LaTeX."), user("q"), assistant("a1"), user("r"), assistant("a2")),
    row(user("q"), assistant("a1"), user("r"), assistant("a2"), user("s"), assistant("a3")),
    row(user("q"), assistant("o"), user("o"), assistant("t")),
    row(user("q"), assistant("a" * 200)),
    row(user("q"), assistant(think("ab", "ans"))),
    row(user("q"), assistant(think("first\n\nthen", "ans\n"))),
    row(user("q"), assistant(think("ab", "a1")), user("r"), assistant(think("cd", "a2"))),
    row(user("q"), assistant("ans", reasoning_content="ab")),
    row(user("q"), assistant("a1", reasoning_content="ab"), user("r"), assistant("a2", reasoning_content="cd")),
    row(user("q"), assistant("ans", reasoning_content="ab"), chat_template_kwargs={"enable_thinking": True}),
    row(user("q"), assistant("ans"), chat_template_kwargs={"enable_thinking": False}),
    row(system("s"), user("q"), assistant("a1"), user("r"), assistant("a2"), chat_template_kwargs={"enable_thinking": False}),
    row(user("q"), assistant("ans", thinking="ab")),
    row(user("Weather?"), assistant("ans"), tools=TOOLS),
    row(system("s"), user("Weather?"), assistant("", tool_calls=[call("weather", city="Paris")]), tool("weather", "21"), assistant("It is 21."), tools=TOOLS),
    row(user("Weather?"), assistant("Let me look.", tool_calls=[call("weather", city="Paris")]), tool("weather", "21"), assistant("It is 21."), tools=TOOLS),
    row(user("Weather?"), assistant("", tool_calls=[call("weather", city="Z\u00fcrich")], reasoning_content="look"), tool("weather", "21"),
        assistant("It is 21.", reasoning_content="told"), tools=TOOLS),
    row(user("Weather?"), assistant(None, tool_calls=[call("weather", city="Paris")]), tool("weather", "{\"t\": 21}"), assistant("21"), tools=TOOLS),
    row(user("q"), assistant("The end</think> is not here.")),
    row(user("1"), assistant("2"), user("3"), assistant("4"), tools=TOOLS),
]
assert len(ROWS) == 30


def special_tokens():
    """What the templates and their models have as special tokens."""
    found = {"<BOS>", "<PAD>", "</s>", "<start_of_turn>", "[gMASK]", "<sop>"} | {stop for stops in STOPS.values() for stop in stops}
    for path in TEMPLATES.glob("*.jinja"):
        found |= set(re.findall(r"<[|\uff5c][^<>|\uff5c\s{}'\"]+[|\uff5c]>|<\|turn>|<\|channel>|<channel\|>|<turn\|>", path.read_text()))
    return sorted(found)


def make_tokenizer():
    """A byte-level tokenizer with a few merges, so that where a text is cut matters."""
    inner = tokenizers.Tokenizer(tokenizers.models.BPE())
    inner.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = tokenizers.decoders.ByteLevel()
    corpus = [text for entry in ROWS for message in entry["messages"] for text in [message["content"] or ""]] + ["<think>\n\n</think>\n\n", "assistant\n", "user\n"]
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=330, initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(), show_progress=False, special_tokens=[])
    inner.train_from_iterator(corpus * 3, trainer)
    inner.add_special_tokens([tokenizers.AddedToken(token, normalized=False) for token in special_tokens()])
    return inner


class Oracle:
    def __init__(self, inner, name, source):
        self.name, self.source = name, source
        self.stops = STOPS[max((prefix for prefix in STOPS if name.startswith(prefix)), key=len)]
        self.tokenizer = PreTrainedTokenizerFast(
            tokenizer_object=inner, bos_token="<BOS>", eos_token=self.stops[0], pad_token="<PAD>", chat_template=source)
        self.has_blocks = re.search(r"\{%-?\s*generation\s*-?%\}", source) is not None

    def in_form(self, messages):
        as_parts = lambda message: message | {"content": [{"type": "text", "text": message["content"]}]}
        return [as_parts(message) if self.name.startswith(PARTS) and isinstance(message["content"], str) else message for message in messages]

    def render(self, entry, count, prompt, change=None, after=()):
        messages = [dict(message) for message in entry["messages"][:count]]
        if change is not None:
            messages[-1]["content"] = change
        return self.tokenizer.apply_chat_template(
            self.in_form(messages + list(after)), tools=entry.get("tools"), add_generation_prompt=prompt, tokenize=False,
            **entry.get("chat_template_kwargs", {}))

    def encode(self, text):
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def first_stop(self, text, start):
        found = [(text.index(stop, start), -len(stop)) for stop in self.stops if stop in text[start:]]
        return min(found, default=None)

    def end(self, entry, count, whole, start):
        """The finished conversation up to the end of its last turn, which begins at `start`."""
        message = entry["messages"][count - 1]
        content = (message["content"] or "").split("</think>")[-1].strip() or (message["content"] or "").strip()
        if message.get("tool_calls"):
            content = json.dumps(message["tool_calls"][-1]["function"]["arguments"]["city"], ensure_ascii=False)[1:-1]
        at = whole.find(content, start) + len(content)
        assert content and at >= start + len(content), "the content is not written"
        stop = self.first_stop(whole, at)
        if stop is not None:
            return whole[: stop[0] - stop[1]]
        following = user("x") if not message.get("tool_calls") else tool("weather", "x")
        longer = self.render(entry, count, False, after=[following])
        behind = longer.find(content, start) + len(content)
        stop = self.first_stop(longer, behind)
        rest = longer[behind : stop[0]] if stop else None
        if stop and not rest.removeprefix(whole[at:].rstrip()).strip():
            return whole[:at] + longer[behind : stop[0] - stop[1]]
        return whole[:at] + whole[at:].rstrip() + self.stops[0]

    def turn(self, entry, k):
        """Prompt and turn as text; None where the row has to be refused."""
        prompt, whole = self.render(entry, k, True), self.render(entry, k + 1, False)
        message = entry["messages"][k]
        content = message["content"] or ""
        thoughts, rest = content.split("</think>", 1) if content.startswith("<think>") and "</think>" in content else (None, content)
        field = next((message[name] for name in ("reasoning_content", "thinking") if name in message), None)
        if whole.startswith(prompt):
            ended = self.end(entry, k + 1, whole, len(prompt))
            if thoughts and prompt.rstrip()[-7:] != "<think>" and prompt.rstrip()[-8:] != "</think>" and thoughts[7:].strip() not in whole[len(prompt) :]:
                return prompt, thoughts + "</think>" + rest[: len(rest) - len(rest.lstrip())] + ended[len(prompt) :].lstrip()
            return prompt, ended[len(prompt) :]
        begun = re.search(r"<think>(\s*)(</think>\s*)?$", prompt)
        if begun and begun[2] is None and thoughts is None and "</think>" in content:
            thoughts, rest = content.split("</think>", 1)
            thoughts = "<think>" + thoughts
        if begun is None or not whole.startswith(prompt[: begun.start()]):
            return None
        if begun[2] is None and (thoughts or field):
            own = thoughts[7:].removeprefix(begun[1]) if thoughts else field.strip() + "\n"
            gap = rest[: len(rest) - len(rest.lstrip())] if thoughts else "\n\n"
            ended = self.end(entry, k + 1, whole, begun.start())
            written = ended[begun.start() :].lstrip().removeprefix("<think>").lstrip()
            if written.startswith(own.strip()):
                return prompt, written
            return prompt, own + "</think>" + gap + ended[begun.start() :].removeprefix("<think></think>").lstrip()
        if begun[2] is not None and not thoughts and not field:
            ended = self.end(entry, k + 1, whole, begun.start())[begun.start() :].lstrip()
            return (prompt, ended) if ended.startswith(content.strip()) else None
        return None

    def marked(self, entry, k):
        """The text that {% generation %} blocks mark in the last turn."""
        messages = self.in_form(entry["messages"][: k + 1])
        encoded = self.tokenizer.apply_chat_template(
            messages, tools=entry.get("tools"), tokenize=True, return_dict=True, return_assistant_tokens_mask=True, **entry.get("chat_template_kwargs", {}))
        ids, mask = encoded["input_ids"], encoded["assistant_masks"]
        last = max((i for i, flag in enumerate(mask) if flag), default=-1) + 1
        first = last
        while first > 0 and mask[first - 1]:
            first -= 1
        return self.tokenizer.decode(ids[first:last])


class Now(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return DATE.replace(tzinfo=None) if tz is None else DATE


chat_template_utils.datetime = Now


# What no template of TRL's has: a space before the content, and a beginning of the turn that is not marked.
OWN = {
    "mistral": "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}{{ '[INST] ' + m.content + ' [/INST]' }}{% elif m.role == 'assistant' %}"
    "{{ ' ' + m.content + eos_token }}{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}",
    "chatml": "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
    "marked": "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' }}{% if m.role == 'assistant' %}Answer: {% generation %}{{ m.content + '<|im_end|>' }}{% endgeneration %}"
    "{% else %}{{ m.content + '<|im_end|>' }}{% endif %}{{ '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
}
FIXTURES = ["llama3", "mistral", "qwen3", "deepseek_r1_distill", "glm4moe", "phi3", "chatml", "gemma", "marked"]


def templates():
    for path in sorted(TEMPLATES.glob("*.jinja")):
        yield path.stem, path.read_text()
    yield from OWN.items()


def fixtures(target):
    """Templates with what is right, for crates/expo-lm/tests/turns.rs."""
    target.mkdir(parents=True, exist_ok=True)
    inner, sources = make_tokenizer(), dict(templates())
    inner.save(str(target / "tokenizer.json"), pretty=False)
    (target / "rows.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in ROWS))
    for name in FIXTURES:
        oracle, turns = Oracle(inner, name, sources[name]), []
        for number, entry in enumerate(ROWS):
            for k in [k for k, message in enumerate(entry["messages"]) if message["role"] == "assistant"]:
                want = expected(oracle, entry, k)
                turn = {"row": number, "message": k}
                if want[0] == "ids":
                    turn |= {"prompt": want[1], "completion": want[2]}
                    if name == "marked":
                        offsets = oracle.tokenizer(want[4], add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
                        first = next(i for i, (_, end) in enumerate(offsets) if end > len("Answer: "))
                        turn["trained"] = [[first, len(offsets)]]
                turns.append(turn)
        stops = [oracle.tokenizer.convert_tokens_to_ids(stop) for stop in oracle.stops]
        versions = {"transformers": __version__, "trl": trl.__version__, "tokenizers": tokenizers.__version__}
        header = json.dumps({"made_by": "scripts/parity/turns.py", "versions": versions, "eos_token": oracle.stops[0], "eos_token_id": stops})
        lines = ",\n".join(json.dumps(turn, separators=(",", ":")) for turn in turns)
        (target / f"{name}.json").write_text(header[:-1] + ', "turns": [\n' + lines + "\n]}\n")
        (target / f"{name}.jinja").write_text(sources[name])


def folder(oracle, temporary):
    target = Path(temporary) / oracle.name
    target.mkdir(parents=True)
    oracle.tokenizer.backend_tokenizer.save(str(target / "tokenizer.json"))
    config = {"bos_token": "<BOS>", "eos_token": oracle.stops[0], "pad_token": "<PAD>", "chat_template": oracle.source}
    (target / "tokenizer_config.json").write_text(json.dumps(config))
    stops = [oracle.tokenizer.convert_tokens_to_ids(stop) for stop in oracle.stops]
    (target / "generation_config.json").write_text(json.dumps({"eos_token_id": stops}))
    (target / "config.json").write_text(json.dumps(CONFIG | {"vocab_size": len(oracle.tokenizer), "eos_token_id": stops}))
    return target


def expected(oracle, entry, k):
    """("ids", prompt, turn), ("refused",) or ("fails",)."""
    try:
        turn = oracle.turn(entry, k)
    except AssertionError:
        return ("refused", "content")
    except Exception as error:
        return ("fails", f"{type(error).__name__}: {error}"[:100])
    return ("refused", "prefix") if turn is None else ("ids", *map(oracle.encode, turn), *turn)


def compare_spans(oracle, entry, k, found, turn):
    """How the tokens that are trained compare with the template's marks."""
    spans = found["trained"] or [[0, len(found["completion"])]]
    ours = "".join(oracle.tokenizer.decode(found["completion"][start:end]) for start, end in spans)
    marked = oracle.marked(entry, k)
    if ours == marked:
        return "equal"
    if ours == marked.rstrip():
        return "white space behind the stop token"
    if ours and marked.startswith(ours):
        return "a second stop token"
    if ours and marked.rstrip().endswith(ours):
        return "header or prefill marked"
    own = re.match(r"(?s)(.*</think>\s*)(.+)", ours)
    if own and "</think>" not in marked and marked.rstrip().endswith(own[2]):
        return "thoughts that the template leaves out"
    if ours.startswith(marked) and ours[len(marked) :].strip() in oracle.stops:
        return "a stop token of the next turn"
    print(f"    {oracle.name}: trained {ours!r}, marked {marked!r}")
    return "other"


def main():
    if sys.argv[1] == "--fixtures":
        return fixtures(Path(sys.argv[2]))
    binary = sys.argv[1]
    inner = make_tokenizer()
    total, spans, failed = collections.Counter(), collections.Counter(), False
    with tempfile.TemporaryDirectory() as temporary:
        rows = Path(temporary) / "rows.jsonl"
        rows.write_text("".join(json.dumps(entry) + "\n" for entry in ROWS))
        for name, source in templates():
            oracle = Oracle(inner, name, source)
            output = subprocess.run([binary, "turns", folder(oracle, temporary), rows], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            if output.returncode:
                print(f"{name}: {output.stderr.decode().strip()}")
                failed = True
                continue
            output = output.stdout
            counts = collections.Counter()
            for number, (entry, line) in enumerate(zip(ROWS, output.decode().splitlines(), strict=True)):
                for found in json.loads(line):
                    k = found["message"]
                    want = expected(oracle, entry, k)
                    if want[0] == "ids" and found.get("prompt") == want[1] and found.get("completion") == want[2]:
                        counts["equal"] += 1
                        if oracle.has_blocks:
                            spans[compare_spans(oracle, entry, k, found, want)] += 1
                    elif want[0] in ("refused", "fails") and "error" in found:
                        counts[want[0]] += 1
                    elif "{% generation %} blocks leave nothing" in found.get("error", "") and not oracle.marked(entry, k):
                        counts["nothing marked"] += 1
                    else:
                        counts["DIFFERENT"] += 1
                        print(f"  {name}, row {number}, message {k}:")
                        print(f"    expected {want[3:] if want[0] == 'ids' else want}")
                        print(f"    found    {found.get('error') or tuple(oracle.tokenizer.decode(found[part]) for part in ('prompt', 'completion'))}")
            total += counts
            failed |= counts["DIFFERENT"] > 0
            print(f"{name}: " + ", ".join(f"{count} {what}" for what, count in sorted(counts.items())))
    print(f"all ({len(ROWS)} conversations, transformers {__version__}, trl {trl.__version__}): " + ", ".join(f"{n} {what}" for what, n in sorted(total.items())))
    print("spans: " + ", ".join(f"{n} {what}" for what, n in spans.most_common()))
    sys.exit(failed)


if __name__ == "__main__":
    main()

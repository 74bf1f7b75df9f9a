"""PyTorch training steps on transformers' models: forward, backward, fused AdamW; no clipping.

    peer_torch.py --case train-small|train-medium [--threads N]

`--case matmul` is a product of two 2048 x 2048 matrices in fp32, the size by which `expo-rl bench` measures the ceiling; its `tokens` are floating-point operations.
"""

import pathlib

import torch

from cases import CASES
from server import Server, arguments

MATMUL = 2048


def matmul():
    a, b = torch.rand(2, MATMUL, MATMUL).unbind()

    def iteration():
        a @ b
        return 2 * MATMUL**3

    return iteration, ["torch"]


def training(case):
    from shapes import random_model, random_tokens

    model = random_model(case.shape).train()
    ids = random_tokens(model, case.sizes["batch"], case.sizes["seq"])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6, weight_decay=0.0, fused=True)

    def iteration():
        model(input_ids=ids, labels=ids, use_cache=False).loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return ids.numel()

    return iteration, ["torch", "transformers"]


def main():
    server = Server()
    args = arguments(pathlib.Path(__file__).name, __doc__, also=["matmul"])
    torch.set_num_threads(args.threads)
    iteration, packages = matmul() if args.case == "matmul" else training(CASES[args.case])
    server.serve(iteration, packages, torch.get_num_threads())


if __name__ == "__main__":
    main()

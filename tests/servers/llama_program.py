"""llama.cpp's server as a program: `python llama_program.py SETTINGS`, JSON with model, alias, port, slots, context, keys.

It ends when its standard input does.
"""

from __future__ import annotations

import json
import sys

import xllamacpp


def main(words: str) -> None:
    """Serve on 127.0.0.1, with one thread, until standard input ends."""
    settings = json.loads(words)
    parameters = xllamacpp.CommonParams()
    parameters.model.path = settings["model"]
    parameters.model_alias = {settings["alias"]}
    parameters.port = settings["port"]
    parameters.n_parallel = settings["slots"]
    parameters.n_ctx = settings["context"]
    parameters.api_keys = settings["keys"]
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
    parameters.warmup = False
    _server = xllamacpp.Server(parameters)
    sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1])

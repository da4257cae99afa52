"""A local model on a fake device: a reply, an expectation, and IFD."""

from __future__ import annotations

import pretending  # isort: skip

import tempfile
from pathlib import Path
from typing import Any

import tiny_models as t

from alpaqual.errors import Fault
from alpaqual.llm import _local_loading
from alpaqual.llm._local_files import Place
from alpaqual.llm._local_running import Runner
from alpaqual.values import Request

kind = pretending.SETTINGS["kind"]
tokenizer = t.byte_tokenizer()
folder = t.saved(Path(tempfile.mkdtemp()), t.tiny(kind, len(tokenizer)), tokenizer)
texts = ["Hi", "Paris is the capital.", "Eat well. Sleep."]
requests = {
    "generation": [Request("m", (("user", text),), {"temperature": 0, "max_tokens": 3}) for text in texts],
    "choices": [Request("m", (("user", text),), {"choices": t.CHOICES}) for text in texts],
    "ifd": [Request("m", (("user", "Hi"), ("assistant", text * 2)), {"measure": "ifd"}) for text in texts],
}
pretended = pretending.mode()
read = _local_loading.read_model


def read_model(*words: Any) -> Any:
    with pretending.unset_fake_temporarily():
        model = read(*words)
    return model._apply(pretended.fake.from_tensor)


_local_loading.read_model = read_model
found: dict[str, Any] = {}
with pretended.fake:
    runner = Runner(Place(kind, folder=folder), 8)
    model = runner.loaded.model
    found["devices"] = sorted({each.device.type for each in (*model.parameters(), *model.buffers())})
    found["dtypes"] = sorted({str(weight.dtype) for weight in model.parameters()})
    for name, asked in requests.items():
        jobs = runner.prepare(asked)
        pretending.WAITS.clear()
        with pretended.watch:
            answers = runner.run(jobs)
        assert not any(isinstance(answer, Fault) for answer in answers), answers
        found[name] = dict(pretending.WAITS)
pretending.report(**found)

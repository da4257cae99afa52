"""data-juicer's LLM filter over the same rows: its own prompt, one request a process at a time, PROCESSES processes.

python tests/bench/contenders/data_juicer_llm.py IN.jsonl OUT.jsonl URL PROCESSES   (OPENAI_BASE_URL and OPENAI_API_KEY are set here)
"""

import os
import sys
from pathlib import Path

source, target, url, processes = sys.argv[1:5]
os.environ["OPENAI_BASE_URL"], os.environ["OPENAI_API_KEY"] = url, "none"
config = Path("config.yaml")
config.write_text(
    f"""
project_name: bench
dataset_path: {source}
export_path: {target}
np: {processes}
use_cache: false
text_keys: output
process:
  - llm_quality_score_filter:
      api_or_hf_model: gpt-4o-mini
      min_score: 0.0
      input_keys: [instruction, input, output]
      field_names: [Instruction, Input, Response]
""",
    encoding="utf-8",
)
os.execvp(str(Path(sys.executable).with_name("dj-process")), ["dj-process", "--config", str(config)])

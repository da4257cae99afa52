"""Puts the charting library (Vega, Vega-Lite, Vega-Embed; BSD-3-Clause) into the package as it is built.

The HTML report must work offline, in one file. Bundling here keeps 84 MB of vl-convert out of what users install
and keeps other people's code out of this repository.
"""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CustomBuildHook(BuildHookInterface):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name != "wheel":
            return
        bundle = Path(self.root) / "alpaqual" / "report" / "assets" / "vega.js"
        if bundle.exists():
            return
        import vl_convert

        bundle.parent.mkdir(parents=True, exist_ok=True)
        # The stub says that a snippet is needed; without one the bundle sets vega, vegaLite and vegaEmbed.
        script = vl_convert.javascript_bundle(snippet=None)
        bundle.write_text(script, encoding="utf-8")

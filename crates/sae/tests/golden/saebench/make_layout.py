"""The fields of sae-bench's output files and their types, from the JSON schemas in the package.

    pip install --no-deps sae-bench==0.6.0
    python3 make_layout.py

Writes layout.json: for each evaluation the type of its file. A type is a name, several of them with
`|` between, `[type]` for a list, `{...}` for an object (a field with `?` may be missing), or
`object` for one whose fields are open.
"""

import importlib.util
import json
from pathlib import Path

PACKAGE = Path(importlib.util.find_spec("sae_bench").submodule_search_locations[0]) / "evals"
SCHEMAS = {
    "core": "core/eval_output_schema_core.json",
    "sparse_probing": "sparse_probing/eval_output_schema_sparse_probing.json",
    "absorption_first_letter": "absorption/eval_output_schema_absorption_first_letter.json",
    "scr": "scr_and_tpp/eval_output_schema_scr.json",
    "tpp": "scr_and_tpp/eval_output_schema_tpp.json",
}


def layout(schema, defs):
    if "$ref" in schema:
        return layout(defs[schema["$ref"].removeprefix("#/$defs/")], defs)
    if "anyOf" in schema:
        types = [layout(one, defs) for one in schema["anyOf"]]
        return "any" if "any" in types else "|".join(types)
    if schema.get("type") == "array":
        return [layout(schema["items"], defs)]
    if schema.get("type") == "object" and "properties" in schema:
        required = schema.get("required", [])
        fields = schema["properties"].items()
        return {k if k in required else f"{k}?": layout(v, defs) for k, v in fields}
    return schema.get("type", "any")


layouts = {}
for name, file in SCHEMAS.items():
    schema = json.loads((PACKAGE / file).read_text())
    layouts[name] = layout(schema, schema["$defs"])
text = json.dumps(layouts, separators=(",", ":"))
(Path(__file__).parent / "layout.json").write_text(text + "\n")

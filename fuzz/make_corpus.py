"""Writes the seeds of the corpora that are not copies of goldens; needs numpy, pyarrow, and safetensors."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.numpy import save_file

corpus = Path(__file__).parent / "corpus"
rng = np.random.default_rng(0)

shapes = {
    "wte.weight": (3, 2), "wpe.weight": (2, 2), "ln_f.weight": (2,), "ln_f.bias": (2,),
    "h.0.ln_1.weight": (2,), "h.0.ln_1.bias": (2,), "h.0.ln_2.weight": (2,), "h.0.ln_2.bias": (2,),
    "h.0.attn.c_attn.weight": (2, 6), "h.0.attn.c_attn.bias": (6,),
    "h.0.attn.c_proj.weight": (2, 2), "h.0.attn.c_proj.bias": (2,),
    "h.0.mlp.c_fc.weight": (2, 2), "h.0.mlp.c_fc.bias": (2,),
    "h.0.mlp.c_proj.weight": (2, 2), "h.0.mlp.c_proj.bias": (2,),
}
for dtype in ("float32", "float16", "int64"):
    tensors = {name: rng.normal(size=shape).astype(dtype) for name, shape in shapes.items()}
    save_file(tensors, corpus / "safetensors" / f"{dtype}.safetensors")

indexes = {
    "whole": {"metadata": {"total_size": 8}, "weight_map": {"wte.weight": "a.safetensors"}},
    "missing": {"weight_map": {"wte.weight": "a.safetensors", "wpe.weight": "b.safetensors"}},
    "outside": {"weight_map": {"wte.weight": "../a.safetensors"}},
}
for name, index in indexes.items():
    (corpus / "index" / f"{name}.json").write_text(json.dumps(index))

vocab = {"<unk>": 0, "<bos>": 1, "a": 2, "b": 3, "ab": 4, "\u2581": 5, "<0x00>": 6}
special = [{"id": 1, "content": "<bos>", "single_word": False, "lstrip": False, "rstrip": False,
            "normalized": False, "special": True}]
tokenizers = {
    "bpe": {
        "version": "1.0", "added_tokens": special,
        "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"},
        "pre_tokenizer": {"type": "Split", "pattern": {"String": " "},
                          "behavior": "MergedWithPrevious", "invert": False},
        "post_processor": None, "decoder": None,
        "model": {"type": "BPE", "vocab": vocab, "merges": [["a", "b"]], "unk_token": "<unk>",
                  "byte_fallback": True},
    },
    "byte_level": {
        "version": "1.0", "added_tokens": [],
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
                          "use_regex": True},
        "model": {"type": "BPE", "vocab": vocab, "merges": ["a b"]},
    },
}
for name, tokenizer in tokenizers.items():
    (corpus / "tokenizer" / f"{name}.json").write_text(json.dumps(tokenizer))

x = rng.normal(size=(2, 3, 2)).astype("float32")
mask = np.array([[1, 1, 1], [1, 1, 0]])
npz = corpus / "npz"
np.savez(npz / "plain.npz", x=x, mask=mask, y=np.array([0, 1]))
np.savez_compressed(npz / "packed.npz", x=x.astype("float16"), mask=mask.astype(bool), y=np.array([0, 1]))
np.savez(npz / "fortran.npz", x=np.asfortranarray(x), mask=mask, y=np.array(["a", "b"]))

# The first byte says which form the rest has.
texts = corpus / "texts"
texts.mkdir(exist_ok=True)
(texts / "csv").write_bytes(b'0text,label\n"a, ""b""\nc",x\nd,y\n')
(texts / "tsv").write_bytes(b"1text\tlabel\na\t1\nb\t2\n")
(texts / "jsonl").write_bytes(b'2{"text": "a", "label": true}\n{"text": "\\u00e9", "label": 2}\n')
table = pa.table({"text": ["a", "bb", "a"], "label": [0, 1, 0]})
for codec in ("none", "snappy", "zstd", "gzip"):
    for name, version in (("v1", "1.0"), ("v2", "2.0")):
        file = pa.BufferOutputStream()
        pq.write_table(table, file, compression=codec, data_page_version=version, row_group_size=2)
        (texts / f"parquet-{codec}-{name}").write_bytes(b"3" + file.getvalue().to_pybytes())

"""Makes autoencoders in every form with the libraries that define them, and what they compute.

    pip install sae-lens==6.54.12 eai-sparsify==1.3.3
    pip install --no-deps dictionary-learning==0.1.0
    python3 make_formats.py

Writes formats/<name>/ and formats/expected.safetensors: `x` [n, d_in] and, for each name,
`<name>.codes` [n, d_sae] and `<name>.decoded` [n, d_in].
"""

import json
import shutil
import sys
import types
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

# dictionary_learning imports nnsight for its buffers, which are not used here.
for name in ["nnsight", "nnsight.intervention"]:
    sys.modules[name] = types.ModuleType(name)
sys.modules["nnsight"].LanguageModel = object

from sae_lens import (  # noqa: E402
    GatedSAE,
    GatedSAEConfig,
    JumpReLUSAE,
    JumpReLUSAEConfig,
    StandardSAE,
    StandardSAEConfig,
    TopKSAE,
    TopKSAEConfig,
)
from sae_lens.saes.sae import SAEMetadata  # noqa: E402
from sparsify import SparseCoder, SparseCoderConfig  # noqa: E402

sys.modules["dictionary_learning"] = package = types.ModuleType("dictionary_learning")
import sparsify  # noqa: E402

package.__path__ = [str(Path(sparsify.__file__).parent.parent / "dictionary_learning")]
from dictionary_learning import dictionary  # noqa: E402
from dictionary_learning.trainers.batch_top_k import BatchTopKSAE  # noqa: E402
from dictionary_learning.trainers.top_k import AutoEncoderTopK  # noqa: E402

HERE = Path(__file__).parent / "formats"
D_IN, D_SAE, N = 6, 10, 7
generator = torch.Generator().manual_seed(3)
expected = {}


def fill(module):
    """Draws every parameter, so that no two are alike and none is 0."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator))
    return module


x = torch.randn(N, D_IN, generator=generator) + 0.3
expected["x"] = x


def keep(name, codes, decoded):
    expected[f"{name}.codes"] = codes.detach().float().contiguous()
    expected[f"{name}.decoded"] = decoded.detach().float().contiguous()


def sae_lens(name, cls, config_cls, threshold=False, inputs=None, hook="hook_resid_post", **kwargs):
    metadata = SAEMetadata(model_name="gpt2", hook_name=f"blocks.1.{hook}", context_size=64)
    config = config_cls(d_in=D_IN, d_sae=D_SAE, metadata=metadata, **kwargs)
    sae = fill(cls(config))
    if threshold:
        sae.threshold.data.abs_()
    sae.save_model(HERE / name)
    rows = x if inputs is None else inputs
    codes = sae.encode(rows)
    decoded = sae.decode(codes)
    keep(name, codes, decoded.reshape(N, D_IN))
    return sae


def main():
    shutil.rmtree(HERE, ignore_errors=True)
    HERE.mkdir()
    sae_lens("sae_lens_standard", StandardSAE, StandardSAEConfig, normalize_activations="layer_norm")
    sae_lens("sae_lens_topk", TopKSAE, TopKSAEConfig, k=3, rescale_acts_by_decoder_norm=True)
    sae_lens(
        "sae_lens_jumprelu",
        JumpReLUSAE,
        JumpReLUSAEConfig,
        threshold=True,
        apply_b_dec_to_input=False,
        normalize_activations="constant_norm_rescale",
    )
    sae_lens("sae_lens_gated", GatedSAE, GatedSAEConfig)
    sae_lens(
        "sae_lens_hook_z",
        StandardSAE,
        StandardSAEConfig,
        inputs=x.reshape(N, 3, 2),
        hook="attn.hook_z",
        reshape_activations="hook_z",
    )
    sae_lens("sae_lens_bf16", StandardSAE, StandardSAEConfig, dtype="bfloat16", inputs=x.bfloat16())

    # The configuration that SAELens 3 wrote; its weights have the names of today.
    sae = sae_lens("sae_lens_old", StandardSAE, StandardSAEConfig)
    old = {
        "architecture": "standard",
        "d_in": D_IN,
        "d_sae": D_SAE,
        "activation_fn_str": "relu",
        "apply_b_dec_to_input": True,
        "finetuning_scaling_factor": False,
        "context_size": 128,
        "model_name": "gpt2-small",
        "hook_name": "blocks.8.hook_resid_pre",
        "hook_layer": 8,
        "hook_head_index": None,
        "prepend_bos": True,
        "dataset_path": "Skylion007/openwebtext",
        "dataset_trust_remote_code": True,
        "normalize_activations": "none",
        "dtype": "torch.float32",
        "device": "mps",
        "sae_lens_training_version": None,
    }
    (HERE / "sae_lens_old/cfg.json").write_text(json.dumps(old))
    loaded = StandardSAE.load_from_disk(HERE / "sae_lens_old")
    keep("sae_lens_old", loaded.encode(x), loaded.decode(loaded.encode(x)))
    topk = sae_lens("sae_lens_old_topk", TopKSAE, TopKSAEConfig, k=2)
    old |= {"activation_fn_str": "topk", "activation_fn_kwargs": {"k": 2}}
    old |= {"hook_point": old.pop("hook_name"), "normalize_activations": False}
    (HERE / "sae_lens_old_topk/cfg.json").write_text(json.dumps(old))
    loaded = TopKSAE.load_from_disk(HERE / "sae_lens_old_topk")
    assert loaded.cfg.k == 2 and torch.equal(loaded.W_enc, topk.W_enc)
    keep("sae_lens_old_topk", loaded.encode(x), loaded.decode(loaded.encode(x)))

    # Kissane et al.: a state dict of these four, trained on the heads of `hook_z` side by side.
    folder = HERE / "attention_output"
    folder.mkdir()
    name = "gpt2-small_L1_Hcat_z_lr1.20e-03_l11.20e+00_ds10_v4"
    torch.save({k: getattr(sae, k).detach() for k in ["W_enc", "W_dec", "b_enc", "b_dec"]}, folder / f"{name}.pt")
    cfg = {"seed": 49, "act_size": D_IN, "dict_size": D_SAE, "dict_mult": 2, "site": "z", "head": "cat",
           "act_name": "blocks.1.attn.hook_z", "concat_heads": True, "enc_dtype": "fp32", "seq_len": 128,
           "model_name": "gpt2-small", "l1_coeff": 1.2}
    (folder / f"{name}_cfg.json").write_text(json.dumps(cfg))
    keep("attention_output", sae.encode(x), sae.decode(sae.encode(x)))

    # Gemma Scope: numpy's archive; the arithmetic is that of the model card.
    folder = HERE / "gemma-scope-2b-pt-att/layer_5/width_16k/average_l0_61"
    folder.mkdir(parents=True)
    jump = fill(JumpReLUSAE(JumpReLUSAEConfig(d_in=D_IN, d_sae=D_SAE, apply_b_dec_to_input=False)))
    jump.threshold.data.abs_()
    arrays = {k: getattr(jump, k).detach().numpy() for k in ["W_enc", "W_dec", "b_enc", "b_dec", "threshold"]}
    np.savez(folder / "params.npz", **arrays)
    pre = x @ jump.W_enc + jump.b_enc
    codes = (pre > jump.threshold) * torch.relu(pre)
    keep("gemma_scope", codes, codes @ jump.W_dec + jump.b_dec)

    # sparsify
    coder = fill(SparseCoder(D_IN, SparseCoderConfig(num_latents=D_SAE, k=3)))
    coder.save_to_disk(HERE / "sparsify/layers.2.mlp")
    out = coder.encode(x)
    codes = torch.zeros(N, D_SAE).scatter(-1, out.top_indices, out.top_acts)
    keep("sparsify", codes, codes @ coder.W_dec + coder.b_dec)

    # dictionary_learning
    def dictionary_learning(name, cls, module, **trainer):
        folder = HERE / f"dictionary_learning_{name}"
        folder.mkdir()
        fill(module)
        if hasattr(module, "threshold"):
            module.threshold.data.abs_()
        torch.save(module.state_dict(), folder / "ae.pt")
        config = {"trainer": {"dict_class": cls, "activation_dim": D_IN, "dict_size": D_SAE, "layer": 8,
                              "lm_name": "EleutherAI/pythia-70m-deduped", **trainer}, "buffer": {"ctx_len": 128}}
        (folder / "config.json").write_text(json.dumps(config))
        codes = module.encode(x)
        keep(folder.name, codes, module.decode(codes))

    dictionary_learning("standard", "AutoEncoder", dictionary.AutoEncoder(D_IN, D_SAE))
    dictionary_learning("new", "AutoEncoderNew", dictionary.AutoEncoderNew(D_IN, D_SAE))
    dictionary_learning("gated", "GatedAutoEncoder", dictionary.GatedAutoEncoder(D_IN, D_SAE))
    dictionary_learning("jumprelu", "JumpReluAutoEncoder", dictionary.JumpReluAutoEncoder(D_IN, D_SAE))
    dictionary_learning("topk", "AutoEncoderTopK", AutoEncoderTopK(D_IN, D_SAE, 4), k=4)
    batch = BatchTopKSAE(D_IN, D_SAE, 4)
    batch.threshold.fill_(0.4)
    dictionary_learning("batchtopk", "BatchTopKSAE", batch, k=4)

    save_file(expected, HERE / "expected.safetensors")


main()

"""A hundred steps of sae_lens's own trainer for each architecture.

    pip install sae-lens==6.54.12
    python3 make_training.py

Writes training.safetensors: `x` [5, 32, 12], the pool of batches that is cycled through, `W_dec`
[40, 12], the initial decoder, whose transpose the encoder is, and for each name `<name>.losses`
[100, 3] (total, reconstruction, everything else), `<name>.W_enc`, `<name>.W_dec`, `<name>.b_dec`,
... after the last step.

Where two features are equal to the last digit, rounding decides which of them is selected, and the
runs part; the seed is one without such a pair.
"""

from pathlib import Path

import torch
from safetensors.torch import save_file
from sae_lens import (
    BatchTopKTrainingSAE,
    BatchTopKTrainingSAEConfig,
    GatedTrainingSAE,
    GatedTrainingSAEConfig,
    JumpReLUTrainingSAE,
    JumpReLUTrainingSAEConfig,
    StandardTrainingSAE,
    StandardTrainingSAEConfig,
    TopKTrainingSAE,
    TopKTrainingSAEConfig,
)
from sae_lens.config import LoggingConfig, SAETrainerConfig
from sae_lens.training.sae_trainer import SAETrainer

D_IN, D_SAE, BATCH, N_BATCHES, STEPS = 12, 40, 32, 5, 100
generator = torch.Generator().manual_seed(12)
directions = torch.randn(24, D_IN, generator=generator)
chosen = torch.rand(N_BATCHES * BATCH, 24, generator=generator) < 0.15
x = (chosen * torch.rand(chosen.shape, generator=generator)) @ directions
x = (x + 0.05 * torch.randn(x.shape, generator=generator) + 0.2).reshape(N_BATCHES, BATCH, D_IN)
W_dec = torch.randn(D_SAE, D_IN, generator=generator)
# Some features point away from the data, so that they die.
W_dec[30:] -= 3 * x.reshape(-1, D_IN).mean(0)
W_dec = 0.1 * W_dec / W_dec.norm(dim=1, keepdim=True)
out = {"x": x, "W_dec": W_dec}


def run(name, cls, config):
    sae = cls(config)
    sae.W_dec.data = W_dec.clone()
    sae.W_enc.data = W_dec.T.clone().contiguous()
    trainer_config = SAETrainerConfig(
        n_checkpoints=0,
        checkpoint_path=None,
        save_final_checkpoint=False,
        total_training_samples=STEPS * BATCH,
        device="cpu",
        autocast=False,
        lr=3e-3,
        lr_end=3e-4,
        lr_scheduler_name="cosineannealing",
        lr_warm_up_steps=10,
        adam_beta1=0.9,
        adam_beta2=0.999,
        lr_decay_steps=20,
        n_restart_cycles=1,
        train_batch_size_samples=BATCH,
        dead_feature_window=15,
        feature_sampling_window=2000,
        logger=LoggingConfig(log_to_wandb=False),
    )
    trainer = SAETrainer(cfg=trainer_config, sae=sae, data_provider=iter([]))
    losses = []
    for step in range(STEPS):
        found = trainer.step(x[step % N_BATCHES])
        trainer.n_training_steps += 1
        total, mse = found.loss.item(), found.losses["mse_loss"].item()
        losses.append([total, mse, total - mse])
    out[f"{name}.losses"] = torch.tensor(losses)
    for key, value in sae.state_dict().items():
        out[f"{name}.{key}"] = value.detach().float().clone().contiguous()
    print(name, losses[0], losses[-1], int(trainer.dead_neurons.sum()))


shape = {"d_in": D_IN, "d_sae": D_SAE}
run("standard", StandardTrainingSAE, StandardTrainingSAEConfig(**shape, l1_coefficient=0.3, l1_warm_up_steps=30))
run("topk", TopKTrainingSAE, TopKTrainingSAEConfig(**shape, k=4))
run("batchtopk", BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig(**shape, k=3.5))
run(
    "jumprelu",
    JumpReLUTrainingSAE,
    JumpReLUTrainingSAEConfig(**shape, l0_coefficient=0.05, l0_warm_up_steps=20, jumprelu_bandwidth=0.1),
)
run("gated", GatedTrainingSAE, GatedTrainingSAEConfig(**shape, l1_coefficient=0.2))
save_file(out, Path(__file__).parent / "training.safetensors")

"""Where the tools are, and a config that runs in seconds."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / 'tools'
TOY = ROOT / 'configs/toy/deeplabv3_r18-d16_1xb4-recall-600i_toy-streets-192x128.py'
SMALL_NETWORK = (
    'model.backbone.stem_channels=8',
    'model.backbone.base_channels=8',
    'model.decode_head.in_channels=64',
    'model.decode_head.channels=8',
)
TINY = (
    *SMALL_NETWORK,
    'train_cfg.val_interval=2',
    'train_dataloader.batch_size=2',
    'train_dataloader.dataset.size=(48,32)',
    'val_dataloader.dataset.size=(48,32)',
    'val_dataloader.dataset.num_images=2',
    'default_hooks.checkpoint.type=CheckpointHook',
    'default_hooks.checkpoint.interval=1',
)
"""``--cfg-options`` that bring the toy config down to seconds."""

"""Train a segmentation or classification model from a config."""

from mmengine.device import get_device
from mmengine.runner import find_latest_checkpoint

import mmseg_recall  # noqa: F401  makes the losses and hooks known by name
from mmseg_recall.engine.launch import argument_parser, build_runner, load_config


def parse_args():
    parser = argument_parser(__doc__)
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='continue from this checkpoint, or without a value from the latest in the work folder',
    )
    parser.add_argument('--amp', action='store_true', help='train with mixed precision')
    parser.add_argument('--no-validate', action='store_true', help='train without validation')
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate by the batch size over auto_scale_lr.base_batch_size',
    )
    return parser.parse_args()


def resume(cfg, checkpoint):
    if checkpoint != 'auto':
        cfg.resume, cfg.load_from = True, checkpoint
    elif find_latest_checkpoint(cfg.work_dir):
        # Without a file to load, the runner looks for the latest in the work folder.
        cfg.resume, cfg.load_from = True, None
    # Else it is the first start: from load_from, where the config names a pre-trained model.


def use_mixed_precision(cfg):
    wrapper = cfg.optim_wrapper
    on_cpu = get_device() == 'cpu'
    mixed = 'CPUAmpOptimWrapper' if on_cpu else 'AmpOptimWrapper'
    kind = wrapper.get('type', 'OptimWrapper')
    if kind not in ('OptimWrapper', mixed):
        raise ValueError(f'--amp works with optim_wrapper.type OptimWrapper, the config has {kind}')
    wrapper.type = mixed


def scale_learning_rate(cfg):
    if 'base_batch_size' not in cfg.get('auto_scale_lr', {}):
        raise ValueError('--auto-scale-lr needs auto_scale_lr.base_batch_size in the config')
    cfg.auto_scale_lr.enable = True


def main():
    args = parse_args()
    cfg = load_config(args)
    if args.resume:
        resume(cfg, args.resume)
    if args.amp:
        use_mixed_precision(cfg)
    if args.auto_scale_lr:
        scale_learning_rate(cfg)
    if args.no_validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    build_runner(cfg).train()


if __name__ == '__main__':
    main()

"""Train a model from a config."""

from _arguments import runner_parser


def parse_args():
    parser = runner_parser(__doc__)
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


def scale_learning_rate(cfg):
    from mmseg_recall.files import InputError

    if 'base_batch_size' not in cfg.get('auto_scale_lr', {}):
        raise InputError('--auto-scale-lr needs auto_scale_lr.base_batch_size in the config')
    cfg.auto_scale_lr.enable = True


def train(args):
    from mmseg_recall.datasets.annotation_file import naming_bad_annotations
    from mmseg_recall.engine.launch import (
        build_runner,
        load_config,
        resume,
        use_mixed_precision,
    )

    cfg = load_config(args.config, args.cfg_options, args.work_dir, args.launcher)
    if args.resume:
        resume(cfg, args.resume)
    if args.amp:
        use_mixed_precision(cfg)
    if args.auto_scale_lr:
        scale_learning_rate(cfg)
    if args.no_validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    with naming_bad_annotations(cfg):
        build_runner(cfg).train()


def main():
    args = parse_args()
    from mmseg_recall.files import run_tool  # imports torch, for which --help does not wait

    run_tool(train, args)


if __name__ == '__main__':
    main()

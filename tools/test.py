"""Test a model from a config and a checkpoint."""

import os

from _arguments import runner_parser


def parse_args():
    parser = runner_parser(__doc__)
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument(
        '--out', help='save predictions: a folder of label maps, or of other models a .pkl file'
    )
    parser.add_argument('--show', action='store_true', help='show predictions in a window')
    parser.add_argument('--show-dir', help='folder for images of the predictions')
    parser.add_argument(
        '--tta',
        action='store_true',
        help='augment at test time with tta_model and tta_pipeline of the config',
    )
    return parser.parse_args()


def save_predictions(cfg, out):
    evaluator = cfg.test_evaluator
    metrics = list(evaluator) if isinstance(evaluator, (list, tuple)) else [evaluator]
    if cfg.default_scope == 'mmseg':
        metrics[0].output_dir = out
    else:
        dump = 'DumpDetResults' if cfg.default_scope == 'mmdet' else 'DumpResults'
        metrics.append(dict(type=dump, out_file_path=out))
    cfg.test_evaluator = metrics


def draw_predictions(cfg, show, folder):
    if cfg.default_scope == 'mmseg':
        hook = dict(type='SegVisualizationHook', draw=True, interval=1, show=show)
        if folder:
            cfg.visualizer.save_dir = folder
    elif cfg.default_scope == 'mmdet':
        # A relative path would be inside the work folder.
        out_dir = folder and os.path.abspath(folder)
        hook = dict(type='DetVisualizationHook', draw=True, show=show, test_out_dir=out_dir)
    else:
        hook = dict(type='VisualizationHook', enable=True, interval=1, show=show, out_dir=folder)
    cfg.merge_from_dict({'default_hooks.visualization': hook})


def augment(cfg):
    from mmseg_recall.files import InputError

    missing = {'tta_model', 'tta_pipeline'} - set(cfg)
    if missing:
        raise InputError(f'--tta needs {" and ".join(sorted(missing))} in the config')
    cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline
    cfg.model = dict(**cfg.tta_model, module=cfg.model)


def test(args):
    from mmseg_recall.engine.launch import build_runner, load_config

    cfg = load_config(args.config, args.cfg_options, args.work_dir, args.launcher)
    cfg.load_from = args.checkpoint
    if args.out:
        save_predictions(cfg, args.out)
    if args.show or args.show_dir:
        draw_predictions(cfg, args.show, args.show_dir)
    if args.tta:
        augment(cfg)
    build_runner(cfg).test()


def main():
    args = parse_args()
    from mmseg_recall.files import run_tool  # imports torch, for which --help does not wait

    run_tool(test, args)


if __name__ == '__main__':
    main()

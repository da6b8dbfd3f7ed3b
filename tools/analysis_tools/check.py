"""Look at a config and its training set before any training: which classes are at risk, and why.

    mmseg-recall check CONFIG --write recall.py

Counts the classes, checks the labels, and says how the config takes a loss for imbalanced data.
"""

import argparse


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', help='config file of a segmentation or classification model')
    parser.add_argument(
        '--checkpoint',
        metavar='FILE.pth',
        help='a model trained with the config: says which classes it does not find in the '
        'validation set, and what they become',
    )
    parser.add_argument(
        '--write', metavar='FILE.py', help='where to write a config that trains with the loss'
    )
    parser.add_argument('--json', metavar='FILE.json', help='where to write all of it as JSON')
    return parser.parse_args()


def check(args):
    from mmseg_recall.check import check

    check(args.config, args.checkpoint, args.write, args.json)


def main():
    args = parse_args()
    from mmseg_recall.files import run_tool  # imports torch, for which --help does not wait

    run_tool(check, args)


if __name__ == '__main__':
    main()

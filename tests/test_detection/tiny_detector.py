"""Annotations in LVIS's format (COCO's and more), and a Mask R-CNN small enough for tests."""

import json

import cv2
import numpy as np
from mmengine.config import Config
from mmengine.runner import Runner

import mmseg_recall  # noqa: F401

NAMES = ('cup', 'fork', 'bait')
SIZE = 32
#: The labels of the boxes in each image: 7 cups, 3 forks and a bait, in 4, 3 and 1 images.
LABELS = [(0, 0), (0, 0, 0, 1), (0,), (0, 1), (1, 2)]


def annotations(labels=LABELS, names=NAMES):
    """Of square images with boxes side by side; categories are numbered from 10."""
    content = dict(images=[], annotations=[], categories=[])
    for image, of_image in enumerate(labels):
        name = f'val/{image}.png'
        entry = dict(id=image + 1, file_name=name, coco_url=name, width=SIZE, height=SIZE)
        content['images'].append(dict(entry, neg_category_ids=[], not_exhaustive_category_ids=[]))
        for place, label in enumerate(of_image):
            x, y, w, h = 8.0 * place, 4.0 * label, 8.0, 16.0
            content['annotations'].append(
                dict(
                    id=len(content['annotations']) + 1,
                    image_id=image + 1,
                    category_id=10 + label,
                    bbox=[x, y, w, h],
                    area=w * h,
                    segmentation=[[x, y, x + w, y, x + w, y + h, x, y + h]],
                    iscrowd=0,
                )
            )
    for label, name in enumerate(names):
        images = sum(label in of_image for of_image in labels)
        content['categories'].append(
            dict(id=10 + label, name=name, frequency='rcf'[-label], image_count=images)
        )
    return content


def write_data(folder, content=None):
    """The annotations as ``train.json``, and images of noise."""
    content = content or annotations()
    (folder / 'val').mkdir()
    (folder / 'train.json').write_text(json.dumps(content))
    for image in content['images']:
        pixels = np.random.default_rng(image['id']).integers(0, 255, (SIZE, SIZE, 3), np.uint8)
        cv2.imwrite(str(folder / image['file_name']), pixels)
    return folder


def dataset_config(folder, kind='LVISV1Dataset', **arguments):
    return dict(
        dict(
            type=kind,
            data_root=str(folder),
            ann_file='train.json',
            data_prefix=dict(img=''),
            metainfo=dict(classes=NAMES),
            filter_cfg=dict(filter_empty_gt=True),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
                dict(type='PackDetInputs'),
            ],
        ),
        **arguments,
    )


def model_config(loss_cls, **bbox_head):
    """Mask R-CNN with two levels and a few channels."""
    sampler = dict(type='RandomSampler', num=16, pos_fraction=0.25, neg_pos_ub=-1)
    train = dict(
        assigner=dict(
            type='MaxIoUAssigner',
            pos_iou_thr=0.5,
            neg_iou_thr=0.5,
            min_pos_iou=0.3,
            match_low_quality=True,
            ignore_iof_thr=-1,
        ),
        sampler=dict(sampler, add_gt_as_proposals=False),
        allowed_border=-1,
        pos_weight=-1,
        debug=False,
    )
    proposals = dict(
        nms_pre=40, max_per_img=30, nms=dict(type='nms', iou_threshold=0.7), min_bbox_size=0
    )
    coder = dict(type='DeltaXYWHBBoxCoder', target_stds=[0.1, 0.1, 0.2, 0.2])
    extractor = dict(type='SingleRoIExtractor', out_channels=8, featmap_strides=[4, 8])
    return dict(
        type='MaskRCNN',
        data_preprocessor=dict(
            type='DetDataPreprocessor', mean=[128.0] * 3, std=[64.0] * 3, pad_mask=True
        ),
        backbone=dict(
            type='ResNet',
            depth=18,
            num_stages=2,
            strides=(1, 2),
            dilations=(1, 1),
            base_channels=4,
            out_indices=(0, 1),
        ),
        neck=dict(type='FPN', in_channels=[4, 8], out_channels=8, num_outs=2),
        rpn_head=dict(
            type='RPNHead',
            in_channels=8,
            feat_channels=8,
            anchor_generator=dict(
                type='AnchorGenerator', scales=[2], ratios=[1.0, 2.0], strides=[4, 8]
            ),
            loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=True),
        ),
        roi_head=dict(
            type='StandardRoIHead',
            bbox_roi_extractor=dict(
                **extractor, roi_layer=dict(type='RoIAlign', output_size=2, sampling_ratio=0)
            ),
            bbox_head=dict(
                type='Shared2FCBBoxHead',
                in_channels=8,
                fc_out_channels=8,
                roi_feat_size=2,
                num_classes=len(NAMES),
                bbox_coder=coder,
                loss_cls=loss_cls,
                **bbox_head,
            ),
            mask_roi_extractor=dict(
                **extractor, roi_layer=dict(type='RoIAlign', output_size=4, sampling_ratio=0)
            ),
            mask_head=dict(
                type='FCNMaskHead',
                num_convs=1,
                in_channels=8,
                conv_out_channels=8,
                num_classes=len(NAMES),
                loss_mask=dict(type='CrossEntropyLoss', use_mask=True),
            ),
        ),
        train_cfg=dict(
            rpn=train, rpn_proposal=proposals, rcnn=dict(train, sampler=sampler, mask_size=8)
        ),
        test_cfg=dict(
            rpn=proposals,
            rcnn=dict(
                score_thr=0.01,
                nms=dict(type='nms', iou_threshold=0.5),
                max_per_img=10,
                mask_thr_binary=0.5,
            ),
        ),
    )


def build_runner(work_dir, folder, loss_cls, bbox_head=None, **overrides):
    """Train on ``folder``; overrides as in ``--cfg-options``."""
    config = Config(
        dict(
            default_scope='mmdet',
            work_dir=str(work_dir),
            experiment_name=f'{work_dir.parent.name}_{work_dir.name}',
            model=model_config(loss_cls, **(bbox_head or {})),
            train_dataloader=dict(
                batch_size=2,
                num_workers=0,
                sampler=dict(type='InfiniteSampler'),
                dataset=dataset_config(folder),
            ),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.02, momentum=0.9)),
            train_cfg=dict(type='IterBasedTrainLoop', max_iters=3),
            default_hooks=dict(
                logger=dict(type='LoggerHook', interval=1),
                checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=1),
            ),
            log_processor=dict(by_epoch=False),
            visualizer=dict(type='DetLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')]),
            randomness=dict(seed=0),
        )
    )
    config.merge_from_dict(overrides)
    return Runner.from_cfg(config)
